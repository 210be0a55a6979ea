"""One item of a run: check, and where needed intent, apply, check again, verify; what it finds goes to the journal.

Called by the scheduler from several threads; `runner.py` has the run around it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from plantctl.engine.attest import valid_word
from plantctl.engine.evidence import basis, valid_proof
from plantctl.engine.recorder import RunRecorder
from plantctl.engine.records import PROOF, Entry, Kind
from plantctl.engine.session import Session, as_plantctl_error, ends_everything, working_for
from plantctl.engine.settle import Settler, require_applicable
from plantctl.errors import Interrupted, PlantctlError, StepBlocked
from plantctl.model.events import ApplyStarted, Event, ItemChecked, ItemFinished, ItemStarted, Note, VerifyStarted
from plantctl.model.step import Attestation, Evidence, Finding, Outcome, Step, Verdict

C = TypeVar("C")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What the operator typed.

    `allow_restart`: changes that interrupt service are made. `adopt`: foreign resources are taken over. `recreate`:
    items whose absence is no longer a conflict. `renew`: `phase verify`, which never applies and always looks anew.
    `number_fact`: item and key of the fact that is the project number; the journal is bound to it once it is known.
    """

    allow_restart: bool = False
    adopt: bool = False
    recreate: frozenset[str] = field(default_factory=frozenset)
    renew: bool = False
    number_fact: tuple[str, str] = ("", "")
    target: str = ""


class ItemRunner(Generic[C]):
    """Brings items into place one at a time and keeps how each ended."""

    def __init__(
        self, session: Session[C], recorder: RunRecorder, options: RunOptions, *, checked_only: frozenset[str]
    ) -> None:
        self._session = session
        self._recorder = recorder
        self._options = options
        self._checked_only = checked_only
        self._reasons: dict[str, str] = {}
        self.started: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.errors: dict[str, PlantctlError] = {}

    def work(self, item: str) -> bool:
        """One item from start to end; True when it is in place. Raises only what ends the whole run."""
        self.started.append(item)
        begun = self._session.clock.monotonic()
        with working_for(item):
            try:
                if item in self._checked_only:
                    return self._look(item)
                return self._work(item, begun)
            except Interrupted:
                return self._leave(item)
            except Exception as error:
                return self._fail(item, as_plantctl_error(item, error), begun)

    def skip(self, item: str, unmet: tuple[str, ...]) -> None:
        """An item whose needs did not come into place: BLOCKED, and what stood in the way."""
        if item in self._checked_only:
            self._reasons[item] = "not looked at"
            return
        reasons = ", ".join(f"{need} ({self._reasons.get(need, 'not in place')})" for need in unmet)
        error = StepBlocked(f"{item} needs {reasons}", hint=self._way_out(unmet[0]), reference="needs-not-in-place")
        with working_for(item):
            self._block(item, error, self._session.clock.monotonic())

    def _work(self, item: str, begun: float) -> bool:
        catalog = self._session.catalog
        if item in catalog.not_applicable:
            return self._end(item, Outcome.UNCHANGED, begun, message=f"not applicable: {catalog.not_applicable[item]}")
        waiver = self._word(item, Kind.WAIVED)
        entry = catalog.entries.get(item)
        if isinstance(entry, Step):
            expect_s = 0 if self._options.renew else entry.expect_s
            self._emit(lambda at: ItemStarted(at=at, item=item, title=entry.title, expect_s=expect_s))
            return self._waived(entry, waiver, begun) if waiver else self._run(entry, begun)
        word = waiver or self._word(item, Kind.ATTESTED)
        if word is not None:
            evidence = Evidence(words=word.evidence, where=f"{word.kind} by {word.by}")
            return self._end(item, Outcome.UNCHANGED, begun, evidence=evidence, message=f"{word.kind} by {word.by}")
        if isinstance(entry, Attestation):
            return self._wait(entry, begun)
        hint = f"do it by hand, then: plantctl item waive {item} --note '<why>'"
        self._reasons[item] = "no step yet"
        error = StepBlocked(f"{item} has no step yet", hint=hint, reference="no-step-yet")
        return self._block(item, error, begun)

    def _run(self, step: Step[C], begun: float) -> bool:
        finding = self._session.check(step)
        self._emit(lambda at: ItemChecked(at=at, item=step.id, finding=finding))
        if self._options.renew and not finding.in_place:
            return self._out_of_place(step, finding, begun)
        if finding.in_place:
            self._bind(step.id)
            proof = None if self._options.renew else self._proof(step.id)
            if proof is not None:
                return self._stands(step.id, proof, begun)
            return self._prove(step, Kind.VERIFIED, Outcome.UNCHANGED, begun)
        Settler(self._session, apply=lambda found: self._apply(step, found)).bring(step, finding)
        self._bind(step.id)
        return self._prove(step, Kind.CHANGED, Outcome.CHANGED, begun)

    def _apply(self, step: Step[C], finding: Finding) -> None:
        require_applicable(step.id, finding, adopt=self._options.adopt, allow_restart=self._options.allow_restart)
        self._session.stop.check()
        self._recorder.record(step.id, Kind.INTENT, note=_intent(finding))
        self._emit(lambda at: ApplyStarted(at=at, item=step.id, changes=finding.changes))
        step.apply(self._session.ctx, finding)

    def _prove(self, step: Step[C], kind: Kind, outcome: Outcome, begun: float) -> bool:
        """The second look, whose evidence goes to the journal bound to the facts it was taken on."""
        self._emit(lambda at: VerifyStarted(at=at, item=step.id))
        evidence = step.verify(self._session.ctx)
        facts = self._session.facts
        on = basis(self._session.catalog, facts, step.id)
        self._recorder.record(step.id, kind, basis=on, facts=facts.of(step.id), evidence=evidence)
        return self._end(step.id, outcome, begun, evidence=evidence)

    def _proof(self, item: str) -> Entry | None:
        catalog, ids = self._session.catalog, self._recorder.scope.ids
        return valid_proof(
            self._recorder.journal.reader.entries(item=item, ids=ids),
            basis=basis(catalog, self._session.facts, item),
            needs=catalog.all_needs(item),
            last_writes=self._recorder.journal.reader.last_writes(ids),
        )

    def _stands(self, item: str, proof: Entry, begun: float) -> bool:
        """Evidence of the past still counts. An entry is made only when one since says otherwise (blocked)."""
        last = self._recorder.journal.reader.entries(item=item, ids=self._recorder.scope.ids)[-1]
        if last.kind not in (*PROOF, Kind.UNCHANGED):
            self._recorder.record(item, Kind.UNCHANGED)
        evidence = Evidence(words=proof.evidence, where=proof.where)
        return self._end(item, Outcome.UNCHANGED, begun, evidence=evidence)

    def _out_of_place(self, step: Step[C], finding: Finding, begun: float) -> bool:
        """`phase verify` found an item not in place: drift when it once was, else simply not done yet."""
        entries = self._recorder.journal.reader.entries(item=step.id, ids=self._recorder.scope.ids)
        words = finding.reason or f"it is {finding.verdict}"
        hint = f"plantctl phase run --only {step.id}"
        if any(entry.kind in PROOF for entry in entries):
            self._recorder.record(step.id, Kind.DRIFTED, note=words)
            error = PlantctlError(f"{step.id} has drifted: {words}", hint=hint, reference="drifted")
            return self._finish_with(step.id, Outcome.FAILED, error, begun)
        error = StepBlocked(f"{step.id} is not in place: {words}", hint=hint, reference="not-in-place")
        return self._block(step.id, error, begun)

    def _look(self, item: str) -> bool:
        """A need under `--no-needs`: looked at for its facts; whatever is wrong with it is told by those it blocks."""
        catalog = self._session.catalog
        entry = catalog.entries.get(item)
        if item in catalog.not_applicable or self._word(item, Kind.WAIVED):
            return True
        if not isinstance(entry, Step):
            self._reasons[item] = "waits for a person" if entry else "no step yet"
            return self._word(item, Kind.ATTESTED) is not None
        try:
            finding = self._session.check(entry)
        except Interrupted:
            raise
        except Exception as error:
            if ends_everything(error):
                raise
            self._reasons[item] = str(error)
            return False
        self._reasons[item] = finding.reason or str(finding.verdict)
        if finding.in_place:
            self._bind(item)
        return finding.in_place

    def _waived(self, step: Step[C], waiver: Entry, begun: float) -> bool:
        finding = self._session.check(step)
        self._emit(lambda at: ItemChecked(at=at, item=step.id, finding=finding))
        return self._end(step.id, Outcome.UNCHANGED, begun, message=f"waived by {waiver.by}: {waiver.note}")

    def _wait(self, entry: Attestation, begun: float) -> bool:
        entries = self._recorder.journal.reader.entries(item=entry.id, ids=self._recorder.scope.ids)
        if not entries or entries[-1].kind is not Kind.WAITING:
            self._recorder.record(entry.id, Kind.WAITING, note=entry.question)
        self._reasons[entry.id] = "waits for a person"
        hint = f"plantctl item attest {entry.id} --note '<who, where the record is>'"
        return self._end(entry.id, Outcome.WAITING, begun, message=entry.question, hint=hint)

    def _fail(self, item: str, error: PlantctlError, begun: float) -> bool:
        if ends_everything(error):
            self._finish_with(item, Outcome.FAILED, error, begun)
            raise error
        if item in self._checked_only:
            return False
        if isinstance(error, StepBlocked):
            return self._block(item, error, begun)
        self._recorder.record(item, Kind.FAILED, note=_said(error))
        return self._finish_with(item, Outcome.FAILED, error, begun)

    def _block(self, item: str, error: StepBlocked, begun: float) -> bool:
        entries = self._recorder.journal.reader.entries(item=item, ids=self._recorder.scope.ids)
        if not entries or entries[-1].kind is not Kind.BLOCKED or entries[-1].note != _said(error):
            self._recorder.record(item, Kind.BLOCKED, note=_said(error))
        return self._finish_with(item, Outcome.BLOCKED, error, begun)

    def _leave(self, item: str) -> bool:
        """The run was asked to stop while this item was at work: it has no outcome, and the journal says so."""
        if item in self._checked_only:
            return False
        self._recorder.record(item, Kind.INTERRUPTED, note="the run was stopped while this item was at work")
        text = "left as it is; what Google Cloud accepted goes on there, and the next run picks it up"
        self._emit(lambda at: Note(at=at, item=item, text=text))
        return False

    def _finish_with(self, item: str, outcome: Outcome, error: PlantctlError, begun: float) -> bool:
        self.errors[item] = error
        return self._end(item, outcome, begun, error=error)

    def _end(
        self,
        item: str,
        outcome: Outcome,
        begun: float,
        *,
        evidence: Evidence | None = None,
        message: str = "",
        hint: str = "",
        error: PlantctlError | None = None,
    ) -> bool:
        self.outcomes[item] = outcome
        self._reasons.setdefault(item, str(outcome))
        seconds = self._session.clock.monotonic() - begun
        self._emit(
            lambda at: ItemFinished(
                at=at,
                item=item,
                outcome=outcome,
                seconds=seconds,
                evidence=evidence,
                message=error.message if error else message,
                cause=error.cause if error else "",
                hint=error.hint if error else hint,
                reference=error.reference if error else "",
            )
        )
        return outcome in (Outcome.UNCHANGED, Outcome.CHANGED)

    def _word(self, item: str, kind: Kind) -> Entry | None:
        reader, now = self._recorder.journal.reader, self._session.clock.now()
        return valid_word(reader, self._recorder.scope, item, kind, now)

    def _bind(self, item: str) -> None:
        its, key = self._options.number_fact
        number = self._session.facts.of(item).get(key, "") if item == its else ""
        if number:
            self._recorder.bind(number)

    def _way_out(self, need: str) -> str:
        if need in self._checked_only:
            return f"plantctl phase run --only {need}"
        return f"settle {need} first; then run the same command again"

    def _emit(self, event: Callable[[datetime], Event]) -> None:
        self._recorder.emit(event(self._session.clock.now()))


def _intent(finding: Finding) -> str:
    verb = {Verdict.MISSING: "make", Verdict.DRIFTED: "change", Verdict.PENDING: "wait", Verdict.FOREIGN: "adopt"}
    fields = ", ".join(change.field for change in finding.changes)
    return f"{verb.get(finding.verdict, 'apply')} {fields}".rstrip()


def _said(error: PlantctlError) -> str:
    return f"{error.message} ({error.cause})" if error.cause else error.message
