"""A certificate authority of one server instance, and the certificates it signs: server, client, ephemeral."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from plantctl.sandbox.dataplane.error import DataPlaneError

YEARS = timedelta(days=3650)  # Cloud SQL's server CA lives ten years
SKEW = timedelta(hours=1)
CERTIFIABLE = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: str
    key: str


def authority(common_name: str) -> Pair:
    """A new self-signed CA, ten years. Google's names: O "Google, Inc", CN "Google Cloud SQL Server CA"."""
    # P-256, where Google has RSA 2048: clients verify both alike, and making one costs 1 ms, not 100
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    public = key.public_key()
    builder = (
        _builder(name, name, public, YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    return Pair(certificate=_pem(builder.sign(key, hashes.SHA256())), key=_key_pem(key))


def server(ca: Pair, common_name: str, names: Sequence[str]) -> Pair:
    """A server certificate of `ca`; `names` are IP addresses and DNS names, all of which verify."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Pair(certificate=_issue(ca, common_name, key.public_key(), YEARS, names), key=_key_pem(key))


def client(ca: Pair, common_name: str) -> Pair:
    """A client certificate with a new key, ten years (sql.sslCerts.insert)."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Pair(certificate=_issue(ca, common_name, key.public_key(), YEARS), key=_key_pem(key))


def sign(ca: Pair, common_name: str, public_key: str, lifetime: timedelta) -> str:
    """A client certificate (PEM) for someone else's PEM public key (sql.connect.generateEphemeral)."""
    try:
        public = serialization.load_pem_public_key(public_key.encode())
    except ValueError as error:
        raise DataPlaneError("sign a client certificate", f"not a PEM public key: {error}", reason="invalid") from error
    if not isinstance(public, CERTIFIABLE):
        raise DataPlaneError("sign a client certificate", "this kind of key cannot be certified", reason="invalid")
    return _issue(ca, common_name, public, lifetime)


def _issue(
    ca: Pair, common_name: str, public: CertificatePublicKeyTypes, lifetime: timedelta, names: Sequence[str] = ()
) -> str:
    issuer = x509.load_pem_x509_certificate(ca.certificate.encode())
    signer = serialization.load_pem_private_key(ca.key.encode(), password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise DataPlaneError("sign a certificate", "the instance's CA key is damaged")
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_name(common_name), issuer.subject, public, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        # Python 3.13 verifies strictly: without the key identifiers its default context refuses the chain
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if names:
        alternatives = [_alternative(name) for name in dict.fromkeys(names)]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return _pem(builder.sign(signer, hashes.SHA256()))


def _builder(
    subject: x509.Name, issuer: x509.Name, public: CertificatePublicKeyTypes, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + lifetime)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Google, Inc"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),  # X.520's upper bound
        ]
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
