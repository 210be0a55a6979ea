"""Python environments of images, one per lock file: linked from plantctl's own when the versions agree, else by pip.

Called by image.py. Every environment holds what its lock names and nothing else, so that a package that the lock
forgot is missing here as it would be on Cloud Run.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from plantctl.sandbox.dataplane.build_context import BuildError
from plantctl.sandbox.dataplane.locks import pins, satisfied
from plantctl.sandbox.dataplane.places import open_to_others

_INSTALL_DEADLINE_S = 600
# What pip needs of the caller's environment: its index, its proxy, its certificates.
_INSTALL_ENV = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NETRC")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A virtual environment; `kind`: `linked` (plantctl's own packages), `pip` (installed from the lock), `bare`."""

    root: Path
    kind: str

    @property
    def bin(self) -> Path:
        """Where its python and console scripts lie."""
        return self.root / "bin"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.bin / "python"

    def open_to_others(self) -> bool:
        """Whether a user without rights of his own can run it: interpreter, standard library and packages."""
        places = [self.python, Path(sysconfig.get_path("stdlib")), self.root]
        if self.kind == "linked":
            places.append(Path(sysconfig.get_path("purelib")))
        return all(open_to_others(place) for place in places)


class Environments:
    """Makes and keeps environments below `root`. Thread-safe, and safe against another process on the same root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._known: dict[str, Environment] = {}
        self._installed: dict[str, metadata.Distribution] | None = None

    def for_lock(self, lock: bytes) -> Environment:
        """The environment of this lock file, made now when absent. BuildError with pip's last lines when pip fails."""
        text = lock.decode("utf-8", errors="replace")
        with self._lock:
            self._installed = self._installed or _installed()
            own = satisfied(text, self._installed)
            kind = ("linked" if own else "pip") if text.strip() else "bare"
            key = hashlib.sha256("\0".join([kind, sys.version, sys.prefix, text]).encode()).hexdigest()[:24]
            if known := self._known.get(key):
                return known
        environment = Environment(root=self.root / key, kind=kind)
        self.root.mkdir(parents=True, exist_ok=True)
        with _file_lock(self.root / f"{key}.lock"):  # one maker a key, among threads and processes
            if not (environment.root / "complete").exists():
                self._make(environment, text)
        with self._lock:
            self._known[key] = environment
        return environment

    def _make(self, environment: Environment, lock: str) -> None:
        shutil.rmtree(environment.root, ignore_errors=True)
        try:
            # Our own pip can install into another environment; ensurepip is the slow way for those who have none.
            with_pip = environment.kind == "pip" and not self._has_pip()
            builder = venv.EnvBuilder(with_pip=with_pip, symlinks=True)
            builder.create(environment.root)
        except (subprocess.CalledProcessError, OSError) as error:
            raise BuildError(f"cannot make a virtual environment: {error}") from error
        if environment.kind == "linked":
            _link(environment, [(self._installed or {})[name] for name in pins(lock)])
        elif environment.kind == "pip":
            _install(environment, lock, sys.executable if self._has_pip() else str(environment.python))
        (environment.root / "complete").touch()

    def _has_pip(self) -> bool:
        pip = (self._installed or {}).get("pip")
        return pip is not None and Version(pip.version) >= Version("22.3")  # the first with --python


def _installed() -> dict[str, metadata.Distribution]:
    found: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(str(canonicalize_name(name)), distribution)
    return found


def _site_packages(environment: Environment) -> Path:
    return environment.root / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _link(environment: Environment, distributions: list[metadata.Distribution]) -> None:
    """Link the files of the distributions: whole directories where one of them owns it, else file by file."""
    site = _site_packages(environment)
    owners: dict[str, set[int]] = {}
    for number, distribution in enumerate(metadata.distributions()):
        for file in distribution.files or []:
            owners.setdefault(file.parts[0], set()).add(number)
    for distribution in distributions:
        linked: set[str] = set()
        for file in distribution.files or []:
            top = file.parts[0]
            if top == "..":  # console scripts and data files; scripts are written below
                continue
            name = top if len(owners[top]) == 1 else str(file)
            if name not in linked:
                linked.add(name)
                _link_one(Path(str(distribution.locate_file(name))), site / name)
        _write_scripts(environment, distribution)


def _link_one(source: Path, link: Path) -> None:
    if source.exists() and not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source)


def _write_scripts(environment: Environment, distribution: metadata.Distribution) -> None:
    for entry in distribution.entry_points.select(group="console_scripts"):
        script = environment.bin / entry.name
        called = entry.value.split("[")[0].strip()
        module, _, attribute = called.partition(":")
        first = attribute.partition(".")[0]
        script.write_text(
            f"#!{environment.python}\nimport sys\nfrom {module} import {first}\nsys.exit({attribute}())\n",
            encoding="utf-8",
        )
        script.chmod(0o755)


def _install(environment: Environment, lock: str, interpreter: str) -> None:
    file = environment.root / "requirements.txt"
    file.write_text(lock, encoding="utf-8")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _INSTALL_ENV or name.startswith("PIP_") or name.lower() in ("http_proxy", "https_proxy", "no_proxy")
    }
    command = [interpreter, "-m", "pip"]
    if interpreter != str(environment.python):
        command += ["--python", str(environment.python)]
    command += ["install", "--no-input", "--disable-pip-version-check"]
    if os.geteuid() == 0:
        command.append("--root-user-action=ignore")
    try:
        done = subprocess.run(
            [*command, "-r", str(file)],
            env=kept,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_INSTALL_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"pip install took longer than {_INSTALL_DEADLINE_S} s") from error
    if done.returncode != 0:
        lines = done.stdout.decode(errors="replace").strip().splitlines()[-20:]
        raise BuildError(
            f"pip install failed with exit code {done.returncode}: {lines[-1] if lines else ''}", tuple(lines)
        )


@contextlib.contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
