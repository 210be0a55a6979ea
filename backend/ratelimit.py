"""The rate limit: a sliding window of 60 s in Redis, by one script on the key `rate_limit:{user_id}:{endpoint}`.

The window moves in 120 slots of half a second, the oldest one counting by the part of it that is still inside: exact
while the first window lasts, and within one slot of a log of every request afterwards.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from backend.redis_store import RedisDown, Store

WINDOW_S = 60
_SLOTS = 120

# Redis TIME is the clock, so that processes agree. Refused requests are not counted. Returns {allowed, used, wait_ms}.
_SCRIPT = """
local limit, slot_ms, slots = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local slot = math.floor(now / slot_ms)
local oldest, inside = slot - slots, 1 - (now % slot_ms) / slot_ms
local rows, used, live = redis.call('HGETALL', KEYS[1]), 0, {}
for i = 1, #rows, 2 do
    local at, count = tonumber(rows[i]), tonumber(rows[i + 1])
    if at < oldest then
        redis.call('HDEL', KEYS[1], rows[i])
    else
        used = used + (at == oldest and count * inside or count)
        live[#live + 1] = {at, count}
    end
end
if used + 1 <= limit then
    redis.call('HINCRBY', KEYS[1], slot, 1)
    redis.call('PEXPIRE', KEYS[1], (slots + 2) * slot_ms)
    return {1, math.ceil(used + 1), 0}
end
table.sort(live, function(a, b) return a[1] < b[1] end)
local over, wait = used + 1 - limit, slot_ms
for _, row in ipairs(live) do
    local count = row[1] == oldest and row[2] * inside or row[2]
    if count >= over then
        local starts = math.max((row[1] + slots) * slot_ms, now)
        wait = starts - now + (row[2] > 0 and over / row[2] or 1) * slot_ms
        break
    end
    over = over - count
end
return {0, math.ceil(used), math.ceil(wait)}
"""


@dataclass(frozen=True)
class Decision:
    """Whether a request may pass, and what the client is told about its quota."""

    allowed: bool
    limit: int
    remaining: int
    wait_s: int

    def headers(self) -> dict[str, str]:
        """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers)."""
        return {
            "RateLimit-Policy": f'"default";q={self.limit};w={WINDOW_S}',
            "RateLimit": f'"default";r={self.remaining};t={self.wait_s or WINDOW_S}',
        }


class Limiter:
    """Counts requests of one user at one endpoint in the last `window_s` seconds."""

    def __init__(self, store: Store, *, window_s: float = WINDOW_S) -> None:
        self.store = store
        self._slot_ms = round(window_s * 1000 / _SLOTS)
        self.passed_open = 0
        self._script: Any = store.client.register_script(_SCRIPT)
        self._local: dict[str, deque[float]] = {}

    async def check(self, user: str, endpoint: str, limit: int, *, strict: bool = False) -> Decision:
        """Counts a request. Without Redis it passes, or with `strict` is counted in this process."""
        key = f"rate_limit:{user}:{endpoint}"
        arguments = [limit, self._slot_ms, _SLOTS]
        try:
            allowed, used, wait = await self.store.ask(self._script(keys=[key], args=arguments), "EVALSHA")
        except RedisDown:
            if strict:
                return self._here(key, limit)
            self.passed_open += 1
            return Decision(True, limit, limit, 0)
        return Decision(bool(allowed), limit, max(limit - int(used), 0), math.ceil(int(wait) / 1000))

    def _here(self, key: str, limit: int) -> Decision:
        """A log of this process's own, for the endpoints on which guessing must not be free (sign-in)."""
        now = time.monotonic()
        if len(self._local) > 10_000:
            self._local.clear()
        log = self._local.setdefault(key, deque())
        while log and log[0] <= now - WINDOW_S:
            log.popleft()
        if len(log) >= limit:
            return Decision(False, limit, 0, math.ceil(log[0] + WINDOW_S - now))
        log.append(now)
        return Decision(True, limit, limit - len(log), 0)
