"""Instances that serve, that end with their plane, and as whom they run."""

import os
import socket
import time
from pathlib import Path

import pytest

from plantctl.sandbox.dataplane.image import ImageStore
from plantctl.sandbox.dataplane.places import NOBODY, can_lend_reading
from plantctl.sandbox.dataplane.process import Launch, ProcessPlane
from plantctl.sandbox.dataplane.running import RunAs, Running, free_port, start
from tests.sandbox.dataplane.process_kit import DRAINS, SELF, Lines, linux
from tests.sandbox.dataplane.tarballs import toy

SERVES = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()
http.server.HTTPServer((sys.argv[1], int(os.environ["PORT"])), Handler).serve_forever()
"""


def _serve(plane: ProcessPlane, images: ImageStore, host: str) -> tuple[Running, int]:
    port = free_port()
    launch = Launch(digest=images.build(toy(SERVES)).digest, identity=SELF, args=(host,), port=port)
    return plane.run(launch), port


def test_health_gate(plane: ProcessPlane, images: ImageStore) -> None:
    running, port = _serve(plane, images, "0.0.0.0")
    assert running.wait_listening(port, "/health", 15).ok
    assert running.wait_listening(port, None, 15).ok
    unwell = running.wait_listening(port, "/other", 0.3)
    assert (unwell.ok, unwell.reason) == (False, "GET /other answered 503 after 0.3 s")
    silent = running.wait_listening(free_port(), None, 0.2)
    assert not silent.ok
    assert silent.reason.startswith("nothing listens on port")
    running.terminate(0)
    assert running.wait_listening(port, "/health", 15).reason == "the container exited with code 137"


@linux
def test_server_on_127_0_0_1_alone_is_not_found_as_on_cloud_run(plane: ProcessPlane, images: ImageStore) -> None:
    running, port = _serve(plane, images, "127.0.0.1")
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    assert not running.wait_listening(port, "/health", 0.3).ok


def test_long_lines_are_cut_and_a_failing_listener_stops_nothing(plane: ProcessPlane, images: ImageStore) -> None:
    sizes: list[int] = []

    def listen(_stream: str, line: str) -> None:
        sizes.append(len(line))
        raise RuntimeError("full")

    digest = images.build(toy("import sys\nprint('x' * 600_000)\nprint('end', file=sys.stderr)\n")).digest
    running = plane.run(Launch(digest=digest, identity=SELF, on_line=listen))
    assert running.wait(20) == 0
    assert sorted(sizes) == [3, 600_000 - 2 * 262_144, 262_144, 262_144]
    assert isinstance(running.line_error, RuntimeError)


def test_close_ends_all_and_refuses_more(plane: ProcessPlane, images: ImageStore) -> None:
    lines = Lines()
    digest = images.build(toy(DRAINS)).digest
    running = [plane.run(Launch(digest=digest, identity=SELF, on_line=lines)) for _ in range(2)]
    for _ in running:
        lines.wait_for("ready")
    assert plane.describe()["instances"] == "2"
    plane.close()
    assert all(instance.poll() is not None for instance in running)
    assert plane.describe()["instances"] == "0"
    with pytest.raises(RuntimeError, match="closed"):
        plane.run(Launch(digest=digest, identity=SELF))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs processes as another user")
@pytest.mark.parametrize("reads_all", [False, True])
def test_launcher_gives_up_root(tmp_path: Path, reads_all: bool) -> None:
    if reads_all and not can_lend_reading():
        pytest.skip("this machine's root has no CAP_DAC_READ_SEARCH to lend")
    secret = tmp_path / "secret"
    secret.write_text("words of root\n")
    secret.chmod(0o600)
    tmp_path.chmod(0o700)
    script = f"trap '' TERM; id -u; id -G; cat {secret} 2>&1; echo x 2>&1 >> {secret}; echo done; sleep 60"
    lines = Lines()
    own_groups = os.getgroups()
    os.setgroups([*own_groups, 65533])
    try:
        running = start(
            argv=["/bin/sh", "-c", script],
            env={"PATH": "/usr/bin:/bin"},
            workdir=Path("/"),
            user=RunAs(uid=NOBODY, reads_all=reads_all),
            scratch=tmp_path / "scratch",
            timeout_s=None,
            on_line=lines,
            at_end=lambda: None,
        )
    finally:
        os.setgroups(own_groups)
    lines.wait_for("done")
    assert running.terminate(grace_s=0.1) == 137
    printed = [line for stream, line in lines.found if stream == "stdout"]
    assert printed[:2] == [str(NOBODY), str(NOBODY)]
    assert ("words of root" in printed) == reads_all
    assert secret.read_text() == "words of root\n"


@pytest.mark.skipif(os.geteuid() != 0 or not can_lend_reading(), reason="only root runs processes as another user")
def test_code_run_by_root_is_not_root_and_cannot_change_its_image(plane: ProcessPlane, images: ImageStore) -> None:
    program = (
        "import os, pathlib\n"
        "print(os.getuid(), pathlib.Path(os.environ['F']).read_text())\n"
        "pathlib.Path(os.environ['HOME'], 'x').write_text('mine')\n"
        "pathlib.Path('y').write_text('not mine')\n"
    )
    lines = Lines()
    digest = images.build(toy(program)).digest
    running = plane.run(Launch(digest=digest, identity=SELF, env={"F": "/s/f"}, files={"/s/f": b"s"}, on_line=lines))
    assert running.wait(20) == 1
    assert ("stdout", f"{NOBODY} s") in lines.found
    assert lines.wait_for("PermissionError").endswith("Permission denied: 'y'")
