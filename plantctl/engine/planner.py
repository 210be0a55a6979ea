"""The plan: the first check of every selected item, in parallel, and nothing else. Never writes, anywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Generic, TypeVar

from plantctl.engine.attest import valid_word
from plantctl.engine.catalog import Selection
from plantctl.engine.evidence import basis, valid_proof
from plantctl.engine.graph import Graph, critical_path, require_acyclic
from plantctl.engine.reader import Reader, Scope
from plantctl.engine.recorder import LookingRecorder
from plantctl.engine.records import Kind
from plantctl.engine.session import Session, as_plantctl_error, ends_everything, working_for
from plantctl.errors import Interrupted, PlantctlError
from plantctl.model.plan import Plan, PlannedItem
from plantctl.model.step import Attestation, Finding, Verdict

C = TypeVar("C")
_THERE = (Verdict.DRIFTED, Verdict.FOREIGN)


def plan(session: Session[C], selection: Selection, *, reader: Reader, scope: Scope, recorder: LookingRecorder) -> Plan:
    """Check every selected item whose needs are there.

    A need that is there but differs, or is not ours, is looked past, so that the plan tells of all that was changed or
    made by others at once; it establishes its facts for the plan alone. An item after one that is not there, or one
    that cannot be looked at while a need differs, is UNKNOWN with the reason `after <item>`. Another check that raises
    makes an error of that item, and the plan goes on. Interrupted when a stop was requested; JournalError.
    """
    planner = _Planner(session, selection, reader, scope)
    catalog = session.catalog
    members = (*selection.items, *selection.checked_only)
    needs = {item: catalog.needs(item) for item in members}
    Graph(catalog.in_page_order(members), needs=needs, lanes={}).run(
        planner.look, skip=planner.skip, parallel=session.parallel, stopped=lambda: session.stop.requested
    )
    session.stop.check()
    items = tuple(replace(planner.found[item], pulled_in=item in selection.pulled_in) for item in selection.items)
    todo = {item.id: float(item.expect_s) for item in items if item.pending}
    order = [item for item in require_acyclic({item: catalog.needs(item) for item in catalog.items}) if item in todo]
    lanes = {item: catalog.lanes(item) for item in order}
    path = critical_path(order, needs={item: _needs_in(session, item, todo) for item in order}, lanes=lanes, spans=todo)
    return Plan(
        items=items,
        requests=recorder.reads,
        expect_s=sum(todo.values()),
        critical_path_s=path.seconds,
        critical_path=path.items,
    )


def _needs_in(session: Session[C], item: str, todo: dict[str, float]) -> tuple[str, ...]:
    """Transitive needs that are to be done: a need in place between two pending items does not part them."""
    return tuple(need for need in session.catalog.all_needs(item) if need in todo)


class _Planner(Generic[C]):
    """Looks at one item at a time and keeps what it found; called from several threads."""

    def __init__(self, session: Session[C], selection: Selection, reader: Reader, scope: Scope) -> None:
        self._session = session
        self._scope = scope
        self._reader = reader
        self._writes = reader.last_writes(scope.ids)
        self._asked = frozenset(selection.items)
        self.found: dict[str, PlannedItem] = {}

    def look(self, item: str) -> bool:
        """One item; True when those that need it may be checked."""
        catalog = self._session.catalog
        blank = self._blank(item)
        step = catalog.step(item)
        if item in catalog.not_applicable:
            return self._keep(replace(blank, form="not-applicable"), reason=catalog.not_applicable[item], ready=True)
        now = self._session.clock.now()
        waived = valid_word(self._reader, self._scope, item, Kind.WAIVED, now)
        if step is None:
            word = waived or valid_word(self._reader, self._scope, item, Kind.ATTESTED, now)
            if word is None:
                return self._keep(blank)
            finding = Finding(verdict=Verdict.IN_PLACE, reason=f"{word.kind} by {word.by}: {word.note}")
            return self._keep(replace(blank, form="waived" if waived else blank.form, finding=finding), ready=True)
        with working_for(item):
            try:
                finding = self._session.check(step)
            except Interrupted:
                return False
            except Exception as error:
                if ends_everything(error):
                    raise
                if differing := self._differing(item):
                    return self._keep(blank, reason=f"after {', '.join(differing)}", ready=waived is not None)
                return self._fail(blank, as_plantctl_error(item, error), ready=waived is not None)
        proven = finding.in_place and self._proven(item)
        form = "waived" if waived and not finding.in_place else "step"
        planned = replace(blank, form=form, finding=finding, evidence=proven)
        if there := finding.verdict in _THERE:
            self._session.facts.put(item, finding.facts)
        return self._keep(planned, ready=finding.in_place or there or waived is not None)

    def _differing(self, item: str) -> tuple[str, ...]:
        """The needs, theirs included, that are there but differ: they may be why an item cannot be looked at."""
        needs = self._session.catalog.in_page_order(self._session.catalog.all_needs(item))
        found = ((need, self.found.get(need)) for need in needs)
        return tuple(need for need, planned in found if planned and planned.verdict in _THERE)

    def skip(self, item: str, unmet: tuple[str, ...]) -> None:
        """An item whose needs are not all there is not checked."""
        self._keep(self._blank(item), reason=f"after {', '.join(unmet)}")

    def _proven(self, item: str) -> bool:
        catalog = self._session.catalog
        proof = valid_proof(
            self._reader.entries(item=item, ids=self._scope.ids),
            basis=basis(catalog, self._session.facts, item),
            needs=catalog.all_needs(item),
            last_writes=self._writes,
        )
        return proof is not None

    def _blank(self, item: str) -> PlannedItem:
        catalog = self._session.catalog
        entry = catalog.entries.get(item)
        title = catalog.items[item].title
        if entry is None:
            return PlannedItem(id=item, title=title, form="no-step")
        if isinstance(entry, Attestation):
            return PlannedItem(id=item, title=title, form="attestation", question=entry.question)
        return PlannedItem(id=item, title=title, expect_s=entry.expect_s)

    def _keep(self, planned: PlannedItem, *, reason: str = "", ready: bool = False) -> bool:
        if reason:
            planned = replace(planned, finding=Finding(verdict=Verdict.UNKNOWN, reason=reason))
        self.found[planned.id] = planned
        return ready

    def _fail(self, blank: PlannedItem, error: PlantctlError, *, ready: bool) -> bool:
        self.found[blank.id] = replace(blank, error=error)
        return ready
