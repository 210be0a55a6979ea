"""Settings from the environment (Cloud Run's env and Secret Manager references). Values are never printed."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Sslmode = Literal["disable", "require", "verify-ca", "verify-full"]

_WELL_KNOWN = frozenset({"password", "postgres", "changeme", "secret", "admin", "plant", "example", "test", "default"})
_SHORTEST_SECRET = 16


class ConfigurationError(Exception):
    """The environment does not make a configuration. `problems` are `FIELD: what is wrong` without any value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Settings(BaseSettings):
    """What every entry point reads; field names are the environment's names in lower case."""

    model_config = SettingsConfigDict(hide_input_in_errors=True, env_ignore_empty=True, extra="ignore", frozen=True)

    environment: str = Field(default="production", pattern=r"^[a-z][a-z0-9-]{0,30}$")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    port: int = Field(default=8000, ge=1, le=65535)

    database_url: SecretStr | None = None
    db_host: str = ""
    db_port: int = Field(default=5432, ge=1, le=65535)
    db_name: str = "plant_db"
    db_user: str = "plant_app"
    database_password: SecretStr = SecretStr("")
    db_sslmode: Sslmode = "verify-ca"
    db_ca: str = ""
    db_ca_file: Path | None = None
    db_app_user: str = Field(default="plant_app", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    db_wait_s: float = Field(default=30, ge=0, le=600)

    k_service: str = "plant-backend"
    k_revision: str = ""

    @model_validator(mode="before")
    @classmethod
    def _take_url(cls, data: dict[str, object]) -> dict[str, object]:
        """The seed's DATABASE_URL fills the parts that no variable of their own gives."""
        url = data.get("database_url")
        if not url:
            return data
        text = url.get_secret_value() if isinstance(url, SecretStr) else str(url)
        return _parts(text) | data

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        """The seed writes `LOG_LEVEL: info`."""
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _guard(self) -> Self:
        problems = [*self._missing(), *self._unsafe()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _missing(self) -> list[str]:
        problems = []
        if not self.db_host:
            problems.append("DB_HOST: set it, or DATABASE_URL")
        if not self.database_password.get_secret_value():
            problems.append("DATABASE_PASSWORD: set it, or DATABASE_URL")
        if self.verifies_tls:
            problems += self._ca_problems()
        return problems

    def _ca_problems(self) -> list[str]:
        try:
            pem = self.ca_pem()
        except OSError as error:
            return [f"DB_CA_FILE: cannot be read ({error.strerror})"]
        if not pem:
            return [f"DB_CA: the server's CA is needed for DB_SSLMODE={self.db_sslmode} (or DB_CA_FILE)"]
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
        except (ssl.SSLError, ValueError):
            return ["DB_CA: holds no PEM certificate"]
        return []

    def _unsafe(self) -> list[str]:
        if not self.is_production:
            return []
        problems = []
        password = self.database_password.get_secret_value()
        if password and (len(password) < _SHORTEST_SECRET or _is_well_known(password)):
            problems.append(f"DATABASE_PASSWORD: a production secret has {_SHORTEST_SECRET} characters, none a default")
        if not self.verifies_tls:
            problems.append("DB_SSLMODE: production verifies the server (verify-ca or verify-full)")
        return problems

    @property
    def is_production(self) -> bool:
        """The strict rules apply; also when ENVIRONMENT was forgotten."""
        return self.environment == "production"

    @property
    def verifies_tls(self) -> bool:
        """The server's certificate is checked against the CA."""
        return self.db_sslmode in ("verify-ca", "verify-full")

    def ca_pem(self) -> str:
        """The CA of DB_CA, else of DB_CA_FILE, else "". Raises OSError when the file cannot be read."""
        if self.db_ca:
            return self.db_ca.replace("\\n", "\n")  # a PEM in one env line is often escaped
        return self.db_ca_file.read_text() if self.db_ca_file else ""


def _is_well_known(password: str) -> bool:
    return password.lower().rstrip("0123456789!.-_") in _WELL_KNOWN or len(set(password)) < 5


def _parts(url: str) -> dict[str, object]:
    """Splits `postgresql+asyncpg://user:password@host:port/name?sslmode=...`; a problem is told without the URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("DATABASE_URL: is not a URL (percent-encode user and password)") from None
    if parts.scheme not in ("postgresql", "postgres", "postgresql+asyncpg"):
        raise ValueError("DATABASE_URL: must begin with postgresql+asyncpg:// or postgresql://")
    query = parse_qs(parts.query)
    if set(query) - {"sslmode"}:
        raise ValueError("DATABASE_URL: sslmode is the only parameter it may carry")
    found: dict[str, object | None] = {
        "db_host": parts.hostname,
        "db_port": port,
        "db_name": unquote(parts.path.lstrip("/")),
        "db_user": unquote(parts.username or ""),
        "database_password": unquote(parts.password or ""),
        "db_sslmode": query.get("sslmode", [""])[0],
    }
    return {name: value for name, value in found.items() if value}


def load() -> Settings:
    """Reads the environment. Raises ConfigurationError naming every field that is wrong, and no value."""
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigurationError(_problems(error)) from None


def _problems(error: ValidationError) -> list[str]:
    problems: list[str] = []
    for detail in error.errors(include_input=False, include_url=False, include_context=False):
        text = detail["msg"].removeprefix("Value error, ")
        field = "_".join(str(part) for part in detail["loc"]).upper()
        problems += [f"{field}: {text}"] if field else text.split("; ")
    return problems
