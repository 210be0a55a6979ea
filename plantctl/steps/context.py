"""What every step gets: the plant, Google, what other items established, the past, and the operator's flags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from plantctl.clock import Clock
from plantctl.gcp.bundle import Gcp
from plantctl.model.facts import Facts
from plantctl.model.plant import Plant
from plantctl.model.recorder import Memory
from plantctl.model.secret import Secret
from plantctl.model.step import Later


@dataclass(frozen=True, kw_only=True)
class Options:
    """The flags of `phase run` that change what a step may do. `recreate` holds names that were typed."""

    adopt: bool = False
    allow_restart: bool = False
    recreate: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Context:
    """Handed to check, apply and verify. `base` is the folder that relative paths of plant.toml start from.

    `given_secret` returns a value that the operator supplied for a secret id (standard input), or None.
    """

    plant: Plant
    gcp: Gcp
    facts: Facts
    memory: Memory
    clock: Clock
    base: Path
    options: Options = field(default_factory=Options)
    given_secret: Callable[[str], Secret | None] = lambda _: None

    def fact(self, item: str, key: str) -> str | Later:
        """What another item established, or Later while it has not."""
        return self.facts.get(item, key)

    def known(self, item: str, key: str) -> str:
        """As `fact`, for code that runs only when that item is in place.

        Raises LookupError when it is not: a step that forgot to name a need.
        """
        value = self.facts.get(item, key)
        if isinstance(value, Later):
            raise LookupError(f"{item} has not established {key}: is it missing in `needs`?")
        return value
