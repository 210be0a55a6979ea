"""Builds and keeps container images: a directory of the files that COPY placed, a config, a Python environment.

Called for Cloud Build and Cloud Run. Only Dockerfile, files and lock file decide about a digest; RUN is not executed.
"""

import compileall
import hashlib
import json
import os
import posixpath
import py_compile
import shutil
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from plantctl.sandbox.dataplane.build_context import MAX_BYTES, BuildError, Entry, tree_of, unpack
from plantctl.sandbox.dataplane.docker_words import DockerfileError
from plantctl.sandbox.dataplane.dockerfile import Dockerfile, Stage, parse
from plantctl.sandbox.dataplane.environments import Environment, Environments
from plantctl.sandbox.dataplane.locks import pins
from plantctl.sandbox.dataplane.places import place_for
from plantctl.sandbox.dataplane.stage_files import StageFiles, Staging


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """How to run an image; in `prefixes` the Python environment stands in for files that RUN would have installed."""

    base: str
    workdir: str
    env: dict[str, str] = field(default_factory=dict)
    user: str = ""
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)
    exposed_ports: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)
    stop_signal: str = ""
    healthcheck: str = ""
    prefixes: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Built:
    """Result of a build; `size_bytes` counts the files that COPY placed, without base image and dependencies."""

    digest: str
    size_bytes: int
    config: ImageConfig
    log_lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that is there to be run."""

    digest: str
    size_bytes: int
    config: ImageConfig
    rootfs: Path


class ImageStore:
    """Images by digest below `root` (or below `place`, where the user that runs them can read). Thread-safe."""

    def __init__(self, root: Path) -> None:
        self.place = place_for(root)
        self._images = self.place / "images"
        self._images.mkdir(parents=True, exist_ok=True)
        self._images.chmod(0o755)
        self._environments = Environments(self.place / "environments")
        self._lock = threading.Lock()

    def build(
        self,
        source_tar_gz: bytes | Path,
        *,
        dockerfile: str = "Dockerfile",
        build_args: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> Built:
        """Build as `docker build` would, on a context from a tar.gz.

        The same files, modes, Dockerfile and lock give the same digest. BuildError, with the log so far, on an unsafe
        or too large tarball, a wrong Dockerfile, a COPY of what is not there, or a failed pip install.
        """
        log: list[str] = []
        with tempfile.TemporaryDirectory(prefix=".build-", dir=self._images) as scratch:
            try:
                return self._build(source_tar_gz, dockerfile, build_args or {}, max_bytes, Path(scratch), log)
            except (BuildError, DockerfileError) as error:
                earlier = error.log_lines if isinstance(error, BuildError) else ()
                raise BuildError(str(error), (*log, *earlier, f"ERROR: {error}")) from error

    def _build(
        self,
        source: bytes | Path,
        dockerfile: str,
        build_args: Mapping[str, str],
        max_bytes: int,
        scratch: Path,
        log: list[str],
    ) -> Built:
        context = scratch / "context"
        context.mkdir()
        unpack(source, context, max_bytes=max_bytes)
        file = context / dockerfile
        if not file.is_file() or not file.resolve().is_relative_to(context.resolve()):
            raise BuildError(f"unable to prepare context: unable to evaluate symlinks in Dockerfile path: {dockerfile}")
        parsed = parse(file.read_text(encoding="utf-8", errors="replace"), build_args)
        files = Staging(parsed, tree_of(context), log).run()
        lock = b"\n".join(files.locks[path] for path in sorted(files.locks))
        environment = self._environments.for_lock(lock)
        version = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
        log.append(f"Python {version} stands in for {parsed.last.base}; environment: {environment.kind}")
        config = _config(parsed, files)
        digest, size_bytes = _digest(config, files.tree, lock)
        self._keep(
            scratch / "image",
            files.tree,
            Image(digest=digest, size_bytes=size_bytes, config=config, rootfs=Path()),
            lock,
        )
        log.append(f"Successfully built {digest.removeprefix('sha256:')[:12]}")
        return Built(digest=digest, size_bytes=size_bytes, config=config, log_lines=tuple(log))

    def _keep(self, scratch: Path, tree: Mapping[str, Entry], image: Image, lock: bytes) -> None:
        kept = self._directory(image.digest)
        with self._lock:
            if kept.exists():
                return
            rootfs = scratch / "rootfs"
            rootfs.mkdir(parents=True)
            _write(tree, rootfs, runs_as_root=image.config.user.split(":")[0] in ("", "root", "0"))
            # Compiled beforehand: running code does not write into an image.
            compileall.compile_dir(rootfs, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
            (scratch / "lock.txt").write_bytes(lock)
            document = {"digest": image.digest, "sizeBytes": image.size_bytes, "config": asdict(image.config)}
            (scratch / "image.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
            scratch.chmod(0o755)
            scratch.rename(kept)

    def _directory(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        if len(name) != 64 or set(name) - set("0123456789abcdef"):
            raise KeyError(digest)
        return self._images / name

    def get(self, digest: str) -> Image:
        """The image of this digest (`sha256:<64 hex>`). KeyError when it is not kept."""
        directory = self._directory(digest)
        try:
            document = json.loads((directory / "image.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise KeyError(digest) from None
        return Image(
            digest=document["digest"],
            size_bytes=document["sizeBytes"],
            config=ImageConfig(**document["config"]),
            rootfs=directory / "rootfs",
        )

    def list(self) -> tuple[str, ...]:
        """Digests of all images, sorted."""
        names = (path.parent.name for path in self._images.glob("*/image.json"))
        return tuple(sorted(f"sha256:{name}" for name in names))

    def delete(self, digest: str) -> None:
        """Forget an image and its files. KeyError when it is not kept."""
        with self._lock:
            directory = self._directory(digest)
            if not directory.exists():
                raise KeyError(digest)
            shutil.rmtree(directory)

    def environment(self, digest: str) -> Environment:
        """The Python environment of an image, made anew when it is gone. KeyError, BuildError as in build()."""
        return self._environments.for_lock(self._lock_file(digest))

    def bare_environment(self) -> Environment:
        """The environment of an image without a lock file."""
        return self._environments.for_lock(b"")

    def packages(self, digest: str) -> tuple[tuple[str, str], ...]:
        """Name and version of every package pinned by the lock file of the image, sorted. KeyError."""
        return tuple(sorted(pins(self._lock_file(digest).decode("utf-8", errors="replace")).items()))

    def _lock_file(self, digest: str) -> bytes:
        self.get(digest)
        return (self._directory(digest) / "lock.txt").read_bytes()


def _config(dockerfile: Dockerfile, files: StageFiles) -> ImageConfig:
    last: Stage = dockerfile.last
    return ImageConfig(
        base=last.base,
        workdir=last.workdir,
        env=last.env,
        user=last.user,
        entrypoint=[*last.entrypoint],
        cmd=[*last.cmd],
        exposed_ports=last.exposed_ports,
        labels=last.labels,
        volumes=last.volumes,
        stop_signal=last.stop_signal,
        healthcheck=last.healthcheck,
        prefixes=sorted(files.prefixes),
        commands=files.commands,
    )


def _digest(config: ImageConfig, tree: Mapping[str, Entry], lock: bytes) -> tuple[str, int]:
    size_bytes = 0
    files: list[list[Any]] = []
    for path, entry in sorted(tree.items()):
        if entry.source is None:
            files.append([path, entry.mode, entry.link or ""])
            continue
        content = entry.source.read_bytes()
        size_bytes += len(content)
        files.append([path, entry.mode, entry.owned, hashlib.sha256(content).hexdigest()])
    document = {"config": asdict(config), "files": files, "lock": hashlib.sha256(lock).hexdigest()}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest(), size_bytes


def _write(tree: Mapping[str, Entry], rootfs: Path, *, runs_as_root: bool) -> None:
    rootfs.chmod(0o755)
    for path, entry in sorted(tree.items()):
        place = rootfs / path
        if entry.link is not None:
            # As in a container, `..` ends at the root of the image.
            target = posixpath.normpath(posixpath.join("/", posixpath.dirname(path), entry.link))
            place.symlink_to(posixpath.relpath(target, posixpath.join("/", posixpath.dirname(path))))
        elif entry.source is None:
            place.mkdir(mode=0o755)
            place.chmod(0o755)
        else:
            shutil.copyfile(entry.source, place)
            mode = entry.mode & 0o777
            # One user stands in for root and for owners by --chown: what those may read, others may.
            if os.geteuid() != 0 or runs_as_root or entry.owned:
                mode |= (mode >> 6) & 0o005
            place.chmod(mode & ~0o022)
