"""A process that asks the limiter at a steady rate: `python -m tests.backend.api.limiter_process` with JSON options.

It waits for a line on its standard input, so that several begin together, and prints [time, allowed] of each attempt.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from redis.asyncio import Redis

from backend.ratelimit import Limiter
from backend.redis_store import Store


async def attempts(*, port: int, password: str, limit: int, window_s: float, rate: float, seconds: float) -> list[Any]:
    """Attempts `rate` times a second; the time is the middle of the call, by the clock that Redis has, too."""
    client = Redis(port=port, password=password)
    limiter = Limiter(Store(client), window_s=window_s)
    await client.ping()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    began, found = time.monotonic(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(began + number / rate - time.monotonic(), 0))
        before = time.time()
        decision = await limiter.check("four-processes", "GET:/x", limit)
        found.append([(before + time.time()) / 2, decision.allowed])
    await client.aclose()
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(attempts(**json.loads(sys.argv[1])))))
