"""The one exception of the data plane: what failed, why, and the server's own last words."""

from collections.abc import Sequence


class DataPlaneError(Exception):
    """A real server could not do what was asked.

    `what` is a clause ("start PostgreSQL of p:i"), `cause` one sentence, `log` the last lines of the server's log.
    `reason` is for the control plane's choice of answer: failed, not-found, exists, invalid, in-use, not-running,
    out-of-range, port-taken, disk-full, timeout, no-binaries.
    """

    def __init__(self, what: str, cause: str, *, reason: str = "failed", log: Sequence[str] = ()) -> None:
        self.what = what
        self.cause = cause
        self.reason = reason
        self.log = tuple(log)
        words = f"cannot {what}: {cause}"
        super().__init__("\n  | ".join([words, *self.log]))


def classify(text: str) -> str:
    """The `reason` that a tool's output gives away; "failed" when none."""
    for needle, reason in (
        ("No space left on device", "disk-full"),
        ("Disk quota exceeded", "disk-full"),
        ("Address already in use", "port-taken"),
    ):
        if needle in text:
            return reason
    return "failed"
