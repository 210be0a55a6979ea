"""Bodies of the notification channel and of the alert policies that watch Redis. Pure; Google's JSON names."""

from __future__ import annotations

from plantctl.desired.cache import instance_name
from plantctl.model.plant import Plant
from plantctl.model.step import Body, Later

CACHE_ALERTS = ("redis-memory", "redis-evictions", "redis-role")
"""Words by which the policies are found again: Monitoring gives them names of its own."""
_METRIC = "redis.googleapis.com"


def marked(plant: Plant, word: str) -> dict[str, str]:
    """`userLabels` of one policy or channel; label values take no dots (discovery)."""
    return {**plant.labels, "plantctl-item": word}


def channel(plant: Plant) -> Body:
    """monitoring v3 NotificationChannel: without one an alert tells nobody."""
    return {
        "type": "email",
        "displayName": "Plant on call",
        "labels": {"email_address": plant.monitoring.email},
        "enabled": True,
        "userLabels": marked(plant, "channel"),
    }


def redis_memory(plant: Plant, channel: str | Later) -> Body:
    """The seed's `redis_memory_high`: over 90 % for five minutes, medium (WARNING).

    Writes are refused by the system's memory before the data's is full, so Google's own threshold of 80 % of that
    stands beside it (gcp-edge, redis_memory_high).
    """
    conditions = [
        _threshold(plant, "Redis memory over 90 %", "stats/memory/usage_ratio", over=0.9),
        _threshold(plant, "System memory over 80 %", "stats/memory/system_memory_usage_ratio", over=0.8),
    ]
    words = "Redis is nearly full: look at what it holds, or raise cache.memory_gb in plant.toml."
    return _policy(plant, "redis-memory", ("Redis memory is high", "WARNING", words), conditions, channel)


def redis_evictions(plant: Plant, channel: str | Later) -> Body:
    """Keys are thrown out before their time: the cache no longer holds what it should."""
    conditions = [_threshold(plant, "Keys are evicted", "stats/evicted_keys", over=0, aligner="ALIGN_DELTA")]
    words = "Redis throws keys with an expiry out, the soonest to expire first: it needs more memory."
    return _policy(plant, "redis-evictions", ("Redis evicts keys", "WARNING", words), conditions, channel)


def redis_role(plant: Plant, channel: str | Later) -> Body:
    """A node changed its role: a failover, or the loss of the standby (gcp-edge, metric catalogue)."""
    conditions = [_threshold(plant, "A node changed its role", "replication/role", over=0, aligner="ALIGN_STDDEV")]
    words = "Primary and replica changed places. `plantctl phase verify cache` tells whether both are there."
    return _policy(plant, "redis-role", ("Redis failed over", "ERROR", words), conditions, channel)


def _policy(plant: Plant, word: str, about: tuple[str, str, str], conditions: list[Body], channel: str | Later) -> Body:
    """monitoring v3 AlertPolicy. `about`: title, severity, what to do."""
    title, severity, words = about
    return {
        "displayName": title,
        "userLabels": marked(plant, word),
        "combiner": "OR",
        "enabled": True,
        "severity": severity,
        "notificationChannels": [channel],
        "alertStrategy": {"autoClose": "1800s", "notificationPrompts": ["OPENED", "CLOSED"]},
        "documentation": {"content": f"{words}\n\nRunbook: docs/runbooks/cache.md", "mimeType": "text/markdown"},
        "conditions": conditions,
    }


def _threshold(plant: Plant, title: str, metric: str, *, over: float, aligner: str = "ALIGN_MEAN") -> Body:
    """One five-minute bucket over the line, of any node."""
    return {
        "displayName": title,
        "conditionThreshold": {
            "filter": (
                f'resource.type = "redis_instance" AND resource.labels.instance_id = "{instance_name(plant)}" '
                f'AND metric.type = "{_METRIC}/{metric}"'
            ),
            "aggregations": [{"alignmentPeriod": "300s", "perSeriesAligner": aligner}],
            "comparison": "COMPARISON_GT",
            "thresholdValue": over,
            "duration": "0s",
            "trigger": {"count": 1},
        },
    }
