"""What the COPY instructions of each stage put where, without copying a byte.

Called by image.py, which writes the last stage's files out. Paths in trees have no leading slash.
"""

import posixpath
import re
import shlex
from collections.abc import Mapping

from plantctl.sandbox.dataplane.build_context import BuildError, Entry, pattern_source
from plantctl.sandbox.dataplane.docker_words import DockerfileError, expand
from plantctl.sandbox.dataplane.dockerfile import Copy, Dockerfile, Note, Run, Stage

# Places where pip puts what it installs when the Dockerfile names no place of its own.
_SYSTEM_PREFIXES = ("/usr/local", "/root/.local")
_INSTALLERS = re.compile(r"\b(pip3?|uv)\b.*\b(install|sync)\b|-m\s+venv\b|\bvirtualenv\b|\buv\s+venv\b", re.DOTALL)


class StageFiles:
    """The files of one stage, the lock files it installs, and the prefixes that hold what it installed."""

    def __init__(self, parent: "StageFiles | None" = None) -> None:
        self.tree: dict[str, Entry] = dict(parent.tree) if parent else {}
        self.locks: dict[str, bytes] = dict(parent.locks) if parent else {}
        self.prefixes: set[str] = set(parent.prefixes) if parent else set()
        self.commands: list[str] = list(parent.commands) if parent else []


class Staging:
    """Goes through all stages in order; `log` receives the lines of docker's classic builder."""

    def __init__(self, dockerfile: Dockerfile, context: Mapping[str, Entry], log: list[str]) -> None:
        self.dockerfile, self.context, self.log = dockerfile, context, log
        self.done: list[StageFiles] = []

    def run(self) -> StageFiles:
        """Files of the last stage. BuildError when a COPY names a file that is not there."""
        total = sum(1 + len(stage.steps) for stage in self.dockerfile.stages)
        number = 0
        for stage in self.dockerfile.stages:
            files = StageFiles(self.done[stage.parent] if stage.parent is not None else None)
            number += 1
            self.log.append(f"Step {number}/{total} : {stage.text}")
            if stage.parent is None and stage.base != "scratch":
                self.log.append(f" ---> {stage.base}: base image not pulled by the sandbox")
            for step in stage.steps:
                number += 1
                self.log.append(f"Step {number}/{total} : {step.text}")
                self._step(step, stage, files)
            self.done.append(files)
        return self.done[-1]

    def _step(self, step: Copy | Run | Note, stage: Stage, files: StageFiles) -> None:
        match step:
            case Copy():
                self._copy(step, stage, files)
            case Run():
                self._run(step, stage, files)
            case Note(makes_directory=str() as directory):
                _make_directories(files.tree, directory.strip("/"))
            case Note():
                pass

    def _run(self, step: Run, stage: Stage, files: StageFiles) -> None:
        files.commands.append(step.command)
        if not _INSTALLERS.search(step.command):
            self.log.append(" ---> not executed by the sandbox")
            return
        files.prefixes.update(_prefixes(step, stage))
        locks = _lock_paths(step)
        for path in locks:
            entry = self._lock_entry(step, path, files)
            if entry is None or entry.source is None:
                raise BuildError(f"ERROR: Could not open requirements file: No such file or directory: '{path}'")
            files.locks[path] = entry.source.read_bytes()
        if locks:
            self.log.append(f" ---> not executed by the sandbox; {', '.join(locks)} selects the Python environment")
        else:
            self.log.append(" ---> not executed by the sandbox; only pip install -r <file> selects packages")

    def _lock_entry(self, step: Run, path: str, files: StageFiles) -> Entry | None:
        for target, source in step.binds.items():
            if path == target or path.startswith(target.rstrip("/") + "/"):
                return self.context.get(_inside(source + path[len(target) :]))
        return files.tree.get(path.strip("/"))

    def _copy(self, copy: Copy, stage: Stage, files: StageFiles) -> None:
        if copy.from_stage is None:
            self._place(copy, stage, self.context, files)
            return
        source_stage = self.dockerfile.stage(copy.from_stage)
        if source_stage is None:
            self.log.append(f" ---> {copy.from_stage} is an image outside of this build: not pulled, nothing copied")
            return
        if source_stage.index >= stage.index:
            raise BuildError(f'COPY failed: invalid from flag value "{copy.from_stage}": it is not an earlier stage')
        origin = self.done[source_stage.index]
        files.commands += origin.commands
        missing = []
        for source in copy.sources:
            stands_in = self._dependencies(source, origin, copy, files)
            if _matches(source, origin.tree):
                continue
            if not stands_in:
                raise BuildError(_not_in_stage(source, source_stage, origin))
            missing.append(source)
        if len(missing) < len(copy.sources):
            self._place(copy, stage, origin.tree, files, skip=missing)

    def _dependencies(self, source: str, origin: StageFiles, copy: Copy, files: StageFiles) -> bool:
        """Whether RUN made (some of) that path: the Python environment stands in for what an installer put there."""
        path = "/" + _inside(source)
        target = copy.destination.rstrip("/")
        found = False
        for prefix in sorted(origin.prefixes):
            if path == prefix or path.startswith(prefix + "/"):
                below = ""
            elif prefix.startswith(path.rstrip("/") + "/"):
                below = prefix[len(path.rstrip("/")) :]
            else:
                continue
            files.prefixes.add((target + below) or "/")
            files.locks.update(origin.locks)
            found = True
        if found:
            self.log.append(f" ---> what RUN installed in {path} is replaced by the sandbox's Python environment")
        return found

    def _place(
        self,
        copy: Copy,
        stage: Stage,
        origin: Mapping[str, Entry],
        files: StageFiles,
        *,
        skip: list[str] | None = None,
    ) -> None:
        target = copy.destination.strip("/")
        into = copy.destination.endswith("/") or (target in files.tree and files.tree[target].is_directory)
        into = into or len(copy.sources) > 1
        for source in copy.sources:
            if skip and source in skip:
                continue
            found = _matches(source, origin)
            if not found:
                raise BuildError(_not_found(source))
            for name in found:
                _place_one(name, target, into or len(found) > 1, origin, files.tree, copy)


def _not_in_stage(source: str, stage: Stage, origin: StageFiles) -> str:
    name, path = stage.name or str(stage.index), "/" + _inside(source)
    if not origin.commands:
        return f"COPY failed: stat {path}: file does not exist in stage {name}"
    return (
        f"COPY failed: {path} is not a file that stage {name} was given; if a RUN makes it: RUN is not executed "
        "by the sandbox, except that pip install selects the Python environment"
    )


def _place_one(
    name: str, target: str, into: bool, origin: Mapping[str, Entry], tree: dict[str, Entry], copy: Copy
) -> None:
    entry = origin.get(name, Entry(mode=0o755))
    if not entry.is_directory:
        place = posixpath.join(target, posixpath.basename(name)) if into else target
        _put(tree, place, entry, copy)
        return
    _make_directories(tree, target)
    below = name + "/" if name else ""
    for path, child in origin.items():
        if path.startswith(below) and path != name:
            _put(tree, posixpath.join(target, path[len(below) :]), child, copy)


def _put(tree: dict[str, Entry], path: str, entry: Entry, copy: Copy) -> None:
    _make_directories(tree, posixpath.dirname(path))
    present = tree.get(path)
    if present and present.is_directory != entry.is_directory:
        raise BuildError(f"COPY failed: /{path} is a directory in one of two sources and a file in the other")
    mode = copy.mode if copy.mode is not None and not entry.is_directory else entry.mode
    tree[path] = Entry(mode=mode, source=entry.source, link=entry.link, owned=bool(copy.chown) or entry.owned)


def _make_directories(tree: dict[str, Entry], path: str) -> None:
    while path:
        present = tree.setdefault(path, Entry(mode=0o755))
        if not present.is_directory:
            raise BuildError(f"COPY failed: /{path} is a file, not a directory")
        path = posixpath.dirname(path)


def _inside(source: str) -> str:
    # docker cuts `..` at the root of the context
    return posixpath.normpath("/" + source.lstrip("/")).strip("/")


def _matches(source: str, tree: Mapping[str, Entry]) -> list[str]:
    name = _inside(source)
    if not name:
        return [""]
    if any(character in name for character in "*?["):
        pattern = re.compile(pattern_source(name) + r"\Z")
        return sorted(path for path in tree if pattern.match(path))
    return [name] if name in tree else []


def _not_found(source: str) -> str:
    if any(character in source for character in "*?["):
        return f"COPY failed: no source files were specified: nothing matches {source}"
    return (
        "COPY failed: file not found in build context or excluded by .dockerignore: "
        f"stat {_inside(source)}: file does not exist"
    )


def _words(step: Run) -> list[str]:
    lexer = shlex.shlex(step.command, posix=False, punctuation_chars=";&|")
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        raw = list(lexer)
    except ValueError:  # a quote that the shell would close in a way that shlex does not know
        raw = step.command.split()
    words = []
    for word in raw:
        try:
            words.append(expand(word, step.variables))
        except DockerfileError:  # a substitution only the shell knows
            words.append(word)
    return words


def _lock_paths(step: Run) -> list[str]:
    words, paths = _words(step), []
    for position, word in enumerate(words):
        following = words[position + 1] if position + 1 < len(words) else ""
        name = ""
        if word in ("-r", "--requirement", "--requirements"):
            name = following
        elif word.startswith(("--requirement=", "--requirements=")):
            name = word.partition("=")[2]
        elif word == "sync" and position and words[position - 1] == "pip":  # uv pip sync <file>
            name = next((other for other in words[position + 1 :] if not other.startswith("-")), "")
        if name:
            paths.append(posixpath.normpath(posixpath.join(step.workdir, name)))
    return paths


def _prefixes(step: Run, stage: Stage) -> set[str]:
    """Directories that an installing RUN fills: those that it or the stage's PATH and VIRTUAL_ENV name."""
    named = {part.removesuffix("/bin") for part in stage.env.get("PATH", "").split(":") if part.endswith("/bin")}
    named -= {"/usr", ""}
    named.add(stage.env.get("VIRTUAL_ENV", ""))
    for word in _words(step):
        value = word.partition("=")[2] if word.startswith("--") else word
        if value.startswith("/"):
            named.add(posixpath.normpath(value.partition("/bin/")[0]))
    return {*(prefix for prefix in named if prefix.startswith("/") and prefix != "/"), *_SYSTEM_PREFIXES}
