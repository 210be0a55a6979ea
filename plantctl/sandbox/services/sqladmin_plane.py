"""Between Cloud SQL's instances and the real PostgreSQL servers behind them: names, errors, certificates, time."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from plantctl.sandbox import errors
from plantctl.sandbox.dataplane import pki
from plantctl.sandbox.dataplane.error import DataPlaneError
from plantctl.sandbox.errors import ApiError
from plantctl.sandbox.service import World
from plantctl.sandbox.services.sqladmin_tables import engine
from plantctl.sandbox.store import Body

if TYPE_CHECKING:
    from plantctl.sandbox.dataplane.postgres import PostgresPlane

OFFSETS = "sqladmin-clock/offsets"


def postgres(world: World, body: Body) -> PostgresPlane | None:
    """The servers, where this instance has one: none for MySQL and SQL Server, none in control-plane tests."""
    if world.plane is None or engine(body["databaseVersion"]) != "POSTGRES":
        return None
    return world.plane.postgres


def server(body: Body) -> str:
    """The plane's name of an instance."""
    return server_name(body["project"], body["name"])


def server_name(project: str, instance: str) -> str:
    """The plane's name of an instance that may be gone."""
    from plantctl.sandbox.dataplane.plane import sql_name  # 0.3 s of imports that only the data plane needs

    return sql_name(project, instance)


@contextmanager
def translated(words: str = "") -> Iterator[None]:
    """Turn a failure of the servers into Cloud SQL's; `words` stand before the server's own."""
    try:
        yield
    except DataPlaneError as error:
        text = f"{words} {error.cause}".strip()
        if error.reason in ("exists", "invalid", "in-use", "not-found", "out-of-range", "not-running"):
            raise errors.invalid(f"Invalid request: {text}", legacy_reason="invalid") from error
        raise ApiError("INTERNAL", str(error), legacy_reason="INTERNAL_ERROR") from error


def flags(body: Body) -> dict[str, str]:
    """settings.databaseFlags as names and values."""
    return {row["name"]: str(row.get("value", "")) for row in body["settings"].get("databaseFlags", [])}


def names(body: Body) -> list[str]:
    """What the server certificate has to verify for: every address of the instance."""
    return [entry["ipAddress"] for entry in body.get("ipAddresses", [])]


def standby(body: Body) -> bool:
    """Whether the instance is highly available."""
    return bool(body["settings"]["availabilityType"] == "REGIONAL")


def observe(world: World, body: Body) -> None:
    """Write into the instance what only the server knows: its version and its CA."""
    plane = postgres(world, body)
    if plane is None:
        body.setdefault("serverCaCert", certificate(_placeholder(body), body["name"]))
        return
    with translated():
        found = plane.describe(server(body))
    body["databaseInstalledVersion"] = found.version
    body["serverCaCert"] = certificate(found.server_ca, body["name"])


def certificate(pem: str, instance: str) -> Body:
    """sql#sslCert of a PEM certificate."""
    parsed = x509.load_pem_x509_certificate(pem.encode())
    subject = ",".join(part.rfc4514_string() for part in reversed(parsed.subject.rdns))
    return {
        "kind": "sql#sslCert",
        "cert": pem,
        "certSerialNumber": str(parsed.serial_number),
        "commonName": subject,
        "createTime": _millis(parsed.not_valid_before_utc),
        "expirationTime": _millis(parsed.not_valid_after_utc),
        "instance": instance,
        "sha1Fingerprint": parsed.fingerprint(hashes.SHA1()).hex(),  # noqa: S303 - the API's own identifier
    }


def _placeholder(body: Body) -> str:
    return pki.authority(f"Google Cloud SQL Server CA of {server(body)}").certificate


def _millis(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


# -- secrets on their way to the server: never in the store, which keeps operations

_SECRETS: dict[str, str] = {}
_GUARD = threading.Lock()


def deposit(secret: str) -> str:
    """Keep a password in memory until its operation ends; gives the ticket that goes into the operation's args."""
    ticket = secrets.token_hex(8)
    with _GUARD:
        _SECRETS[ticket] = secret
    return ticket


def withdraw(ticket: str) -> str:
    """The password behind a ticket, once; an operation that outlived the process which took it fails, as lost."""
    with _GUARD:
        found = _SECRETS.pop(ticket, None)
    if found is None:
        raise ApiError("INTERNAL", "The sandbox was restarted meanwhile.", legacy_reason="INTERNAL_ERROR")
    return found


# -- sandbox time against the servers' wall time: the sandbox's clock may leap ahead, their log of changes does not


def note_offset(world: World) -> None:
    """Remember when the clock leapt, so that moments before and after the leap both find their place in the log."""
    rows = (world.store.get(OFFSETS) or {"rows": [[0.0, 0.0]]})["rows"]
    if rows[-1][1] != world.clock.offset_s or OFFSETS not in world.store:
        world.store.put(OFFSETS, {"rows": [*rows, [world.clock.wall(), world.clock.offset_s]]})


def to_wall(world: World, moment: datetime) -> datetime:
    """The wall time of a moment of sandbox time; a moment inside a leap is the instant of the leap."""
    note_offset(world)
    rows = (world.store.get(OFFSETS) or {})["rows"]
    wanted = moment.timestamp()
    for (since, offset), (until, _) in zip(rows, [*rows[1:], [float("inf"), 0.0]], strict=True):
        if wanted - offset < until:
            return datetime.fromtimestamp(max(wanted - offset, since), UTC)
    raise AssertionError("the last stretch has no end")


def to_sandbox(world: World, moment: datetime) -> datetime:
    """The sandbox time of a moment of wall time."""
    note_offset(world)
    rows = (world.store.get(OFFSETS) or {})["rows"]
    offset = next(offset for since, offset in reversed(rows) if moment.timestamp() >= since)
    return moment + timedelta(seconds=offset)
