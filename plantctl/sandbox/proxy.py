"""A CONNECT proxy with a local certificate authority: Google's hosts end here, every other host is refused.

Unmodified clients (gcloud, Ansible, Terraform) reach the sandbox through it with no endpoint change (sandbox 4, way B).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from plantctl.sandbox.clock import wall

HOSTS = re.compile(r"^(?:[a-z0-9-]+\.)?googleapis\.com$")
LEAF_NAMES = ("*.googleapis.com", "googleapis.com", "*.google.com", "accounts.google.com", "oauth2.googleapis.com")
HEAD_LIMIT = 65536
GOODBYE_S = 1.0
REFUSAL = "plantctl's sandbox serves Google's API hosts only and lets nothing out; it refuses {host}\n"


def authority(folder: Path) -> Path:
    """The CA certificate (`ca.pem`); makes CA and leaf on first use. Keys are readable by the owner only."""
    ca = folder / "ca.pem"
    if ca.exists() and (folder / "leaf.pem").exists():
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


class Proxy:
    """The proxy's connection handler for asyncio; `rest_port` is where the requests go."""

    def __init__(self, folder: Path, rest_port: int) -> None:
        self.ca = authority(folder)
        self._rest_port = rest_port
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(folder / "leaf.pem", folder / "leaf.key")
        self._tls.set_alpn_protocols(["http/1.1"])
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
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._rest_port)
        self._writers.add(back_writer)
        try:
            if not tunnel:
                back_writer.write(head)
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
