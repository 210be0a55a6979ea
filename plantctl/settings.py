"""Where the Plant's values come from: flags, then PLANTCTL_* variables, then plant.toml, then defaults.

Pydantic checks the values that somebody gave; with none given it is not even imported, for the sake of start-up time.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_type_hints

from plantctl.errors import ConfigError
from plantctl.model.plant import Plant

FILE = "plant.toml"
PREFIX = "PLANTCTL_"
OWN = {"target": "sandbox", "impersonate": "", "quota_project": ""}
"""Keys beside those of the Plant, with their defaults."""

NAME = r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?"
SQL_NAME = r"[a-z_][a-z0-9_]{0,62}"
RUN_NAME = r"[a-z](?:[-a-z0-9]{0,47}[a-z0-9])?"
EMAIL = r"(?:[^@\s]+@[^@\s]+)?"
RULES: dict[str, dict[str, Any]] = {
    "target": {"choices": ("sandbox", "gcp")},
    "impersonate": {"pattern": EMAIL},
    "quota_project": {"pattern": r"(?:[a-z][-a-z0-9]{4,28}[a-z0-9])?"},
    "environment": {"pattern": r"[a-z][-a-z0-9_]{0,62}"},
    "region": {"pattern": r"[a-z]+-[a-z]+[0-9]+"},
    "project.id": {"pattern": r"[a-z][-a-z0-9]{4,28}[a-z0-9]"},
    "project.name": {"pattern": r"[\w '!-]{4,30}"},
    "project.parent": {"pattern": r"(?:(?:folders|organizations)/[0-9]+)?"},
    "project.billing_account": {"pattern": r"(?:billingAccounts/)?(?:[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6})?"},
    "project.budget_usd": {"ge": 1},
    "project.deployer": {"pattern": r"(?:(?:user|serviceAccount|group):[^@\s]+@[^@\s]+)?"},
    "network.name": {"pattern": NAME},
    "network.subnet": {"pattern": NAME},
    "network.peering_range": {"pattern": NAME},
    "network.peering_prefix": {"ge": 8, "le": 24},
    "network.connector": {"pattern": r"[a-z](?:[-a-z0-9]{0,23}[a-z0-9])?"},
    "network.router": {"pattern": NAME},
    "network.nat": {"pattern": NAME},
    "database.instance": {"pattern": r"[a-z](?:[-a-z0-9]{0,95}[a-z0-9])?"},
    "database.version": {"choices": ("POSTGRES_15", "POSTGRES_16", "POSTGRES_17")},
    "database.edition": {"choices": ("ENTERPRISE",)},
    "database.availability": {"choices": ("REGIONAL", "ZONAL")},
    "database.storage_gb": {"ge": 10, "le": 65536},
    "database.storage_limit_gb": {"ge": 0, "le": 65536},
    "database.backup_hour": {"ge": 0, "le": 23},
    "database.log_retention_days": {"ge": 1, "le": 7},
    "database.retained_backups": {"ge": 1, "le": 365},
    "database.max_connections": {"ge": 14, "le": 262143},
    "database.slow_query_ms": {"ge": -1, "le": 2147483647},
    "database.name": {"pattern": SQL_NAME},
    "database.owner": {"pattern": SQL_NAME},
    "database.app": {"pattern": SQL_NAME},
    "database.connection": {"choices": ("private-ip",)},
    "database.dr_region": {"pattern": r"[a-z]+-[a-z]+[0-9]+"},
    "cache.instance": {"pattern": r"[a-z](?:[-a-z0-9]{0,38}[a-z0-9])?"},
    "cache.tier": {"choices": ("STANDARD_HA",)},
    "cache.version": {"choices": ("REDIS_7_0", "REDIS_7_2")},
    "cache.memory_gb": {"ge": 1, "le": 300},
    "cache.backup_hour": {"ge": 0, "le": 23},
    "backend.image": {"pattern": NAME},
    "backend.repository": {"pattern": NAME},
    "backend.version": {"pattern": r"\w[\w.-]{0,127}"},
    "backend.log_level": {"choices": ("debug", "info", "warning", "error")},
    "backend.service": {"pattern": RUN_NAME},
    "backend.cpu": {"choices": ("1", "2", "4", "8")},
    "backend.memory": {"pattern": r"[1-9][0-9]{0,4}(?:Mi|Gi)"},
    "backend.min_instances": {"ge": 0, "le": 100},
    "backend.max_instances": {"ge": 1, "le": 1000},
    "backend.concurrency": {"ge": 1, "le": 1000},
    "backend.timeout_s": {"ge": 1, "le": 3600},
    "backend.port": {"ge": 1, "le": 65535},
    "backend.processes": {"ge": 1, "le": 16},
    "backend.worker": {"pattern": RUN_NAME},
    "backend.worker_instances": {"ge": 1, "le": 100},
    "monitoring.email": {"pattern": r"[^@\s]+@[^@\s]+"},
}
"""What a value may be, by key. Patterns match the whole value; sources: the resources' discovery documents."""

COMING = {("database.connection", "proxy"): "the Auth Proxy sidecar has no step yet; the way in is the private address"}


@dataclass(frozen=True, kw_only=True)
class Given:
    """One value for a key, and who gave it: `flag`, `PLANTCTL_REGION`, a file's path, or `default`."""

    value: object
    source: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a command works on. `home` is the folder of journal and local state; `given` holds each key's values,
    winner first; `config` is the file that was read, or None."""

    plant: Plant
    target: str
    home: Path
    config: Path | None = None
    impersonate: str = ""
    quota_project: str = ""
    given: Mapping[str, tuple[Given, ...]] = field(default_factory=dict, repr=False)

    def explain(self, key: str) -> tuple[Given, ...]:
        """All values given for a key, the winner first and the default last; ConfigError on an unknown key."""
        if key not in known_keys():
            raise _unknown_key(key, "config explain")
        return (*self.given.get(key, ()), Given(value=known_keys()[key], source="default"))


def known_keys() -> dict[str, object]:
    """Every key with its default: `database.tier` and so on, in the order of the Plant."""
    keys: dict[str, object] = dict(OWN)
    for part in fields(Plant):
        value = getattr(_DEFAULTS, part.name)
        if is_dataclass(value):
            keys |= {f"{part.name}.{inner.name}": getattr(value, inner.name) for inner in fields(value)}
        else:
            keys[part.name] = value
    return keys


def load(
    *,
    flags: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
    config: str | Path | None = None,
    cwd: Path | None = None,
) -> Settings:
    """Resolve everything. `flags`: values by key, None for those not typed; `config`: `--config`, else PLANTCTL_CONFIG,
    else plant.toml in `cwd` when it is there. ConfigError names key, source, and what is allowed."""
    here = cwd or Path.cwd()
    variables = dict(os.environ) if env is None else dict(env)
    path = _config_path(config or variables.get("PLANTCTL_CONFIG", ""), here)
    typed = {key: value for key, value in (flags or {}).items() if value is not None}
    layers: list[tuple[str, dict[str, object]]] = [("flag", typed)]
    layers += [(name, {key: value}) for name, key, value in _from_environment(variables)]
    if path is not None:
        layers.append((str(path), _from_file(path)))
    given: dict[str, tuple[Given, ...]] = {}
    for source, values in layers:
        for key, value in values.items():
            if key not in known_keys():
                raise _unknown_key(key, source)
            given[key] = (*given.get(key, ()), Given(value=_checked(key, value, source), source=source))
    won = {key: values[0].value for key, values in given.items()}
    plant = _plant(won)
    if won:
        _cross_check(plant)
    target = str(won.get("target", OWN["target"]))
    if target == "gcp" and "project.id" not in won:
        raise ConfigError(
            'target is "gcp" and project.id is not set',
            cause=f"the default id {plant.project.id} belongs to somebody: ids are unique in all of Google Cloud",
            hint=f'put [project] id = "your-project" into {FILE}, or set PLANTCTL_PROJECT_ID',
        )
    return Settings(
        plant=plant,
        target=target,
        home=_home(variables, path, here),
        config=path,
        impersonate=str(won.get("impersonate", "")),
        quota_project=str(won.get("quota_project", "")),
        given=given,
    )


_DEFAULTS = Plant()


def _plant(won: Mapping[str, object]) -> Plant:
    plant = _DEFAULTS
    for key, value in won.items():
        section, _, name = key.partition(".")
        if name:
            part: Any = getattr(plant, section)
            plant = replace(plant, **{section: replace(part, **{name: value})})
        elif key not in OWN:
            plant = replace(plant, **cast(dict[str, Any], {key: value}))
    return plant


def _home(env: Mapping[str, str], config: Path | None, here: Path) -> Path:
    if env.get("PLANTCTL_HOME"):
        return (here / env["PLANTCTL_HOME"]).absolute()
    return ((config.parent if config else here) / ".plantctl").absolute()


def _config_path(asked: str | Path, here: Path) -> Path | None:
    path = (here / asked if asked else here / FILE).absolute()
    if path.is_file():
        return path
    if asked:
        raise ConfigError(f"there is no file {path}", hint="give --config the path of a plant.toml, or leave it out")
    return None


def _from_environment(env: Mapping[str, str]) -> Iterable[tuple[str, str, str]]:
    """(variable, key, value) for each key's variable; ConfigError for one that looks like a key and is none."""
    names = {PREFIX + key.upper().replace(".", "_"): key for key in known_keys()}
    sections = tuple(f"{PREFIX}{part.name.upper()}_" for part in fields(Plant) if is_dataclass(part.default_factory))
    for name in sorted(each for each in env if each.startswith(PREFIX)):
        if name in names:
            yield name, names[name], env[name]
        elif name.startswith(sections) or difflib.get_close_matches(name, names, n=1, cutoff=0.9):
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else "`plantctl config list` shows every key"
            raise ConfigError(f"the variable {name} sets no key", hint=hint)


def _from_file(path: Path) -> dict[str, object]:
    """Keys and values of a plant.toml."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML", cause=str(error)) from error
    found: dict[str, object] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            found |= {f"{key}.{inner}": inner_value for inner, inner_value in value.items()}
        else:
            found[key] = value
    return found


def _unknown_key(key: str, source: str) -> ConfigError:
    keys = list(known_keys())
    section = key.partition(".")[0]
    near = difflib.get_close_matches(key, keys, n=1) or [each for each in keys if each.startswith(f"{section}.")]
    hint = f"did you mean {near[0]}?" if len(near) == 1 else f"allowed: {', '.join(near or keys)}"
    return ConfigError(f"unknown key {key}", cause=f"from {source}", hint=hint)


def _checked(key: str, value: object, source: str) -> object:
    """The value in its type, or ConfigError. A file's types are taken strictly; variables and flags are words."""
    from pydantic import Field, TypeAdapter, ValidationError

    rule = dict(RULES.get(key, {}))
    choices, pattern = rule.pop("choices", ()), rule.pop("pattern", "")
    limits = {"pattern": f"^(?:{pattern})$"} if pattern else rule
    shape: Any = Literal[choices] if choices else Annotated[_type_of(key), Field(**limits)]
    a_word = source == "flag" or source.startswith(PREFIX)
    try:
        return TypeAdapter(shape).validate_python(value, strict=not a_word)
    except ValidationError as error:
        allowed = f"one of {', '.join(choices)}" if choices else error.errors()[0]["msg"]
        near = difflib.get_close_matches(str(value), choices, n=1)
        coming = COMING.get((key, str(value)), "")
        raise ConfigError(
            f"{key} cannot be {value!r}",
            cause=f"from {source}" + (f"; {coming}" if coming else ""),
            hint=f"allowed: {allowed}" + (f"; did you mean {near[0]}?" if near else ""),
        ) from error


def _type_of(key: str) -> Any:
    section, _, name = key.partition(".")
    if key in OWN:
        return str
    return get_type_hints(type(getattr(_DEFAULTS, section)))[name] if name else str


def _cross_check(plant: Plant) -> None:
    """Rules between values: ranges that must not overlap, the connector's size, the tier's shape, storage limits."""
    import ipaddress
    import re

    ranges = {}
    for key in ("subnet_cidr", "connector_cidr"):
        text = getattr(plant.network, key)
        try:
            ranges[key] = ipaddress.IPv4Network(text)
        except ValueError as error:
            raise ConfigError(f"network.{key} cannot be {text!r}", cause=str(error)) from error
    if ranges["connector_cidr"].prefixlen != 28:
        raise ConfigError("network.connector_cidr is no /28", hint="a VPC connector takes exactly a /28 (hazard V04)")
    if ranges["subnet_cidr"].overlaps(ranges["connector_cidr"]):
        raise ConfigError(
            f"network.connector_cidr {ranges['connector_cidr']} overlaps network.subnet_cidr {ranges['subnet_cidr']}",
            hint="choose a /28 outside the subnet, 10.8.0.0/28 for example",
        )
    shape = re.fullmatch(r"db-custom-(\d+)-(\d+)", plant.database.tier)
    cpus, memory = (int(shape[1]), int(shape[2])) if shape else (0, 0)
    fits = (cpus == 1 or (cpus % 2 == 0 and 2 <= cpus <= 96)) and memory % 256 == 0
    if not (fits and memory >= 3840 and 0.9 * 1024 * cpus <= memory <= 6.5 * 1024 * cpus):
        raise ConfigError(
            f"database.tier cannot be {plant.database.tier!r}",
            cause="allowed is db-custom-CPUS-MB: 1 or an even number of CPUs up to 96; MB a multiple of 256, at least"
            " 3840, and 0.9 to 6.5 GB a CPU",
            hint="for example db-custom-2-8192",
        )
    database = plant.database
    if 0 < database.storage_limit_gb < database.storage_gb:
        raise ConfigError("database.storage_limit_gb is below database.storage_gb", hint="0 means no limit")
    if database.owner == database.app:
        raise ConfigError("database.owner and database.app are one role", hint="the application must not own tables")
