"""The composition root, heavy half: target, lock, journal, the Google side, and the session for the engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from plantctl.cli import autostart
from plantctl.cli.compose import ask, catalog
from plantctl.cli.output import Common, err
from plantctl.clock import SystemClock, rfc3339
from plantctl.engine.journal import Journal
from plantctl.engine.lock import hold
from plantctl.engine.memory import JournalMemory
from plantctl.engine.reader import Reader, Scope
from plantctl.engine.recorder import Listener, LookingRecorder, RunRecorder
from plantctl.engine.records import Binding
from plantctl.engine.session import Session
from plantctl.engine.stop import Stop, StoppingClock
from plantctl.gcp.bundle import Gcp
from plantctl.gcp.identity import account_of
from plantctl.gcp.target import Target, google_target, sandbox_target
from plantctl.model.facts import Facts
from plantctl.model.recorder import Recorder
from plantctl.model.secret import Secret
from plantctl.settings import Settings
from plantctl.steps.context import Context, Options


@dataclass(frozen=True, kw_only=True)
class Looking:
    """What a command that only looks works with."""

    session: Session[Context]
    recorder: LookingRecorder
    reader: Reader
    scope: Scope


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What a command that writes works with: the lock is held, a run is in the journal."""

    session: Session[Context]
    recorder: RunRecorder
    target: Target


@contextmanager
def looking(
    given: Settings, common: Common, *, stop: Stop, parallel: int = 10, options: Options | None = None
) -> Iterator[Looking]:
    """A session that cannot write, neither to the cloud nor to the journal; takes no lock."""
    target = _target(given, common)
    account_of(target)
    reader = Reader.open(given.home)
    try:
        scope = reader.scope(_binding(given, target))
        recorder = LookingRecorder(stop=stop)
        memory = JournalMemory.of_look(reader, scope, SystemClock())
        context = _context(given, target, recorder, memory, stop, options or Options(), {})
        yield Looking(session=_session(given, context, stop, parallel), recorder=recorder, reader=reader, scope=scope)
    finally:
        reader.close()


@contextmanager
def writing(
    given: Settings,
    common: Common,
    *,
    command: str,
    stop: Stop,
    listeners: Iterable[Listener] = (),
    parallel: int = 10,
    options: Options | None = None,
    secrets: Mapping[str, Secret] | None = None,
) -> Iterator[Writing]:
    """A session that may write. Asks first on Google Cloud; LockHeld while another process writes."""
    clock = SystemClock()
    with hold(given.home, what=command, since=rfc3339(clock.now())):
        target = _target(given, common)
        _confirm(target, common)
        with Journal(given.home) as journal:
            recorder = RunRecorder(
                journal, command=command, binding=_binding(given, target), clock=clock, stop=stop, listeners=listeners
            )
            memory = JournalMemory.of_run(recorder, clock)
            context = _context(given, target, recorder, memory, stop, options or Options(), secrets or {})
            yield Writing(session=_session(given, context, stop, parallel), recorder=recorder, target=target)


def _context(
    given: Settings,
    target: Target,
    recorder: Recorder,
    memory: JournalMemory,
    stop: Stop,
    options: Options,
    secrets: Mapping[str, Secret],
) -> Context:
    clock = StoppingClock(SystemClock(), stop)
    return Context(
        plant=given.plant,
        gcp=Gcp(target, recorder, memory, clock),
        facts=Facts(),
        memory=memory,
        clock=clock,
        base=given.config.parent if given.config else Path.cwd(),
        options=options,
        given_secret=secrets.get,
    )


def _session(given: Settings, context: Context, stop: Stop, parallel: int) -> Session[Context]:
    """The engine measures with a clock that never raises; what waits for the cloud gets the stopping one."""
    return Session(
        catalog=catalog(given), ctx=context, facts=context.facts, clock=SystemClock(), stop=stop, parallel=parallel
    )


def _binding(given: Settings, target: Target) -> Binding:
    return Binding(target=given.target, project=given.plant.project.id, incarnation=target.incarnation)


def _target(given: Settings, common: Common) -> Target:
    """The sandbox is started when it does not run."""
    plant = given.plant
    if given.target == "gcp":
        target = google_target(
            project=plant.project.id,
            region=plant.region,
            impersonate=given.impersonate,
            quota_project=given.quota_project,
        )
    else:
        target = sandbox_target(autostart.ensure(given.home), project=plant.project.id, region=plant.region)
    if not common.verbose:
        return target
    return _TalkingTarget(**{field.name: getattr(target, field.name) for field in fields(target)})


class _TalkingTarget(Target):
    """Tells each answered request on stderr: method, address, status, time; never a body, a header or a query."""

    def session(self) -> Any:
        """As Target.session."""
        session = super().session()
        session.hooks["response"].append(_tell)
        return session


def _tell(response: Any, *_: object, **__: object) -> None:
    request = response.request
    took_ms = response.elapsed.total_seconds() * 1000
    address = str(request.url).split("?", 1)[0]
    err(f"{request.method} {address} {response.status_code} {took_ms:.0f} ms")


def _confirm(target: Target, common: Common) -> None:
    """Before the first write to Google Cloud a person sees account and project. Nothing is asked on the sandbox."""
    account = account_of(target)
    if target.local:
        return
    err(f"target: {target.words()}, as {account}")
    if not common.yes:
        ask("plantctl will make changes there, and they cost money. Go on?", flag="--yes")
