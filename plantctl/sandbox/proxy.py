"""A CONNECT proxy with a local certificate authority: Google's hosts end here, every other host is refused.

Unmodified clients (gcloud, Ansible, Terraform) reach the sandbox through it with no endpoint change (sandbox 4, way B).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from plantctl.sandbox.clock import wall

HOSTS = re.compile(r"^(?:[a-z0-9-]+\.)?googleapis\.com$")
RUN_HOSTS = re.compile(r"^[a-z0-9-]+\.[a-z0-9-]+\.run\.app$")
RUN_REGIONS = (
    "africa-south1", "asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3",
    "asia-south1", "asia-south2", "asia-southeast1", "asia-southeast2", "asia-southeast3", "australia-southeast1",
    "australia-southeast2", "europe-central2", "europe-north1", "europe-north2", "europe-southwest1", "europe-west1",
    "europe-west10", "europe-west12", "europe-west2", "europe-west3", "europe-west4", "europe-west6", "europe-west8",
    "europe-west9", "me-central1", "me-central2", "me-west1", "northamerica-northeast1", "northamerica-northeast2",
    "northamerica-south1", "southamerica-east1", "southamerica-west1", "us-central1", "us-east1", "us-east4",
    "us-east5", "us-south1", "us-west1", "us-west2", "us-west3", "us-west4",
)  # fmt: skip
"""Where Cloud Run is (its documentation, "locations"): the leaf needs a wildcard for each."""
LEAF_NAMES = (
    "*.googleapis.com", "googleapis.com", "*.google.com", "accounts.google.com", "oauth2.googleapis.com",
    "*.a.run.app", *(f"*.{region}.run.app" for region in RUN_REGIONS),
)  # fmt: skip
HEAD_LIMIT = 65536
GOODBYE_S = 1.0
REFUSAL = (
    "plantctl's sandbox serves Google's API hosts and Cloud Run services only and lets nothing out; it refuses {host}\n"
)


def authority(folder: Path) -> Path:
    """The CA certificate (`ca.pem`); makes CA and leaf on first use. Keys are readable by the owner only."""
    ca = folder / "ca.pem"
    if ca.exists() and _names(folder / "leaf.pem") == list(LEAF_NAMES):
        return ca
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plantctl sandbox CA")])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    ca_cert = (
        _builder(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    leaf_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "*.googleapis.com")])
    names = x509.SubjectAlternativeName([x509.DNSName(name) for name in LEAF_NAMES])
    leaf = (
        _builder(leaf_name, ca_name, leaf_key)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    _write(folder / "leaf.key", leaf_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, _plain()), 0o600)
    _write(folder / "leaf.pem", leaf.public_bytes(pem), 0o644)
    _write(ca, ca_cert.public_bytes(pem), 0o644)
    return ca


def allowed(host: str) -> bool:
    """Whether the proxy ends connections to this host here."""
    return HOSTS.match(host.lower()) is not None


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where things go: requests to `rest`, those of gRPC to `grpc`, those to Cloud Run services to `edge` (0: none)."""

    rest: int
    grpc: int
    edge: int


class Proxy:
    """The proxy's connection handler for asyncio."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        self.ca = authority(folder)
        self._ports = ports
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(folder / "leaf.pem", folder / "leaf.key")
        # the server's order decides: only who speaks nothing but HTTP/2 is a gRPC client
        self._tls.set_alpn_protocols(["http/1.1", "h2"])
        self._open: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        self._writers.add(writer)
        with _quiet():
            try:
                await self._serve(reader, writer)
            finally:
                await _end(writer)
                self._writers.discard(writer)

    async def close(self) -> None:
        """End all connections."""
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await asyncio.sleep(0.01)  # the loop closes what was aborted in its next rounds

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        verb, target = head.split(b" ", 2)[:2]
        where = target.decode("latin-1")
        tunnel = verb == b"CONNECT"
        host = where.rsplit(":", 1)[0] if tunnel else re.sub(r"^https?://", "", where).split("/")[0].split(":")[0]
        if tunnel and self._ports.edge and RUN_HOSTS.match(host.lower()):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await self._join(reader, writer, self._ports.edge, b"")  # untouched: the front door ends TLS itself
            return
        if not allowed(host):
            words = REFUSAL.format(host=host or where).encode()
            writer.write(
                b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                b"Content-Length: " + str(len(words)).encode() + b"\r\n\r\n" + words
            )
            await writer.drain()
            return
        if tunnel:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.drain()
            await writer.start_tls(self._tls)
        spoken = writer.get_extra_info("ssl_object").selected_alpn_protocol() if tunnel else ""
        port = self._ports.grpc if spoken == "h2" else self._ports.rest
        await self._join(reader, writer, port, b"" if tunnel else head)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, first: bytes) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", port)
        self._writers.add(back_writer)
        try:
            back_writer.write(first)
            await _both(_pipe(reader, back_writer), _pipe(back_reader, writer))
        finally:
            await _end(back_writer)
            self._writers.discard(back_writer)


async def _end(writer: asyncio.StreamWriter) -> None:
    """Close in good order, but do not wait long for the other side to say goodbye."""
    writer.close()
    try:
        await asyncio.wait_for(writer.wait_closed(), GOODBYE_S)
    except (OSError, TimeoutError, asyncio.CancelledError):
        writer.transport.abort()
        raise


async def _both(*pipes: Coroutine[None, None, None]) -> None:
    # the first side that ends ends the connection: HTTP has no half-open use here
    tasks = [asyncio.create_task(pipe) for pipe in pipes]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(HEAD_LIMIT):
        writer.write(data)
        await writer.drain()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """A client that goes away is no event."""
    broken = (ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError)
    with contextlib.suppress(*broken, asyncio.CancelledError, OSError):
        yield


def _names(leaf: Path) -> list[str]:
    """Names in a certificate that was made before; none when there is no such file."""
    if not leaf.exists():
        return []
    found = x509.load_pem_x509_certificate(leaf.read_bytes())
    extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return list(extension.value.get_values_for_type(x509.DNSName))


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.fromtimestamp(wall(), UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=825))
    )


def _plain() -> serialization.NoEncryption:
    return serialization.NoEncryption()


def _write(path: Path, content: bytes, mode: int) -> None:
    path.touch(mode=mode)
    path.write_bytes(content)
