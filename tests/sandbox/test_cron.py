"""Crontab schedules: when they come next, in their zone, and what is none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from plantctl.sandbox.cron import Cron


@pytest.mark.parametrize(
    ("text", "zone", "after", "comes"),
    [
        ("0 3 * * *", "Etc/UTC", "2026-11-23T02:59:59", "2026-11-23T03:00"),
        ("0 3 * * *", "Etc/UTC", "2026-11-23T03:00:00", "2026-11-24T03:00"),
        ("*/15 * * * *", "utc", "2026-11-23T10:01:00", "2026-11-23T10:15"),
        ("5/20 10 * * *", "", "2026-11-23T10:05:00", "2026-11-23T10:25"),
        ("0 9-17/4 * * mon-fri", "", "2026-11-20T17:00:00", "2026-11-23T09:00"),
        ("30 8 1,15 * *", "", "2026-11-16T00:00:00", "2026-12-01T08:30"),
        ("0 0 13 * fri", "", "2026-11-09T00:00:00", "2026-11-13T00:00"),
        ("0 0 14 * fri", "", "2026-11-09T00:00:00", "2026-11-13T00:00"),
        ("0 0 * * 7", "", "2026-11-23T00:00:00", "2026-11-29T00:00"),
        ("0 12 29 feb *", "", "2026-11-23T00:00:00", "2028-02-29T12:00"),
        ("0 3 * * *", "Asia/Kolkata", "2026-11-23T00:00:00", "2026-11-23T21:30"),
        ("0 3 * * *", "Europe/Berlin", "2026-10-25T00:00:00", "2026-10-25T02:00"),
        # 02:30 does not exist in Berlin on 28 March 2027
        ("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00", "2027-03-29T00:30"),
    ],
)
def test_the_next_time(text: str, zone: str, after: str, comes: str) -> None:
    found = Cron.parse(text, zone).after(datetime.fromisoformat(after).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(comes).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("", ""),
        ("every 24 hours", ""),
        ("0 3 * *", ""),
        ("60 3 * * *", ""),
        ("0 24 * * *", ""),
        ("0 0 0 * *", ""),
        ("0 5-3 * * *", ""),
        ("*/0 * * * *", ""),
        ("x * * * *", ""),
        ("0 3 * * *", "Mars/Olympus"),
        ("0 3 * * *", "../etc/passwd"),
    ],
)
def test_what_is_no_schedule(text: str, zone: str) -> None:
    with pytest.raises(ValueError):
        Cron.parse(text, zone)


def test_a_day_that_never_comes_is_no_schedule() -> None:
    with pytest.raises(ValueError):
        Cron.parse("0 0 31 feb *", "").after(datetime(2026, 11, 23, tzinfo=UTC))
