"""Runs one container instance: an image with the environment, secrets and identity that Cloud Run would give it.

Called for job executions and revisions. What an instance prints goes to a callback, never to a file; what it may read
of this process's environment is nothing.
"""

import os
import shutil
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from plantctl.sandbox.dataplane.container_view import ContainerView
from plantctl.sandbox.dataplane.environments import Environment
from plantctl.sandbox.dataplane.forward import ForwardSet
from plantctl.sandbox.dataplane.image import ImageStore
from plantctl.sandbox.dataplane.metadata import Identity, MetadataServer, Mint
from plantctl.sandbox.dataplane.places import NOBODY, can_lend_reading, open_to_others, place_for
from plantctl.sandbox.dataplane.running import OnLine, RunAs, Running, start


def _ignore(_stream: str, _line: str) -> None:
    """Where nobody wants the lines."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One instance to run.

    `env` is exactly what the template gives, secrets resolved; PORT is added from `port`, a free port of this machine
    (None for jobs). `files`: absolute mount path -> content, of secret volumes. `forwards` belongs to this instance:
    its addresses replace reserved ones in `env` and `files`, and it is closed with the instance. `timeout_s`: the
    instance gets SIGTERM then. `on_line(stream, line)` is called from two threads, without the line's end.
    """

    digest: str
    identity: Identity
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    forwards: ForwardSet | None = None
    timeout_s: float | None = None
    port: int | None = None
    workdir: str | None = None
    on_line: OnLine = _ignore


class ProcessPlane:
    """All instances of a sandbox. Thread-safe; one plane per `root`, whose leftovers it removes at the start."""

    def __init__(self, root: Path, images: ImageStore, mint: Mint) -> None:
        self._images, self._mint = images, mint
        self._runs = place_for(root) / "runs"
        shutil.rmtree(self._runs, ignore_errors=True)
        self._runs.mkdir(parents=True)
        self._runs.chmod(0o711)
        self._lock = threading.Lock()
        self._running: dict[str, Running] = {}
        self._closed = False

    def run(self, launch: Launch) -> Running:
        """Start an instance; returns once its process exists.

        KeyError when the image is not kept, ValueError when there is nothing to start, FileNotFoundError when the
        working directory is not in the image, BuildError when its Python environment cannot be made again. A program
        that does not exist is no error here: the instance exits with 127, as it would in a container. RuntimeError
        after close().
        """
        if self._closed:
            raise RuntimeError("the process plane is closed")
        image, environment = self._images.get(launch.digest), self._images.environment(launch.digest)
        user = self._user(environment)
        scratch = self._runs / uuid.uuid4().hex
        metadata: MetadataServer | None = None
        try:
            scratch.mkdir()
            scratch.chmod(0o711)
            files = _write_files(scratch, launch, user.uid)
            view = ContainerView(config=image.config, rootfs=image.rootfs, environment=environment, files=files)
            workdir = view.workdir(launch.workdir)
            argv = view.argv(launch.command, launch.args)
            metadata = MetadataServer(launch.identity, self._mint)
            env = view.variables(_given(launch), workdir) | _home(scratch, user.uid)
            env |= {"GCE_METADATA_HOST": metadata.address, "GCE_METADATA_IP": metadata.address}
            running = start(
                argv=argv,
                env=env,
                workdir=workdir,
                user=user,
                scratch=scratch,
                timeout_s=launch.timeout_s,
                on_line=launch.on_line,
                at_end=_ending(launch, metadata, scratch, self._forget),
            )
        except BaseException:
            if metadata is not None:
                metadata.close()
            if launch.forwards is not None:
                launch.forwards.close()
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        self._remember(scratch.name, running)
        return running

    def _remember(self, key: str, running: Running) -> None:
        with self._lock:
            if running.poll() is None:
                self._running[key] = running
            closed = self._closed
        if closed:
            running.terminate(0)

    def _forget(self, key: str) -> None:
        with self._lock:
            self._running.pop(key, None)

    def _user(self, environment: Environment) -> RunAs:
        """Root gives up its rights, whatever the image's USER says; what uid 65534 cannot read, it may be lent to."""
        if os.geteuid() != 0:
            return RunAs()
        places = (self._images.place, self._runs.parent)
        if environment.open_to_others() and all(open_to_others(place) for place in places):
            return RunAs(uid=NOBODY)
        return RunAs(uid=NOBODY, reads_all=True) if can_lend_reading() else RunAs()

    def describe(self) -> dict[str, str]:
        """How instances run here, for the status page: the user, the interpreter, and how many there are."""
        interpreter = Path(sys.executable).resolve()
        match self._user(self._images.bare_environment()):
            case RunAs(uid=-1) if os.geteuid() == 0:
                user = f"root, because uid {NOBODY} cannot reach {interpreter}"
            case RunAs(uid=-1):
                user = f"uid {os.geteuid()}, the user who started the sandbox"
            case RunAs(reads_all=True):
                user = f"uid {NOBODY}, with the right to read every file, because it cannot reach {interpreter}"
            case RunAs():
                user = f"uid {NOBODY}"
        with self._lock:
            count = len(self._running)
        return {"user": user, "python": sys.version.split()[0], "instances": str(count), "place": str(self._runs)}

    def close(self, grace_s: float = 10.0) -> None:
        """End all instances: SIGTERM to all at once, SIGKILL after the grace period; run() refuses from then on."""
        with self._lock:
            self._closed = True
            running = list(self._running.values())
        enders = [threading.Thread(target=instance.terminate, args=(grace_s,)) for instance in running]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join()
        shutil.rmtree(self._runs, ignore_errors=True)


def _given(launch: Launch) -> dict[str, str]:
    env = dict(launch.env)
    if launch.forwards is not None:
        env = {name: launch.forwards.substitute(value) for name, value in env.items()}
    if launch.port is not None:
        env["PORT"] = str(launch.port)
    return env


def _write_files(scratch: Path, launch: Launch, user: int) -> dict[str, Path]:
    """Secret volumes: every file 0400, of the user that runs, in a directory only that user can enter."""
    written: dict[str, Path] = {}
    directories: dict[str, Path] = {}
    for mounted, given in launch.files.items():
        path = Path(mounted)
        if not path.is_absolute() or ".." in path.parts:
            raise ValueError(f"mount path must be absolute: {mounted}")
        content = given
        if launch.forwards is not None:
            # latin-1 maps every byte to itself, so that a binary secret stays what it is
            content = launch.forwards.substitute(given.decode("latin-1")).encode("latin-1")
        directory = directories.get(str(path.parent)) or Path(tempfile.mkdtemp(prefix="mount-", dir=scratch))
        directories[str(path.parent)] = directory
        real = directory / path.name
        descriptor = os.open(real, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        if user >= 0:
            os.chown(real, user, user)
        written[mounted] = real
    if user >= 0:
        for directory in directories.values():
            os.chown(directory, user, user)
    return written


def _home(scratch: Path, user: int) -> dict[str, str]:
    names = {}
    for name, variable in (("home", "HOME"), ("tmp", "TMPDIR")):
        directory = scratch / name
        directory.mkdir(mode=0o700)
        if user >= 0:
            os.chown(directory, user, user)
        names[variable] = str(directory)
    return names


def _ending(
    launch: Launch, metadata: MetadataServer, scratch: Path, forget: Callable[[str], None]
) -> Callable[[], None]:
    def end() -> None:
        metadata.close()
        if launch.forwards is not None:
            launch.forwards.close()
        shutil.rmtree(scratch, ignore_errors=True)
        forget(scratch.name)

    return end
