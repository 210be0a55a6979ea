"""Crontab schedules in a time zone: five fields with lists, ranges, steps and names (crontab(5))."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FIELDS = ((0, 59, ()), (0, 23, ()), (1, 31, ()), (1, 12, MONTHS), (0, 7, DAYS))
PART = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?")
YEARS = 5
"""A 29 February is at most eight years away; what does not come within five is taken for never."""


@dataclass(frozen=True)
class Cron:
    """When it fires, in `zone`. ValueError for what is no schedule, a day that never comes, or an unknown zone."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    zone: tzinfo

    @staticmethod
    def parse(text: str, zone: str) -> Cron:
        """`0 3 * * *`, in a zone of the tz database."""
        words = text.split()
        if len(words) != len(FIELDS):
            raise ValueError(f"a schedule has five fields: {text!r}")
        found = [_field(word, *field) for word, field in zip(words, FIELDS, strict=True)]
        weekdays = frozenset(day % 7 for day in found[4])  # 0 and 7 are Sunday
        # where both are given, either one will do (crontab(5))
        either = not words[2].startswith("*") and not words[4].startswith("*")
        return Cron(found[0], found[1], found[2], found[3], weekdays, either, _zone(zone))

    def after(self, moment: datetime) -> datetime:
        """The first time after this one, UTC."""
        day = moment.astimezone(self.zone).date()
        for _ in range(YEARS * 366):
            if self._on(day.day, day.month, day.isoweekday() % 7):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone)
                        there = local.astimezone(UTC)
                        # a time that daylight saving leaves out does not come back as it was
                        if there > moment and there.astimezone(self.zone).hour == hour:
                            return there
            day += timedelta(days=1)
        raise ValueError("the schedule never comes")

    def _on(self, day: int, month: int, weekday: int) -> bool:
        if month not in self.months:
            return False
        fits = (day in self.days, weekday in self.weekdays)
        return any(fits) if self.either_day else all(fits)


def _field(word: str, low: int, high: int, names: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    for part in word.split(","):
        match = PART.fullmatch(part)
        if match is None:
            raise ValueError(f"no part of a schedule: {part!r}")
        first, last, step = match.groups()
        begin = low if first == "*" else _number(first, low, names)
        end = high if first == "*" or (step and not last) else begin
        end = _number(last, low, names) if last else end
        if not low <= begin <= end <= high or step == "0" or (first == "*" and last):
            raise ValueError(f"out of range: {part!r}")
        found |= set(range(begin, end + 1, int(step or 1)))
    return frozenset(found)


def _number(word: str, low: int, names: tuple[str, ...]) -> int:
    if word.lower() in names:
        return names.index(word.lower()) + low
    return int(word)


def _zone(name: str) -> tzinfo:
    if name.lower() in ("", "utc", "etc/utc", "gmt", "etc/gmt"):
        return UTC  # also where the machine has no tz database
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"no time zone {name!r}") from None
