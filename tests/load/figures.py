"""What a load showed: requests a second, percentiles and failures, from the numbers that Locust prints."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figures:
    """Requests a second, latencies in milliseconds by percentile, share of failures (0 to 1).

    `by_name`: requests, P95 and failures of each request name.
    """

    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    failed: float
    requests: int
    by_name: dict[str, tuple[int, float, int]] = field(default_factory=dict)

    def words(self) -> str:
        """For a person."""
        return (
            f"{self.rate:,.0f} requests/s, P50 {self.p50_ms:.0f} ms, P95 {self.p95_ms:.0f} ms, "
            f"P99 {self.p99_ms:.0f} ms, {self.failed:.3%} failed of {self.requests:,}"
        )


def of_locust(text: str, seconds: float) -> Figures:
    """Figures from `locust --json`: a list with one row a request name. ValueError when nothing was sent."""
    rows: list[dict[str, Any]] = json.loads(text)
    times: dict[float, int] = {}
    for row in rows:
        for bucket, count in row["response_times"].items():
            times[float(bucket)] = times.get(float(bucket), 0) + count
    requests = sum(row["num_requests"] for row in rows)
    if not requests:
        raise ValueError("no request was sent")
    failures = sum(row["num_failures"] for row in rows)
    names = {}
    for row in rows:
        own = {float(bucket): count for bucket, count in row["response_times"].items()}
        names[row["name"]] = (row["num_requests"], percentile(own, 0.95), row["num_failures"])
    p50, p95, p99 = (percentile(times, share) for share in (0.5, 0.95, 0.99))
    return Figures(requests / seconds, p50, p95, p99, failures / requests, requests, names)


def percentile(times: dict[float, int], share: float) -> float:
    """The smallest latency that `share` of the requests did not exceed; 0 for none."""
    left = share * sum(times.values())
    for bucket in sorted(times):
        left -= times[bucket]
        if left <= 0:
            return bucket
    return max(times, default=0.0)
