"""Between Memorystore's instances and the real Redis servers behind them: names, wishes, errors, ways, snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from plantctl.sandbox import errors
from plantctl.sandbox.dataplane import pki
from plantctl.sandbox.dataplane.error import DataPlaneError
from plantctl.sandbox.errors import ApiError
from plantctl.sandbox.service import World
from plantctl.sandbox.services.redis_base import auth_key
from plantctl.sandbox.services.redis_defaults import moment, next_snapshot
from plantctl.sandbox.services.redis_network import connected
from plantctl.sandbox.store import Body

if TYPE_CHECKING:
    from plantctl.sandbox.dataplane.redis import RedisPlane, Wish


def servers(world: World) -> RedisPlane | None:
    """The servers; none in control-plane tests."""
    return None if world.plane is None else world.plane.redis


def server(body: Body) -> str:
    """The plane's name of an instance."""
    from plantctl.sandbox.dataplane.plane import redis_name  # 0.3 s of imports that only the data plane needs

    _, project, _, location, _, instance = body["name"].split("/")
    return redis_name(project, location, instance)


def wish(world: World, key: str, body: Body) -> Wish:
    """What the servers are to be, by the instance as the API shows it and its AUTH string."""
    from plantctl.sandbox.dataplane.redis import Wish

    return Wish(
        memory_gb=int(body["memorySizeGb"]),
        auth=str((world.store.get(auth_key(key)) or {}).get("authString", "")),
        configs=dict(body.get("redisConfigs") or {}),
        replica=body["tier"] == "STANDARD_HA",
        persistent=body["persistenceConfig"]["persistenceMode"] == "RDB",
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn a failure of the servers into Memorystore's."""
    try:
        yield
    except DataPlaneError as error:
        if error.reason in ("exists", "invalid", "in-use", "not-found", "out-of-range", "not-running"):
            raise errors.failed_precondition(error.cause) from error
        raise ApiError("INTERNAL", str(error)) from error


def make(world: World, key: str, body: Body) -> Body:
    """Start the servers of an instance; gives its certificates. One that is there already, from a run of this
    operation that a restart cut off, is kept.
    """
    tls, plane = body["transitEncryptionMode"] == "SERVER_AUTHENTICATION", servers(world)
    pem = pki.authority("placeholder").certificate if plane is None and tls else ""
    if plane is not None:
        names = [body[field] for field in ("host", "readEndpoint") if field in body]
        with translated():
            if server(body) in plane.names():
                plane.configure(server(body), wish(world, key, body))
                pem = plane.describe(server(body)).server_ca
            else:
                pem = plane.create(server(body), wish(world, key, body), tls=tls, names=names).server_ca
    return {"serverCaCerts": [certificate(pem)]} if tls else {}


def remove(world: World, body: Body) -> None:
    """End the servers of an instance; nothing where there are none."""
    plane = servers(world)
    if plane is not None and server(body) in plane.names():
        with translated():
            plane.delete(server(body))


def certificate(pem: str) -> Body:
    """TlsCertificate of a PEM certificate."""
    parsed = x509.load_pem_x509_certificate(pem.encode())
    return {
        "serialNumber": str(parsed.serial_number),
        "cert": pem,
        "createTime": parsed.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "expireTime": parsed.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "sha1Fingerprint": parsed.fingerprint(hashes.SHA1()).hex(),  # noqa: S303 - the API's own identifier
    }


def place(world: World, body: Body) -> int:
    """Which of its two places the primary is in; 0 where no server stands behind the instance."""
    plane = servers(world)
    return plane.place(server(body)) if plane is not None and "host" in body else int(body.get("sandboxPlace", 0))


def endpoints(world: World, project: str, network: str) -> Iterator[tuple[str, int, int]]:
    """(address, port, loopback port) of the project's instances; 0 where a process in `network` does not reach it.

    The rules of Cloud SQL: the same network, and its private services access ACTIVE (direct peering needs none).
    """
    if world.plane is None:
        return
    for key, body in world.store.list(f"redis/projects/{project}/locations/"):
        if "/instances/" not in key or not body.get("host"):
            continue
        there = network == body["authorizedNetwork"]
        if there and body["connectMode"] == "PRIVATE_SERVICE_ACCESS":
            there = connected(world, network)
        write, read = world.plane.redis_ports(server(body)) if there else (0, 0)
        yield body["host"], body["port"], write
        if body.get("readEndpoint"):
            yield body["readEndpoint"], body["readEndpointPort"], read


def take_snapshots(world: World) -> None:
    """The snapshots that fell due; several of one instance that were missed are one. Nothing is taken of an instance
    that is being changed: it is, a minute later.
    """
    for key, body in world.store.list("redis/projects/"):
        due = body.get("persistenceConfig", {}).get("rdbNextSnapshotTime")
        if body["state"] != "READY" or not due or world.clock.now() < moment(due):
            continue
        plane = servers(world)
        if plane is not None:
            with translated():
                plane.snapshot(server(body))
        with world.store.transaction():
            live = world.store.get(key)
            if live is not None and live["persistenceConfig"] == body["persistenceConfig"]:
                following = next_snapshot(world, live["persistenceConfig"])
                live["persistenceConfig"]["rdbNextSnapshotTime"] = following
                world.store.put(key, live)


def shown(world: World, body: Body) -> Body:
    """An instance as it is now: the primary is where the servers have it."""
    if body["tier"] == "STANDARD_HA" and body.get("nodes"):
        body["currentLocationId"] = body["nodes"][place(world, body)]["zone"]
    return {name: value for name, value in body.items() if not name.startswith("sandbox")}
