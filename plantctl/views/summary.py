"""The end of a run in words: each failure with cause and what to type, blocked items in groups, then the totals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from plantctl.model.events import ItemFinished, RunFinished
from plantctl.model.step import Outcome
from plantctl.views.diagnostics import paragraph
from plantctl.views.text import Page, duration, plural, wrap

_GROUPED = ("needs-not-in-place", "no-step-yet")


def summary(finished: RunFinished, ended: Sequence[ItemFinished], page: Page) -> str:
    """The text of a run's end, at most `page.width` wide."""
    parts = [_problem(event, page) for event in ended if event.outcome is Outcome.FAILED]
    blocked = [event for event in ended if event.outcome is Outcome.BLOCKED]
    parts += [_problem(event, page) for event in blocked if event.reference not in _GROUPED]
    parts += [_question(event, page) for event in ended if event.outcome is Outcome.WAITING]
    parts += _groups([event for event in blocked if event.reference in _GROUPED], page)
    return "\n\n".join([*parts, totals(finished, page)])


def totals(finished: RunFinished, page: Page) -> str:
    """Two or three lines: outcome and counts; requests and time."""
    style = {"succeeded": "green", "waiting": "yellow", "blocked": "yellow"}.get(finished.outcome, "red")
    counts = [
        f"{count} {word}"
        for word, count in (
            ("changed", finished.changed),
            ("unchanged", finished.unchanged),
            ("failed", finished.failed),
            ("blocked", finished.blocked),
            ("waiting", finished.waiting),
        )
        if count or word in ("changed", "unchanged")
    ]
    lines = wrap(f"run {finished.run} {finished.outcome}: {', '.join(counts)}", page.width, rest="  ")
    lines[0] = lines[0].replace(finished.outcome, page.paint(finished.outcome, style), 1)
    path = f", critical path {duration(finished.critical_path_s)}" if finished.critical_path_s else ""
    wire = f"{plural(finished.writes, 'write')} in {plural(finished.requests, 'request')}, "
    lines += wrap(f"{wire}{duration(finished.duration_s)}{path}", page.width, first="  ", rest="  ")
    if finished.outcome == "interrupted":
        lines += wrap(
            "what Google Cloud accepted goes on there; run the same command again and it picks up from here",
            page.width,
            first="  ",
            rest="  ",
        )
    return "\n".join(lines)


def _problem(event: ItemFinished, page: Page) -> str:
    return paragraph(
        event.message,
        cause=event.cause,
        hint=event.hint,
        reference=event.reference,
        page=page,
        label=str(event.outcome),
    )


def _question(event: ItemFinished, page: Page) -> str:
    return paragraph(f"{event.item}: {event.message}", hint=event.hint, page=page, label="waiting")


def _groups(blocked: Sequence[ItemFinished], page: Page) -> list[str]:
    """One paragraph for all that are blocked for the same kind of reason: their causes are told above."""
    groups: dict[str, list[str]] = defaultdict(list)
    for event in blocked:
        groups[event.reference].append(event.item)
    titles = {"needs-not-in-place": "blocked by what they need", "no-step-yet": "no step yet"}
    return [
        "\n".join(wrap(f"{titles[reference]} ({len(items)}): {', '.join(items)}", page.width, rest="  "))
        for reference, items in groups.items()
    ]
