"""What is remembered of one Redis instance across processes: `instance.json`, replaced at once, private."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from plantctl.sandbox.dataplane.accounts import Account
from plantctl.sandbox.dataplane.error import DataPlaneError

FILE = "instance.json"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What can be changed in place. `auth`: the AUTH string, empty for none; `replica`: keep one; `persistent`: after
    a crash the last snapshot is loaded, else the instance comes back empty.
    """

    memory_gb: int
    auth: str = ""
    configs: dict[str, str] = field(default_factory=dict)
    replica: bool = False
    persistent: bool = False


@dataclass(kw_only=True)
class Record:
    """One instance. `wanted` is creating or running; `node` and `replica` name folders below nodes/.

    `port` and `read_port` are the clients' ports, `node_port` and `replica_port` those of the servers without TLS.
    `index` is the primary's place: 0 or 1, the other after every failover. `clean`: the primary was stopped in order
    and has left its data in dump.rdb.
    """

    name: str
    source: str
    tls: bool
    names: list[str]
    wish: Wish
    wanted: str
    port: int
    read_port: int
    node: str
    node_port: int = 0
    replica: str | None = None
    replica_port: int = 0
    index: int = 0
    clean: bool = False
    snapshot: str | None = None

    def save(self, folder: Path, account: Account) -> None:
        """Writes the record into the instance's folder."""
        account.write(folder / FILE, json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, folder: Path) -> "Record":
        """Reads it back; DataPlaneError (not-found) when there is none, or none that can be read."""
        try:
            data = json.loads((folder / FILE).read_text(encoding="utf-8"))
            return cls(**{**data, "wish": Wish(**data["wish"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataPlaneError(f"read {folder.name}", f"no usable {FILE}: {error}", reason="not-found") from error
