"""Reads and checks a Dockerfile of several stages, in docker's own words when it is wrong.

Called by image.py; executes nothing. Rules: docs.docker.com/reference/dockerfile.
"""

import posixpath
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from plantctl.sandbox.dataplane.docker_words import (
    DockerfileError,
    Instruction,
    exec_form,
    expand,
    instructions,
    split_words,
)

BASE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
_PLATFORM_ARGUMENTS = {
    "TARGETPLATFORM": "linux/amd64",
    "TARGETOS": "linux",
    "TARGETARCH": "amd64",
    "BUILDPLATFORM": "linux/amd64",
    "BUILDOS": "linux",
    "BUILDARCH": "amd64",
}
_FLAGS = {
    "FROM": {"platform"},
    "COPY": {"from", "chown", "chmod", "link"},
    "ADD": {"chown", "chmod", "link"},
    "RUN": {"mount", "network", "security"},
    "HEALTHCHECK": {"interval", "timeout", "start-period", "start-interval", "retries"},
}


@dataclass(frozen=True, kw_only=True)
class Copy:
    """COPY or local ADD: `destination` is absolute and keeps its trailing slash; `mode` only with --chmod."""

    line: int
    sources: tuple[str, ...]
    destination: str
    from_stage: str | None
    chown: str | None
    mode: int | None
    text: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """RUN: recorded, never executed. `binds` maps mounted paths to paths of the build context.

    `variables` (ENV and ARG at that point) serve only to read the path of a lock file out of `command`.
    """

    line: int
    command: str
    workdir: str
    variables: Mapping[str, str]
    binds: Mapping[str, str]
    text: str


@dataclass(frozen=True, kw_only=True)
class Note:
    """Any other instruction; WORKDIR also names the directory that it makes."""

    line: int
    text: str
    makes_directory: str | None = None


@dataclass(kw_only=True)
class Stage:
    """One stage, from FROM to the next one; `base` is an image reference or the name of an earlier stage."""

    index: int
    name: str
    base: str
    parent: int | None
    line: int
    text: str
    workdir: str = "/"
    env: dict[str, str] = field(default_factory=dict)
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    steps: list[Copy | Run | Note] = field(default_factory=list)
    exposed_ports: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)
    stop_signal: str = ""
    healthcheck: str = ""

    @property
    def copies(self) -> list[Copy]:
        """The COPY instructions of this stage, in order."""
        return [step for step in self.steps if isinstance(step, Copy)]


@dataclass(frozen=True, kw_only=True)
class Dockerfile:
    """All stages; docker builds the last one when no target is named."""

    stages: tuple[Stage, ...]

    @property
    def last(self) -> Stage:
        """The stage whose config the image gets."""
        return self.stages[-1]

    def stage(self, reference: str) -> Stage | None:
        """The stage with this name (case does not matter) or index, or None: then it is an image outside."""
        for stage in self.stages:
            if reference.lower() == stage.name or reference == str(stage.index):
                return stage
        return None


def parse(text: str, build_args: Mapping[str, str] | None = None) -> Dockerfile:
    """Read a Dockerfile.

    `build_args` are those of `docker build --build-arg`. Raises DockerfileError with docker's words and line number.
    """
    lines, escape = instructions(text)
    if not lines:
        raise DockerfileError(0, "file with no instructions")
    reader = _Reader(build_args or {}, escape)
    for line in lines:
        reader.take(line)
    if not reader.stages:
        raise DockerfileError(0, "no build stage in current context")
    return Dockerfile(stages=tuple(reader.stages))


class _Reader:
    def __init__(self, build_args: Mapping[str, str], escape: str) -> None:
        self.build_args, self.escape = build_args, escape
        self.stages: list[Stage] = []
        self.global_args: dict[str, str] = {}
        self.args: dict[str, str] = {}
        self.shell: tuple[str, ...] = ("/bin/sh", "-c")
        self.cmd_is_own = False
        self.line = 0
        self.takers: dict[str, Callable[[Instruction], None]] = {
            "FROM": self._from, "ARG": self._arg, "ENV": self._env, "WORKDIR": self._workdir,
            "COPY": self._copy, "ADD": self._add, "RUN": self._run, "ENTRYPOINT": self._entrypoint,
            "CMD": self._cmd, "USER": self._user, "EXPOSE": self._expose, "LABEL": self._label,
            "STOPSIGNAL": self._stop_signal, "HEALTHCHECK": self._healthcheck, "VOLUME": self._volume,
            "SHELL": self._shell, "MAINTAINER": self._note, "ONBUILD": self._note,
        }  # fmt: skip

    def take(self, line: Instruction) -> None:
        self.line = line.number
        taker = self.takers.get(line.name)
        if taker is None:
            raise self._error(f"unknown instruction: {line.name}")
        for name, _ in line.flags:
            if name not in _FLAGS.get(line.name, ()):
                raise self._error(f"unknown flag: --{name}")
        if not line.rest and line.name not in ("CMD", "ENTRYPOINT"):
            raise self._error(f"{line.name} requires at least one argument")
        if line.name not in ("FROM", "ARG") and not self.stages:
            raise self._error("no build stage in current context")
        try:
            taker(line)
        except DockerfileError as error:
            if error.line:
                raise
            raise self._error(str(error)) from None  # a substitution does not know its line

    def _error(self, message: str) -> DockerfileError:
        return DockerfileError(self.line, message)

    @property
    def stage(self) -> Stage:
        return self.stages[-1]

    def _expand(self, word: str) -> str:
        env = self.stage.env if self.stages else {}
        return expand(word, {**self.args, **env}, self.escape)

    def _from(self, line: Instruction) -> None:
        words = line.rest.split()
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
            raise self._error("FROM requires either one or three arguments")
        base = expand(words[0], {**_PLATFORM_ARGUMENTS, **self.global_args}, self.escape)
        if not base:
            raise self._error(f"base name ({words[0]}) should not be blank")
        earlier = next((stage for stage in self.stages if stage.name and stage.name == base.lower()), None)
        stage = Stage(
            index=len(self.stages),
            name=words[2].lower() if len(words) == 3 else "",
            base=base,
            parent=earlier.index if earlier else None,
            line=line.number,
            text=line.text,
        )
        self._inherit(stage, earlier)
        self.stages.append(stage)
        self.args, self.shell, self.cmd_is_own = dict(_PLATFORM_ARGUMENTS), ("/bin/sh", "-c"), False

    def _inherit(self, stage: Stage, earlier: Stage | None) -> None:
        if earlier is None:
            stage.env = {"PATH": BASE_PATH} if stage.base != "scratch" else {}
            if stage.base.rsplit("/", 1)[-1].split(":")[0].split("@")[0] == "python":
                stage.cmd = ("python3",)  # what the official python images say
            return
        stage.env, stage.labels = dict(earlier.env), dict(earlier.labels)
        stage.exposed_ports, stage.volumes = list(earlier.exposed_ports), list(earlier.volumes)
        stage.workdir, stage.user = earlier.workdir, earlier.user
        stage.entrypoint, stage.cmd = earlier.entrypoint, earlier.cmd
        stage.stop_signal, stage.healthcheck = earlier.stop_signal, earlier.healthcheck

    def _arg(self, line: Instruction) -> None:
        for word in split_words(line.rest, self.escape):
            name, equals, default = word.partition("=")
            inherited = self.global_args.get(name) if self.stages else None
            value = self.build_args.get(name, self._expand(default) if equals else inherited)
            if value is not None:
                (self.args if self.stages else self.global_args)[name] = value
                self.args.setdefault(name, value)
        if self.stages:
            self._note(line)

    def _pairs(self, line: Instruction) -> dict[str, str]:
        words = split_words(line.rest, self.escape)
        if "=" not in words[0]:
            name, _, value = line.rest.partition(" ")
            if not value.strip():
                raise self._error(f"{line.name} must have two arguments")
            return {name: self._expand(value.strip())}
        pairs = {}
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                raise self._error(f"Syntax error - can't find = in {word!r}. Must be of the form: name=value")
            if not name:
                raise self._error(f"{line.name} names can not be blank")
            pairs[self._expand(name)] = self._expand(value)  # all values see the variables before this line
        return pairs

    def _env(self, line: Instruction) -> None:
        self.stage.env.update(self._pairs(line))
        self._note(line)

    def _label(self, line: Instruction) -> None:
        self.stage.labels.update(self._pairs(line))
        self._note(line)

    def _absolute(self, path: str) -> str:
        joined = posixpath.normpath(posixpath.join(self.stage.workdir, path))
        return "/" + joined.lstrip("/")

    def _workdir(self, line: Instruction) -> None:
        self.stage.workdir = self._absolute(self._expand(line.rest))
        self.stage.steps.append(Note(line=line.number, text=line.text, makes_directory=self.stage.workdir))

    def _copy(self, line: Instruction) -> None:
        if line.heredocs:
            raise self._error(f"{line.name} of a here-document is not supported by the sandbox")
        words = [self._expand(word) for word in exec_form(line.rest) or line.rest.split()]
        if len(words) < 2:
            raise self._error(
                f"{line.name} requires at least two arguments, but only one was provided. "
                "Destination could not be determined."
            )
        target = words[-1]
        if len(words) > 2 and not (target.endswith("/") or target in (".", "..")):
            raise self._error(
                f"When using {line.name} with more than one source file, "
                "the destination must be a directory and end with a /"
            )
        mode = line.flag("chmod")
        if mode is not None and not (mode.isdigit() and set(mode) <= set("01234567")):
            raise self._error(f"invalid chmod parameter: '{mode}'. it should be octal string and between 0 and 07777")
        destination = self._absolute(target)
        slash = "/" if target.endswith(("/", "/.")) and destination != "/" else ""
        self.stage.steps.append(
            Copy(
                line=line.number,
                sources=tuple(words[:-1]),
                destination=destination + slash,
                from_stage=line.flag("from"),
                chown=line.flag("chown"),
                mode=int(mode, 8) if mode else None,
                text=line.text,
            )
        )

    def _add(self, line: Instruction) -> None:
        for source in (exec_form(line.rest) or line.rest.split())[:-1]:
            archive = source.endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))
            if "://" in source or source.startswith("git@") or archive:
                raise self._error(f"ADD of {source} is not supported by the sandbox: only local files are")
        self._copy(line)

    def _run(self, line: Instruction) -> None:
        binds = {}
        for name, value in line.flags:
            options = dict(option.partition("=")[::2] for option in value.split(","))
            if name == "mount" and options.get("type", "bind") == "bind" and "from" not in options:
                target = options.get("target") or options.get("dst") or options.get("destination") or ""
                binds[self._absolute(target)] = options.get("source") or options.get("src") or "."
        words = exec_form(line.rest)
        self.stage.steps.append(
            Run(
                line=line.number,
                command=shlex.join(words) if words else "\n".join([line.rest, *line.heredocs]),
                workdir=self.stage.workdir,
                variables={**self.args, **self.stage.env},
                binds=binds,
                text=line.text,
            )
        )

    def _command(self, line: Instruction) -> tuple[str, ...]:
        words = exec_form(line.rest)
        if words is not None:
            return words
        return (*self.shell, line.rest) if line.rest else ()

    def _entrypoint(self, line: Instruction) -> None:
        self.stage.entrypoint = self._command(line)
        if not self.cmd_is_own:
            self.stage.cmd = ()  # a new ENTRYPOINT drops the CMD of the base image
        self._note(line)

    def _cmd(self, line: Instruction) -> None:
        self.stage.cmd, self.cmd_is_own = self._command(line), True
        self._note(line)

    def _user(self, line: Instruction) -> None:
        self.stage.user = self._expand(line.rest)
        self._note(line)

    def _expose(self, line: Instruction) -> None:
        for word in self._expand(line.rest).split():
            port, _, protocol = word.partition("/")
            if not all(part.isdigit() and 0 < int(part) < 65536 for part in port.split("-")):
                raise self._error(f"invalid containerPort: {word}")
            self.stage.exposed_ports.append(f"{port}/{protocol.lower() or 'tcp'}")
        self._note(line)

    def _stop_signal(self, line: Instruction) -> None:
        self.stage.stop_signal = self._expand(line.rest)
        self._note(line)

    def _healthcheck(self, line: Instruction) -> None:
        kind = line.rest.split(None, 1)[0].upper()
        if kind not in ("NONE", "CMD"):
            raise self._error(f"Unknown type {kind!r} in HEALTHCHECK (try CMD)")
        self.stage.healthcheck = "" if kind == "NONE" else line.rest
        self._note(line)

    def _volume(self, line: Instruction) -> None:
        self.stage.volumes += exec_form(line.rest) or self._expand(line.rest).split()
        self._note(line)

    def _shell(self, line: Instruction) -> None:
        words = exec_form(line.rest)
        if not words:
            raise self._error("SHELL requires the arguments to be in JSON form")
        self.shell = words
        self._note(line)

    def _note(self, line: Instruction) -> None:
        self.stage.steps.append(Note(line=line.number, text=line.text))
