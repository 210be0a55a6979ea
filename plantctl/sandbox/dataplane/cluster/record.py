"""What is remembered of one instance across processes: `instance.json`, replaced at once, private to the sandbox."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from plantctl.sandbox.dataplane.accounts import Account
from plantctl.sandbox.dataplane.error import DataPlaneError

FILE = "instance.json"


@dataclass(kw_only=True)
class Epoch:
    """A stretch of history with a WAL archive of its own; a restore ends one and begins the next. Times: ISO, UTC."""

    name: str
    started: str
    ended: str | None = None


@dataclass(kw_only=True)
class Record:
    """One instance. `wanted` is creating, running or stopped; `node` and `standby` name folders below nodes/."""

    name: str
    source: str
    major: int
    port: int
    ssl_mode: str
    wanted: str
    node: str
    flags: dict[str, str]
    names: list[str]
    epochs: list[Epoch]
    standby: str | None = None
    standby_port: int | None = None
    high_availability: bool = False
    stopped: str | None = None
    collations: dict[str, str] = field(default_factory=dict)  # database -> the collation asked for

    @property
    def epoch(self) -> Epoch:
        """The current one."""
        return self.epochs[-1]

    def save(self, folder: Path, account: Account) -> None:
        """Writes the record into the instance's folder."""
        account.write(folder / FILE, json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, folder: Path) -> "Record":
        """Reads it back; DataPlaneError (not-found) when there is none, or none that can be read."""
        try:
            data: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
            data["epochs"] = [Epoch(**epoch) for epoch in data["epochs"]]
            return cls(**data)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataPlaneError(f"read {folder.name}", f"no usable {FILE}: {error}", reason="not-found") from error
