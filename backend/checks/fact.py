"""A look at the database or at Redis from inside the network: one fact a line, a verdict at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from backend.failures import message_of, reason_of
from backend.settings import Settings

LIMIT_S = 10.0


@dataclass(frozen=True)
class Fact:
    """One thing that was seen. `words` is for people; `values` go into the line as fields."""

    name: str
    ok: bool
    words: str
    values: dict[str, object] = field(default_factory=dict)


Look = Callable[[Settings], AsyncIterator[Fact]]


async def run(look: Look, settings: Settings, limit_s: float = LIMIT_S) -> AsyncIterator[Fact]:
    """Yields the facts of a look, at most `limit_s` seconds long; an error ends it as a failed fact `reach`."""
    try:
        async with asyncio.timeout(limit_s):
            async for fact in look(settings):
                yield fact
    except Exception as error:
        yield failed("reach", error)


def failed(name: str, error: Exception) -> Fact:
    """The fact that something could not be seen, with its reason and the server's words."""
    return Fact(name, False, message_of(error), {"reason": reason_of(error)})
