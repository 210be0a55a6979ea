"""Settings from the environment (Cloud Run's env and Secret Manager references). Values are never printed."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.secret_values import is_weak, service_keys, signing_keys

Sslmode = Literal["disable", "require", "verify-ca", "verify-full"]

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

    # What serving and working processes need on top: `serving_problems` tells what is missing.
    redis_url: SecretStr | None = None
    redis_host: str = ""
    redis_port: int = Field(default=6379, ge=1, le=65535)
    redis_password: SecretStr = SecretStr("")
    redis_tls: bool = False
    redis_ca: str = ""
    redis_ca_file: Path | None = None
    jwt_secret_key: SecretStr = SecretStr("")
    api_keys: SecretStr = SecretStr("")
    web_concurrency: int = Field(default=1, ge=1, le=16)
    db_pool_max: int = Field(default=5, ge=1, le=50)
    forwarded_hops: int = Field(default=2, ge=0, le=5)
    google_cloud_project: str = ""
    trace_sample_rate: float = Field(default=0.1, ge=0, le=1)
    otlp_endpoint: str = ""
    stats_period_s: float = Field(default=30, ge=0, le=3600)  # of the line `runtime.stats`; 0: none
    job_idle_s: float = Field(default=3, ge=0.3, le=60)
    job_retry_s: float = Field(default=2, gt=0, le=60)

    k_service: str = "plant-backend"
    k_revision: str = ""

    @model_validator(mode="before")
    @classmethod
    def _take_url(cls, data: dict[str, object]) -> dict[str, object]:
        """The seed's DATABASE_URL and REDIS_URL fill the parts that no variable of their own gives."""
        found: dict[str, object] = {}
        for name, parts in (("database_url", _parts), ("redis_url", _redis_parts)):
            url = data.get(name)
            if url:
                found |= parts(url.get_secret_value() if isinstance(url, SecretStr) else str(url))
        return found | data

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
        if password and (len(password) < _SHORTEST_SECRET or is_weak(password)):
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

    def serving_problems(self) -> list[str]:
        """What keeps this environment from serving, as `FIELD: what is wrong` without any value."""
        problems = [*_unreadable("JWT_SECRET_KEY", signing_keys, self.jwt_secret_key)]
        problems += _unreadable("API_KEYS", service_keys, self.api_keys)
        if self.is_production and any(is_weak(line) for line in self.jwt_secret_key.get_secret_value().splitlines()):
            problems.append("JWT_SECRET_KEY: a production key is random")
        return problems + self.working_problems()

    def working_problems(self) -> list[str]:
        """The same for a worker, which signs nothing and knows no API key."""
        problems = self._redis_ca_problems() if self.redis_ca or self.redis_ca_file else []
        if not self.is_production:
            return problems
        if not self.redis_host:
            problems.append("REDIS_HOST: set it, or REDIS_URL")
        if not self.uses_redis_tls:
            problems.append("REDIS_CA: production verifies the server (or REDIS_CA_FILE)")
        password = self.redis_password.get_secret_value()
        if len(password) < _SHORTEST_SECRET or is_weak(password):
            problems.append(f"REDIS_PASSWORD: a production secret has {_SHORTEST_SECRET} characters, none a default")
        return problems

    def _redis_ca_problems(self) -> list[str]:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=self.redis_ca_pem())
        except OSError as error:
            if not isinstance(error, ssl.SSLError):
                return [f"REDIS_CA_FILE: cannot be read ({error.strerror})"]
        except ValueError:
            pass
        else:
            return []
        return ["REDIS_CA: holds no PEM certificate"]

    @property
    def uses_redis_tls(self) -> bool:
        """TLS to Redis: asked for by rediss:// or REDIS_TLS, or by giving its CA."""
        return self.redis_tls or bool(self.redis_ca or self.redis_ca_file)

    def redis_ca_pem(self) -> str:
        """The CA of REDIS_CA, else of REDIS_CA_FILE, else "". Raises OSError when the file cannot be read."""
        if self.redis_ca:
            return self.redis_ca.replace("\\n", "\n")
        return self.redis_ca_file.read_text() if self.redis_ca_file else ""

    def ca_pem(self) -> str:
        """The CA of DB_CA, else of DB_CA_FILE, else "". Raises OSError when the file cannot be read."""
        if self.db_ca:
            return self.db_ca.replace("\\n", "\n")  # a PEM in one env line is often escaped
        return self.db_ca_file.read_text() if self.db_ca_file else ""


class CacheSettings(Settings):
    """What the looks at Redis read: no database has to be there. Redis comes with AUTH and TLS, whatever is tried."""

    def _missing(self) -> list[str]:
        given = (("REDIS_HOST", self.redis_host), ("REDIS_PASSWORD", self.redis_password.get_secret_value()))
        problems = [f"{name}: set it, or REDIS_URL" for name, value in given if not value]
        if not (self.redis_ca or self.redis_ca_file):
            return [*problems, "REDIS_CA: the server's CA is needed (or REDIS_CA_FILE)"]
        return problems + self._redis_ca_problems()

    def _unsafe(self) -> list[str]:
        return []


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


def _redis_parts(url: str) -> dict[str, object]:
    """Splits `redis[s]://:password@host:port/0`; a problem is told without the URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("REDIS_URL: is not a URL (percent-encode the password)") from None
    if parts.scheme not in ("redis", "rediss") or parts.path not in ("", "/", "/0") or parts.query:
        raise ValueError("REDIS_URL: is redis://:password@host:port/0, or rediss:// with TLS")
    found: dict[str, object | None] = {
        "redis_host": parts.hostname,
        "redis_port": port,
        "redis_password": unquote(parts.password or ""),
        "redis_tls": parts.scheme == "rediss",
    }
    return {name: value for name, value in found.items() if value}


def _unreadable(field: str, parse: Callable[[str], object], secret: SecretStr) -> list[str]:
    try:
        parse(secret.get_secret_value())
    except ValueError as error:
        return [f"{field}: {error}"]
    return []


def load_serving() -> Settings:
    """Like `load`, with what a serving process needs on top. Raises ConfigurationError in the same way."""
    return _without(Settings.serving_problems)


def load_working() -> Settings:
    """Like `load`, with what a worker needs on top. Raises ConfigurationError in the same way."""
    return _without(Settings.working_problems)


def _without(problems_of: Callable[[Settings], list[str]]) -> Settings:
    settings = load()
    problems = problems_of(settings)
    if problems:
        raise ConfigurationError(problems)
    return settings


def load_cache() -> Settings:
    """Like `load`, for the looks at Redis, which need nothing of the database."""
    return _load(CacheSettings)


def load() -> Settings:
    """Reads the environment. Raises ConfigurationError naming every field that is wrong, and no value."""
    return _load(Settings)


def _load(kind: type[Settings]) -> Settings:
    try:
        return kind()
    except ValidationError as error:
        raise ConfigurationError(_problems(error)) from None


def _problems(error: ValidationError) -> list[str]:
    problems: list[str] = []
    for detail in error.errors(include_input=False, include_url=False, include_context=False):
        text = detail["msg"].removeprefix("Value error, ")
        field = "_".join(str(part) for part in detail["loc"]).upper()
        problems += [f"{field}: {text}"] if field else text.split("; ")
    return problems
