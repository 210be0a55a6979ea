"""The build context: the same files give the same bytes, what is ignored stays out, and faults of a Dockerfile."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from plantctl.model.plant import Plant
from plantctl.steps.source import SourceError, faults, folder, pack

DOCKERFILE = """FROM python:3.11-slim AS build
COPY app \\
     requirements.lock /build/
FROM python:3.11-slim
COPY --from=build /build /app
USER 10001
ENTRYPOINT ["python", "/app/main.py"]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "Dockerfile": DOCKERFILE,
        ".dockerignore": "# what stays out\n*.md\n**/secret*\n!app/secret_santa.py\nDockerfile\n",
        "app/main.py": "print(1)\n",
        "app/secret.txt": "s\n",
        "app/secret_santa.py": "x = 1\n",
        "app/__pycache__/main.cpython-311.pyc": "y",
        "app/notes.md": "n\n",
        "requirements.lock": "a==1\n",
        "other/not-copied.py": "z\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        return tar.getnames()


def test_only_what_is_copied_and_not_ignored_is_sent(root: Path) -> None:
    packed = pack(root)
    wanted = [".dockerignore", "Dockerfile", "app/main.py", "app/secret_santa.py", "requirements.lock"]
    assert names(packed.data) == wanted
    assert packed.files == len(wanted)


def test_the_same_files_are_the_same_bytes_and_others_are_not(root: Path) -> None:
    before = pack(root)
    os.utime(root / "app/main.py", (1, 1))
    assert pack(root) == before
    (root / "app/main.py").chmod(0o755)
    executable = pack(root)
    assert executable.sha256 != before.sha256
    (root / "other/not-copied.py").write_text("changed\n")
    assert pack(root) == executable
    (root / "app/main.py").write_text("print(2)\n")
    assert pack(root).sha256 != executable.sha256


def test_too_much_and_nothing_are_refused(root: Path) -> None:
    with pytest.raises(SourceError, match="no Dockerfile in") as missing:
        folder(replace(Plant(), backend=replace(Plant().backend, source="other")), root)
    assert "backend.source" in missing.value.hint
    assert folder(Plant(), root) == root
    with (root / "app/big.bin").open("wb") as big:
        big.truncate(65 * 2**20)
    with pytest.raises(SourceError, match="more than 64"):
        pack(root)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("USER 10001\n", "", "runs as root"),
        ("USER 10001\n", "USER 0:0\n", "runs as root"),
        ('["python", "/app/main.py"]', "python /app/main.py", "not in exec form"),
        ("USER 10001\n", "RUN pip install x\nUSER 10001\n", "build tools or packages"),
        ("FROM python:3.11-slim AS build\n", "", "one stage only"),
    ],
)
def test_a_fault_is_named(root: Path, old: str, new: str, says: str) -> None:
    assert faults(root) == []
    (root / "Dockerfile").write_text(DOCKERFILE.replace(old, new))
    (fault,) = faults(root)
    assert says in fault
