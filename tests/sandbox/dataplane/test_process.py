"""Instances: what runs, with which environment, how it ends, and that nothing of it stays."""

import json
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plantctl.sandbox.dataplane.forward import ForwardLoop, ForwardSet
from plantctl.sandbox.dataplane.image import ImageStore
from plantctl.sandbox.dataplane.process import Launch, ProcessPlane
from tests.sandbox.dataplane.process_kit import DRAINS, SELF, Lines, linux
from tests.sandbox.dataplane.tarballs import DOCKERFILE, toy

REPORT = "import json, os, sys\nprint(json.dumps({'argv': sys.argv, 'env': dict(os.environ), 'cwd': os.getcwd()}))\n"


def _report(plane: ProcessPlane, launch: Launch) -> dict[str, Any]:
    lines = Lines()
    running = plane.run(replace(launch, on_line=lines))
    assert running.wait(20) == 0, lines.found
    found: dict[str, Any] = json.loads(lines.found[-1][1])
    return found


def _gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in ("Z", "X")


def _wait_gone(pid: int) -> bool:
    for _ in range(100):
        if _gone(pid):
            return True
        time.sleep(0.05)
    return False


def test_environment_is_what_was_given_and_nothing_else(
    plane: ProcessPlane, images: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "of the parent")
    monkeypatch.setenv("PYTHONPATH", "/canary")
    dockerfile = DOCKERFILE.replace("WORKDIR /app\n", "WORKDIR /app\nENV MODE=image LEVEL=image CONFIG=/app/toy\n")
    digest = images.build(toy(REPORT, dockerfile=dockerfile)).digest
    launch = Launch(
        digest=digest, identity=SELF, env={"MODE": "given", "API": "/toy", "DSN": "x?y=/app/toy"}, port=8123
    )
    report = _report(plane, launch)
    env, app = report["env"], str(images.get(digest).rootfs / "app")
    assert report["cwd"] == app
    assert report["argv"][1:] == ["serve"]
    assert set(env) - {"LC_CTYPE"} == {
        "PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "HOME", "TMPDIR", "PORT", "GCE_METADATA_HOST",
        "GCE_METADATA_IP", "MODE", "LEVEL", "CONFIG", "API", "DSN",
    }  # fmt: skip
    assert (env["MODE"], env["LEVEL"], env["PORT"]) == ("given", "image", "8123")
    assert (env["CONFIG"], env["DSN"], env["API"]) == (f"{app}/toy", f"x?y={app}/toy", "/toy")
    assert env["PYTHONPATH"] == app
    assert env["PATH"].startswith(str(images.environment(digest).bin))


def test_packages_that_the_lock_does_not_name_are_not_there(plane: ProcessPlane, images: ImageStore) -> None:
    lines = Lines()
    digest = images.build(toy("import idna\n")).digest
    assert plane.run(Launch(digest=digest, identity=SELF, on_line=lines)).wait(20) == 1
    assert lines.wait_for("ModuleNotFoundError")
    digest = images.build(toy("import plantctl\n")).digest
    assert plane.run(Launch(digest=digest, identity=SELF)).wait(20) == 1, "the development install is not on the path"


def test_older_digest_runs_older_code(plane: ProcessPlane, images: ImageStore) -> None:
    digests = [images.build(toy(f"print('release {number}')\n")).digest for number in (1, 2)]
    for number, digest in ((2, digests[1]), (1, digests[0])):
        lines = Lines()
        assert plane.run(Launch(digest=digest, identity=SELF, on_line=lines)).wait(20) == 0
        assert lines.found == [("stdout", f"release {number}")]


@pytest.mark.parametrize(
    ("command", "args", "shown"),
    [
        ((), (), "['serve']"),
        ((), ("migrate", "--to", "head"), "['migrate', '--to', 'head']"),
        (("/venv/bin/python", "-m", "toy"), (), "[]"),
        (("/usr/local/bin/python3", "toy/__main__.py"), ("a",), "['a']"),
        (("/bin/sh", "-c", "exec python -m toy $PORT"), (), "['9']"),
        (("/app/toy/tool",), ("b",), "['b']"),
    ],
)
def test_command_and_args(
    plane: ProcessPlane, images: ImageStore, command: tuple[str, ...], args: tuple[str, ...], shown: str
) -> None:
    source = toy("import sys\nprint(sys.argv[1:])\n", **{"toy/tool": "#!/usr/local/bin/python3\nimport toy.__main__\n"})
    lines = Lines()
    launch = Launch(
        digest=images.build(source).digest, identity=SELF, command=command, args=args, port=9, on_line=lines
    )
    assert plane.run(launch).wait(20) == 0, lines.found
    assert lines.found == [("stdout", shown)]


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("raise SystemExit(3)", 3),
        ("raise ValueError", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137),
        ("import os; os.close(1); os.close(2); os._exit(4)", 4),
    ],
)
def test_exit_codes(plane: ProcessPlane, images: ImageStore, program: str, code: int) -> None:
    running = plane.run(Launch(digest=images.build(toy(program)).digest, identity=SELF))
    assert running.wait(20) == code
    assert running.ended_because == "exited"
    assert running.ended_at is not None
    assert running.ended_at >= running.started_at


def test_program_that_is_not_there(plane: ProcessPlane, images: ImageStore) -> None:
    lines = Lines()
    launch = Launch(digest=images.build(toy("")).digest, identity=SELF, command=("gunicorn",), on_line=lines)
    assert plane.run(launch).wait(20) == 127
    assert lines.found == [("stderr", 'exec: "gunicorn": executable file not found in $PATH')]


def test_what_cannot_start_leaves_nothing(plane: ProcessPlane, images: ImageStore) -> None:
    digest = images.build(toy("", dockerfile="FROM scratch\n")).digest
    with pytest.raises(ValueError, match="neither ENTRYPOINT nor CMD"):
        plane.run(Launch(digest=digest, identity=SELF))
    with pytest.raises(FileNotFoundError, match="/nowhere"):
        plane.run(Launch(digest=digest, identity=SELF, workdir="/nowhere", command=("x",)))
    with pytest.raises(KeyError):
        plane.run(Launch(digest="sha256:" + "0" * 64, identity=SELF))
    assert not list(images.place.glob("runs/*"))


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=len(sys.argv) > 2)
print("pids", os.getpid(), child.pid, flush=True)
time.sleep(60)
"""


def test_sigterm_lets_it_drain(plane: ProcessPlane, images: ImageStore) -> None:
    lines = Lines()
    running = plane.run(Launch(digest=images.build(toy(DRAINS)).digest, identity=SELF, on_line=lines))
    lines.wait_for("ready")
    assert running.poll() is None
    assert running.terminate(grace_s=10) == 0
    assert [line for _, line in lines.found] == ["ready", "draining", "drained"]
    assert running.ended_because == "terminated"
    assert running.terminate() == 0, "a second time does nothing"


@linux
@pytest.mark.parametrize("args", [("stay",), ("leave", "the group")])
def test_what_ignores_sigterm_is_killed_with_its_children(
    plane: ProcessPlane, images: ImageStore, args: tuple[str, ...]
) -> None:
    lines = Lines()
    running = plane.run(Launch(digest=images.build(toy(STUBBORN)).digest, identity=SELF, args=args, on_line=lines))
    pids = [int(word) for word in lines.wait_for("pids").split()[1:]]
    assert running.terminate(grace_s=0.3) == 137
    assert all(_wait_gone(pid) for pid in [*pids, running.pid])


@linux
def test_children_end_with_the_program(plane: ProcessPlane, images: ImageStore) -> None:
    program = STUBBORN.rpartition("time.sleep(60)")[0]
    lines = Lines()
    launch = Launch(digest=images.build(toy(program)).digest, identity=SELF, args=("a", "b"), on_line=lines)
    running = plane.run(launch)
    pids = [int(word) for word in lines.wait_for("pids").split()[1:]]
    assert running.wait(20) == 0
    assert all(_wait_gone(pid) for pid in pids)


def test_timeout_ends_it_and_says_why(plane: ProcessPlane, images: ImageStore) -> None:
    running = plane.run(Launch(digest=images.build(toy(DRAINS)).digest, identity=SELF, timeout_s=0.6))
    assert running.wait(20) == 0 or running.exit_code == 143, "143 when the signal came before the handler"
    assert running.ended_because == "timeout"


@linux
@pytest.mark.parametrize("session", ["", "leave"])
def test_nothing_survives_a_sandbox_that_is_killed(images: ImageStore, session: str) -> None:
    digest = images.build(toy(STUBBORN)).digest
    program = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from plantctl.sandbox.dataplane.image import ImageStore\n"
        "from plantctl.sandbox.dataplane.metadata import Identity\n"
        "from plantctl.sandbox.dataplane.process import Launch, ProcessPlane\n"
        "images = ImageStore(Path(sys.argv[1]))\n"
        "plane = ProcessPlane(images.place, images, lambda *_: ('t', 1))\n"
        "me = Identity(service_account='s', project_id='p', project_number='1', region='r')\n"
        "def go():\n"
        "    plane.run(Launch(digest=sys.argv[2], identity=me, args=tuple(sys.argv[3:]), files={'/s/secret': b'x'},\n"
        "        on_line=lambda _, line: print(line, flush=True)))\n"
        "thread = threading.Thread(target=go)\n"
        "thread.start(); thread.join()\n"
        "threading.Event().wait()\n"
    )
    arguments = ["x", session] if session else ["x"]
    with subprocess.Popen(
        [sys.executable, "-c", program, str(images.place), digest, *arguments], stdout=subprocess.PIPE, text=True
    ) as sandbox:
        assert sandbox.stdout is not None
        pids = [int(word) for word in sandbox.stdout.readline().split()[1:]]
        time.sleep(0.2)
        assert len(pids) == 2
        assert not any(_gone(pid) for pid in pids), "alive although the thread that started them has ended"
        assert list(images.place.glob("runs/*/mount-*/secret"))
        sandbox.send_signal(signal.SIGKILL)
        sandbox.wait(5)
    assert all(_wait_gone(pid) for pid in pids)
    for _ in range(100):
        if not list(images.place.glob("runs/*")):
            break
        time.sleep(0.05)
    assert not list(images.place.glob("runs/*")), "the secret files went with it"


def test_secret_files_are_mapped_and_private(plane: ProcessPlane, images: ImageStore) -> None:
    program = (
        "import os, pathlib\n"
        "path = pathlib.Path(os.environ['CA'])\n"
        "print(path.read_text(), oct(path.stat().st_mode & 0o777), path.stat().st_uid == os.getuid())\n"
        "print(oct(path.parent.stat().st_mode & 0o777), os.listdir(os.environ['DIRECTORY']))\n"
        "print(os.environ['DSN'].partition('=')[2] == str(path), os.environ['OTHER'])\n"
        "print(pathlib.Path(f'/proc/{os.getppid()}/cmdline').read_text().count('hush'))\n"
    )
    lines = Lines()
    running = plane.run(
        Launch(
            digest=images.build(toy(program)).digest,
            identity=SELF,
            env={
                "CA": "/etc/redis-ca/ca.pem",
                "DIRECTORY": "/etc/redis-ca",
                "DSN": "postgres://h/d?sslrootcert=/etc/redis-ca/ca.pem",
                "OTHER": "/etc/redis-cat",
            },
            files={"/etc/redis-ca/ca.pem": b"hush"},
            on_line=lines,
        )
    )
    assert running.wait(20) == 0, lines.found
    assert [line for _, line in lines.found] == [
        "hush 0o400 True", "0o700 ['ca.pem']", "True /etc/redis-cat", "0",
    ]  # fmt: skip
    launch = Launch(digest="sha256:" + "0" * 64, identity=SELF, env={"P": "hush"}, files={"/f": b"hush"})
    assert "hush" not in repr(launch)


@linux
def test_reserved_addresses_are_replaced_and_forwarders_end_with_it(plane: ProcessPlane, images: ImageStore) -> None:
    loop = ForwardLoop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        forwards = ForwardSet(loop)
        opened = forwards.open("10.20.0.3", 5432, ("127.0.0.1", server.getsockname()[1]))
        program = (
            "import os, socket, pathlib\n"
            "print(os.environ['DB_HOST'], pathlib.Path(os.environ['FILE']).read_text())\n"
            "socket.create_connection((os.environ['DB_HOST'], 5432), timeout=5).close()\n"
        )
        lines = Lines()
        running = plane.run(
            Launch(
                digest=images.build(toy(program)).digest,
                identity=SELF,
                env={"DB_HOST": "10.20.0.3", "FILE": "/secrets/dsn"},
                files={"/secrets/dsn": b"host=10.20.0.3"},
                forwards=forwards,
                on_line=lines,
            )
        )
        assert running.wait(20) == 0, lines.found
        assert lines.found == [("stdout", f"{opened.host} host={opened.host}")]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((opened.host, 5432), timeout=5)
    loop.close()


def test_identity_comes_from_its_own_metadata_server(plane: ProcessPlane, images: ImageStore) -> None:
    program = (
        "import os, urllib.request as u\n"
        "root = 'http://' + os.environ['GCE_METADATA_HOST'] + '/computeMetadata/v1/instance/service-accounts/'\n"
        "url = root + 'default/identity?audience=a'\n"
        "print(u.urlopen(u.Request(url, headers={'Metadata-Flavor': 'Google'})).read())\n"
        "print(os.environ['GCE_METADATA_HOST'])\n"
    )
    lines = Lines()
    assert plane.run(Launch(digest=images.build(toy(program)).digest, identity=SELF, on_line=lines)).wait(20) == 0
    assert lines.found[0] == ("stdout", f"b'identity:{SELF.service_account}:a'")
    host, _, port = lines.found[1][1].partition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)
