"""The composition root: settings become a target, a journal, the Google side and a session. Nothing heavy at import."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantctl import settings as resolving
from plantctl.cli import autostart
from plantctl.cli.checklists import load
from plantctl.cli.options import Common, err
from plantctl.clock import SystemClock, rfc3339
from plantctl.engine.catalog import Catalog
from plantctl.engine.journal import Journal
from plantctl.engine.lock import hold
from plantctl.engine.memory import JournalMemory
from plantctl.engine.reader import Reader, Scope
from plantctl.engine.recorder import Listener, LookingRecorder, RunRecorder
from plantctl.engine.records import Binding
from plantctl.engine.session import Session
from plantctl.engine.stop import Stop, StoppingClock
from plantctl.errors import UsageError
from plantctl.model.facts import Facts
from plantctl.model.plant import Plant
from plantctl.model.secret import Secret
from plantctl.model.step import Attestation, Step
from plantctl.settings import Settings

if TYPE_CHECKING:
    from plantctl.gcp.target import Target
    from plantctl.steps.context import Context, Options

NUMBER_FACT = ("predeploy.project.create", "number")


def steps() -> tuple[Step[Context] | Attestation, ...]:
    """The checklist as code."""
    from plantctl.steps import STEPS

    return STEPS


def settings(common: Common, *, target: str = "") -> Settings:
    """What the flags, variables and the file say. `target`: one that the command itself demands."""
    env = dict(os.environ)
    if common.home:
        env["PLANTCTL_HOME"] = str(Path(common.home).absolute())
    return resolving.load(flags={"target": target or None}, env=env, config=common.config or None)


def catalog(given: Settings) -> Catalog[Context]:
    """The checklist joined with its steps."""
    return Catalog(load().items, steps(), not_applicable=not_applicable(given.plant))


def not_applicable(plant: Plant) -> dict[str, str]:
    """Items that the configuration switches off, with the reason."""
    off = {}
    if not plant.database.dr_replica:
        off["database.instance.dr_replica"] = "database.dr_replica is false"
    return off


def known_binding(given: Settings) -> Binding:
    """What records have to be bound to in order to count now; starts nothing and asks Google nothing."""
    incarnation = autostart.incarnation(given.home) if given.target == "sandbox" else ""
    return Binding(target=given.target, project=given.plant.project.id, incarnation=incarnation)


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


@contextmanager
def looking(
    given: Settings, common: Common, *, parallel: int = 10, options: Options | None = None, stop: Stop | None = None
) -> Iterator[Looking]:
    """A session that cannot write, neither to the cloud nor to the journal; takes no lock."""
    stop = stop or Stop()
    target = _target(given, common)
    with ExitStack() as stack:
        reader = Reader.open(given.home)
        stack.callback(reader.close)
        scope = reader.scope(_binding(given, target))
        recorder = LookingRecorder(stop=stop)
        memory = JournalMemory.of_look(reader, scope, SystemClock())
        session = _session(given, target, recorder, memory, stop, parallel=parallel, options=options)
        yield Looking(session=session, recorder=recorder, reader=reader, scope=scope)


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
    target = _target(given, common)
    clock = SystemClock()
    with hold(given.home, what=command, since=rfc3339(clock.now())):
        _confirm(target, common)
        with Journal(given.home) as journal:
            recorder = RunRecorder(
                journal, command=command, binding=_binding(given, target), clock=clock, stop=stop, listeners=listeners
            )
            memory = JournalMemory.of_run(recorder, clock)
            session = _session(
                given, target, recorder, memory, stop, parallel=parallel, options=options, secrets=secrets
            )
            yield Writing(session=session, recorder=recorder)


def _session(
    given: Settings,
    target: Target,
    recorder: Any,
    memory: JournalMemory,
    stop: Stop,
    *,
    parallel: int,
    options: Options | None,
    secrets: Mapping[str, Secret] | None = None,
) -> Session[Context]:
    from plantctl.gcp.bundle import Gcp
    from plantctl.steps.context import Context, Options

    clock = StoppingClock(SystemClock(), stop)
    facts = Facts()
    context = Context(
        plant=given.plant,
        gcp=Gcp(target, recorder, memory, clock),
        facts=facts,
        memory=memory,
        clock=clock,
        base=given.config.parent if given.config else Path.cwd(),
        options=options or Options(),
        given_secret=(secrets or {}).get,
    )
    return Session(catalog=catalog(given), ctx=context, facts=facts, clock=SystemClock(), stop=stop, parallel=parallel)


def _binding(given: Settings, target: Target) -> Binding:
    return Binding(target=given.target, project=given.plant.project.id, incarnation=target.incarnation)


def _target(given: Settings, common: Common) -> Target:
    from plantctl.gcp.target import google_target, sandbox_target

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
    return _talkative(target) if common.verbose else target


def _talkative(target: Target) -> Target:
    """The same target, whose sessions tell each request on stderr: method, status, time; never a body or a query."""
    from plantctl.gcp.target import Target

    class Talkative(Target):
        def session(self) -> Any:
            session = super().session()
            session.hooks["response"].append(_tell)
            return session

    return Talkative(**{field.name: getattr(target, field.name) for field in fields(target)})


def _tell(response: Any, *_: object, **__: object) -> None:
    request = response.request
    took_ms = response.elapsed.total_seconds() * 1000
    url = str(request.url).split("?", 1)[0]
    err(f"{request.method} {url} {response.status_code} {took_ms:.0f} ms")


def _confirm(target: Target, common: Common) -> None:
    """Before the first write to Google Cloud a person sees account and project. Nothing is asked on the sandbox."""
    if target.local:
        return
    from plantctl.gcp.identity import account_of

    account = account_of(target)
    err(f"target: {target.words()}, as {account}")
    if not common.yes:
        ask("plantctl will make changes there, and they cost money. Go on?", flag="--yes")


def ask(question: str, *, flag: str) -> None:
    """y or N on a terminal. UsageError when the answer is no, and off a terminal, where it names the flag."""
    if not sys.stdin.isatty():
        raise UsageError("this needs a person's word, and no terminal is there to ask", hint=f"add {flag}")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("not done: the answer was no")


def recreated(plant: Plant, names: Sequence[str]) -> frozenset[str]:
    """The names after `--recreate`; UsageError, with those that hold data, for another word."""
    from plantctl.desired.secrets import SECRETS

    known = [plant.database.name, plant.database.instance, *SECRETS]
    known += [plant.bucket(purpose) for purpose in ("source", "backup", "portal")]
    for name in names:
        if name not in known:
            raise UsageError(f"nothing that holds data is called {name!r}", hint=near(name, known))
    return frozenset(names)


def given_secrets(words: Sequence[str], *, stdin: Callable[[], str] | None = None) -> dict[str, Secret]:
    """Values for `--secret-file SECRET=PATH`; UsageError for an unknown secret or a file that others can read."""
    from plantctl.desired.secrets import SECRETS

    found: dict[str, Secret] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or not path:
            raise UsageError("--secret-file takes SECRET=PATH", hint="--secret-file API_KEYS=api-keys.json")
        if name not in SECRETS:
            raise UsageError(f"there is no secret {name!r}", hint=near(name, tuple(SECRETS)))
        value = (stdin or sys.stdin.read)() if path == "-" else _private_text(Path(path))
        if not value.strip():
            raise UsageError(f"the value for {name} is empty")
        found[name] = Secret(value.rstrip("\n"))
    return found


def _private_text(path: Path) -> str:
    try:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise UsageError(f"{path} can be read by others (mode {mode:04o})", hint=f"chmod 600 {path}")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def command_line() -> str:
    """The words that were typed, for lock and journal; no option takes a secret's value."""
    return " ".join(sys.argv[1:])


def near(word: str, known: Sequence[str]) -> str:
    """`did you mean x? allowed: ...`."""
    import difflib

    found = difflib.get_close_matches(word, known, n=2)
    allowed = f"allowed: {', '.join(known)}"
    return f"did you mean {' or '.join(found)}? {allowed}" if found else allowed


def on_sandbox(given: Settings) -> Settings:
    """The same plant on the local sandbox."""
    return replace(given, target="sandbox")
