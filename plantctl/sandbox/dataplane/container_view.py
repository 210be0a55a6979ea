"""Turns what an image and a template say (absolute paths, commands, variables) into what runs on this machine.

Called by process.py. There is no mount namespace here: paths of the image, of mounted secrets and of installed
packages are replaced by where those really lie.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plantctl.sandbox.dataplane.environments import Environment
from plantctl.sandbox.dataplane.image import ImageConfig

# An absolute path in running text; not the end of a URL, of a word or of another path.
_PATH = re.compile(r"(?<![\w./+~-])/[\w@%+.~-]+(?:/[\w@%+.~-]+)*/?")
_PYTHON = re.compile(r"python(3(\.\d+)?)?\Z")
_HOST_PATH = ("/usr/bin", "/bin")


@dataclass(frozen=True, kw_only=True)
class ContainerView:
    """`files`: absolute path in the container -> real path, of mounted secrets."""

    config: ImageConfig
    rootfs: Path
    environment: Environment
    files: Mapping[str, Path]

    def path(self, path: str) -> str:
        """Where an absolute path of the container really lies; itself when it belongs to the base image."""
        clean = posixpath.normpath(path)
        if clean in self.files:
            return str(self.files[clean])
        for mounted, real in self.files.items():
            if posixpath.dirname(mounted) == clean:
                return str(real.parent)
        inside = self.rootfs / clean.lstrip("/")
        if clean != "/" and inside.exists():
            return str(inside)
        for prefix in sorted(self.config.prefixes, key=len, reverse=True):
            if clean == prefix and not prefix.startswith("/usr"):
                return str(self.environment.root)
            if clean.startswith(prefix.rstrip("/") + "/"):
                below = self.environment.root / clean[len(prefix.rstrip("/")) + 1 :]
                if below.exists() or not Path(clean).exists():
                    return str(below)
        return path

    def text(self, text: str) -> str:
        """A text with every path in it that path() knows replaced."""
        return _PATH.sub(lambda match: self._kept_slash(match[0]), text)

    def _given_text(self, text: str) -> str:
        """Of a template's value only mounts and the working directory: `/api` may be a route, not a directory."""
        return _PATH.sub(lambda match: self._kept_slash(match[0]) if self._is_place(match[0]) else match[0], text)

    def _is_place(self, path: str) -> bool:
        clean, work = posixpath.normpath(path), self.config.workdir
        mounted = any(clean in (name, posixpath.dirname(name)) for name in self.files)
        return mounted or (work != "/" and (clean == work or clean.startswith(work + "/")))

    def _kept_slash(self, path: str) -> str:
        real = self.path(path)
        return real + "/" if path.endswith("/") and not real.endswith("/") else real

    def workdir(self, override: str | None = None) -> Path:
        """The directory to start in; FileNotFoundError when the image has no such directory."""
        inside = self.rootfs / posixpath.normpath(override or self.config.workdir).lstrip("/")
        if not inside.is_dir():
            raise FileNotFoundError(f"the image has no directory {override or self.config.workdir}")
        return inside

    def argv(self, command: Sequence[str] | None, args: Sequence[str] | None) -> list[str]:
        """What to start. Cloud Run: `command` replaces ENTRYPOINT (and drops CMD), `args` replaces CMD.

        ValueError when nothing is left. Source: cloud.google.com/run/docs/configuring/services/containers.
        """
        words = list(command) if command else list(self.config.entrypoint)
        words += list(args) if args else ([] if command else list(self.config.cmd))
        if not words:
            raise ValueError("the image has neither ENTRYPOINT nor CMD, and no command is given")
        return [*self._program(words[0]), *(self.text(word) for word in words[1:])]

    def _program(self, word: str) -> list[str]:
        name = posixpath.basename(word)
        inside = self.rootfs / word.lstrip("/") if word.startswith("/") else None
        if inside is not None and inside.is_file():
            return [*self._interpreter(inside), str(inside)]
        if _PYTHON.match(name) and (word == name or word.startswith("/")):
            return [str(self.environment.python)]
        installed = self.environment.bin / name
        if installed.is_file() and (word == name or word.startswith("/")):
            return [str(installed)]
        return [self.path(word) if word.startswith("/") else word]

    def _interpreter(self, script: Path) -> list[str]:
        """A script of the image whose first line names the image's python is given to the environment's."""
        with script.open("rb") as file:
            first = file.readline(256).decode("utf-8", errors="replace").strip()
        if not first.startswith("#!/"):
            return []
        words = first[2:].split()
        return [str(self.environment.python), *words[1:]] if _PYTHON.match(posixpath.basename(words[0])) else []

    def variables(self, given: Mapping[str, str], workdir: Path) -> dict[str, str]:
        """The whole environment of the process: that of the image, then the template's; nothing of this process's."""
        env = {name: self.text(value) for name, value in self.config.env.items()}
        env.update((name, self._given_text(value)) for name, value in given.items())
        image_path = given.get("PATH", self.config.env.get("PATH", ""))
        inside = [str(self.rootfs / part.lstrip("/")) for part in image_path.split(":") if part.startswith("/")]
        inside = [part for part in inside if Path(part).is_dir()]
        env["PATH"] = ":".join([str(self.environment.bin), *inside, *_HOST_PATH])
        env["PYTHONPATH"] = ":".join(part for part in (str(workdir), env.get("PYTHONPATH", "")) if part)
        env.setdefault("PYTHONDONTWRITEBYTECODE", "1")  # the image's files are shared among its processes
        return env
