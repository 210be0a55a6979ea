"""The load figures: the plant's mix under a steady rate, then everything as fast as it goes, beside bare frameworks.

`python -m tests.load.bench [--seconds 60] [--rate 1100] [--out build/bench.json]`; exit 1 when the target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from backend.database import create_pool
from tests.load.figures import Figures, of_locust, percentile
from tests.load.servers import AGENTS, ROOT, WORKERS, Plant, database_settings, plant, serving

USERS = 120
WARM_S = 8
LEAST_RATE, MOST_P95_MS, MOST_FAILED = 1000.0, 500.0, 0.001
"""The targets of the load scenarios: throughput over 1,000 requests/s, P95 under 500 ms, errors under 0.1 %."""


def locust(file: str, url: str, *, users: int, seconds: int, **environment: str) -> Figures:
    """Run a Locust file without its page; RuntimeError with its last words when it breaks."""
    words = ["-f", f"tests/load/{file}", "--host", url, "--headless", "--json", "--only-summary"]
    words += [
        "-u",
        str(users),
        "-r",
        str(users),
        "-t",
        f"{seconds}s",
        "--loglevel",
        "WARNING",
        "--exit-code-on-error",
        "0",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "locust", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"locust ended with {done.returncode}: {done.stderr[-2000:]}")
    start = done.stdout.index("[")
    return of_locust(done.stdout[start:], seconds)


def mix(running: Plant, *, rate: float, seconds: int, decided: int = 0) -> Figures:
    """The plant's mix: `rate` requests/s in all; `decided`: how many deliverables the runs before may have decided."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(running.plan | {"rate": rate / USERS, "decided": decided}, file)
        file.flush()
        return locust("locustfile.py", running.url, users=USERS, seconds=seconds, PLANT_LOAD=file.name)


def bare_route(seconds: int) -> Figures:
    """One FastAPI route under as many processes, as fast as it goes."""
    command = [sys.executable, "-m", "uvicorn", "tests.load.bare:app", "--port", "{port}", "--no-access-log"]
    command += ["--workers", str(WORKERS), "--log-level", "warning"]
    with serving(command, {"PYTHONPATH": str(ROOT)}, "/") as url:
        return locust("bare_locustfile.py", url, users=USERS, seconds=seconds)


async def bare_query(running: Plant, seconds: float, *, waiting: int = 32) -> Figures:
    """One agent by its slug over the serving pool's own kind of connection, as fast as it goes."""
    pool = await create_pool(database_settings(running.environment))
    times: dict[float, int] = {}
    end = time.monotonic() + seconds

    async def ask() -> None:
        while (begun := time.monotonic()) < end:
            await pool.fetchrow("SELECT * FROM plant.agent WHERE slug = $1", f"load-agent-{random.randint(1, AGENTS)}")
            took = round((time.monotonic() - begun) * 1000, 1)
            times[took] = times.get(took, 0) + 1

    await asyncio.gather(*(ask() for _ in range(waiting)))
    await pool.close()
    count = sum(times.values())
    p50, p95, p99 = (percentile(times, share) for share in (0.5, 0.95, 0.99))
    return Figures(count / seconds, p50, p95, p99, 0.0, count)


def measure(*, seconds: int, rate: float) -> dict[str, Any]:
    """All figures, taken one after the other on one machine; `steady` is what the targets are about."""
    with plant() as running:
        mix(running, rate=rate, seconds=WARM_S)
        steady = mix(running, rate=rate, seconds=seconds, decided=600)
        full = mix(running, rate=100_000, seconds=max(seconds // 4, 5), decided=3600)
        query = asyncio.run(bare_query(running, max(seconds / 6, 3)))
        stores = running.stores
    route = bare_route(max(seconds // 4, 5))
    return {"stores": stores, "steady": steady, "full": full, "bare route": route, "bare query": query}


def passed(steady: Figures) -> bool:
    """All three targets."""
    return steady.rate > LEAST_RATE and steady.p95_ms < MOST_P95_MS and steady.failed < MOST_FAILED


def show(found: dict[str, Any]) -> None:
    """The table, and the ratios beside it."""
    table = Table(title=f"Plant, {WORKERS} processes, {found['stores']}, {os.cpu_count()} cores with the load itself")
    for name in ("", "requests/s", "P50 ms", "P95 ms", "P99 ms", "failed", "of bare route", "of bare query"):
        table.add_column(name, justify="left" if not name else "right")
    for name in ("steady", "full", "bare route", "bare query"):
        row: Figures = found[name]
        ratios = [f"{row.rate / found[other].rate:.2f}" for other in ("bare route", "bare query")]
        numbers = [f"{row.rate:,.0f}", f"{row.p50_ms:.0f}", f"{row.p95_ms:.0f}", f"{row.p99_ms:.0f}"]
        table.add_row(name, *numbers, f"{row.failed:.3%}", *ratios)
    Console(width=110).print(table)
    for name, (count, p95, failed) in sorted(found["steady"].by_name.items()):
        Console(width=110).print(f"  {name:42} {count:>7,}  P95 {p95:>5.0f} ms  {failed:>5} failed")


def main() -> int:
    """Measure, show, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rate", type=float, default=1100)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench.json")
    options = parser.parse_args()
    found = measure(seconds=options.seconds, rate=options.rate)
    show(found)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: asdict(one) if isinstance(one, Figures) else one for name, one in found.items()}
    options.out.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    return 0 if passed(found["steady"]) else 1


if __name__ == "__main__":
    sys.exit(main())
