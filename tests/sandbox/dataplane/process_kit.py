"""What tests of instances share: an image store that is open to others, a plane, and a collector of lines."""

import sys
import threading

import pytest

from plantctl.sandbox.dataplane.metadata import Identity

SELF = Identity(service_account="sa@p.iam.gserviceaccount.com", project_id="p", project_number="1", region="r")
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc and loopback aliases are Linux's")

DRAINS = """
import signal, sys, time
def drain(*_):
    print("draining", flush=True)
    time.sleep(0.2)
    print("drained", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, drain)
print("ready", flush=True)
time.sleep(60)
"""


def mint(account: str, kind: str, audience: str) -> tuple[str, int]:
    return f"{kind}:{account}:{audience}", 3600


class Lines:
    """Collects what an instance prints."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self._more = threading.Condition()

    def __call__(self, stream: str, line: str) -> None:
        with self._more:
            self.found.append((stream, line))
            self._more.notify_all()

    def wait_for(self, text: str) -> str:
        """The first line that holds the text."""
        with self._more:
            assert self._more.wait_for(lambda: any(text in line for _, line in self.found), 15), self.found
            return next(line for _, line in self.found if text in line)
