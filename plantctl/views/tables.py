"""Checklist, item, runs, lock, phases and lists of records: human text and JSON documents. Plain text, no rich."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from plantctl.model.checklist import Checklist
from plantctl.model.status import HistoryLine, ItemStatus, LockState, RunRecord, Status, StatusReport
from plantctl.views.json_lines import SCHEMA_VERSION, plain
from plantctl.views.text import Page, columns, duration, moment, plural, shorten, wrap

STYLES = {
    Status.VERIFIED: "green",
    Status.ATTESTED: "green",
    Status.RUNNING: "cyan",
    Status.WAITING: "yellow",
    Status.FAILED: "red",
    Status.BLOCKED: "yellow",
    Status.DRIFTED: "red",
    Status.STALE: "yellow",
}
_TICKS = {Status.VERIFIED: "[x]", Status.ATTESTED: "[x]", Status.WAIVED: "[-]", Status.NOT_APPLICABLE: "[-]"}


def status_text(report: StatusReport, page: Page) -> str:
    """The checklist, a block a phase, at most `page.width` wide; below it the counts."""
    lines: list[str] = []
    ids = max((len(item.id) for item in report.items), default=0)
    phase = ""
    for item in report.items:
        if item.phase != phase:
            phase = item.phase
            done = [i for i in report.items if i.phase == phase]
            ticked = sum(i.status in _TICKS for i in done)
            lines += [*([""] if lines else []), page.paint(f"{phase} ({ticked} of {len(done)})", "bold")]
        lines.append(_status_line(item, ids, page))
    return "\n".join([*lines, "", *_status_totals(report, page)])


def status_document(report: StatusReport) -> dict[str, object]:
    """The checklist as the design's JSON (section 9); `summary` counts the seed's items, `added` the others."""
    return {
        "schema_version": SCHEMA_VERSION,
        "environment": report.environment,
        "target": report.target,
        "summary": {**report.summary(), "added": report.summary(added=True)},
        "items": [_status_item(item) for item in report.items],
    }


def item_text(item: ItemStatus, history: Sequence[HistoryLine], page: Page) -> str:
    """One item with its evidence and its history, newest last."""
    lines = wrap(f"{item.id}: {item.title}", page.width, rest="  ")
    since = f" since {moment(item.since)} by {item.by}" if item.since else ""
    lines.append(f"  status    {page.paint(str(item.status), STYLES.get(item.status, ''))}{since}")
    for label, text in (("note", item.note), ("needs", ", ".join(item.needs))):
        lines += wrap(text, page.width, first=f"  {label.ljust(8)}  ", rest=" " * 12) if text else []
    for words in item.evidence:
        lines += wrap(words, page.width, first="  evidence  ", rest=" " * 12)
    if history:
        lines += ["", page.paint("history", "bold")]
        rows = [(moment(e.at), e.kind, e.by, "; ".join(filter(None, (*e.evidence, e.where, e.note)))) for e in history]
        lines += columns(rows, width=page.width, indent="  ")
    return "\n".join(lines)


def item_document(item: ItemStatus, history: Sequence[HistoryLine]) -> dict[str, object]:
    """One item as JSON."""
    return {"schema_version": SCHEMA_VERSION, "item": _status_item(item), "history": [plain(e) for e in history]}


def runs_text(runs: Sequence[RunRecord], page: Page) -> str:
    """Runs, newest first."""
    if not runs:
        return "no run is in the journal"
    rows = [("run", "began", "took", "outcome", "command")]
    for run in runs:
        took = duration((run.finished - run.started).total_seconds()) if run.finished else ""
        rows.append((run.id, moment(run.started), took, run.outcome or "running", f"{run.command}  ({run.by})"))
    head, *rest = columns(rows, width=page.width)
    return "\n".join([page.paint(head, "bold"), *rest])


def runs_document(runs: Sequence[RunRecord]) -> dict[str, object]:
    """Runs as JSON."""
    return {"schema_version": SCHEMA_VERSION, "runs": [plain(run) for run in runs]}


def lock_text(lock: LockState) -> str:
    """Who holds the lock."""
    if lock.held:
        return f"held by {lock.words()}"
    left = f"; {lock.words()} ended without clearing its words" if lock.by else ""
    return f"free{left}"


def lock_document(lock: LockState) -> dict[str, object]:
    """The lock as JSON."""
    return {"schema_version": SCHEMA_VERSION, "lock": plain(lock)}


def phases_text(checklist: Checklist, page: Page, *, with_step: frozenset[str] = frozenset()) -> str:
    """Phases with the number of their items, and of those that have a step."""
    rows = [("phase", "items", "steps", "title")]
    for phase in checklist.phases:
        steps = sum(item.id in with_step for item in phase.items)
        rows.append((phase.id, str(len(phase.items)), str(steps), phase.title))
    return "\n".join(columns(rows, width=page.width))


def phases_document(checklist: Checklist, *, with_step: frozenset[str] = frozenset()) -> dict[str, object]:
    """Phases as JSON."""
    return {
        "schema_version": SCHEMA_VERSION,
        "phases": [
            {
                "id": phase.id,
                "title": phase.title,
                "items": [item.id for item in phase.items],
                "steps": sum(item.id in with_step for item in phase.items),
            }
            for phase in checklist.phases
        ],
    }


def backups_text(backups: Sequence[Mapping[str, object]], page: Page) -> str:
    """Backups, in the order given: keys `id type status started size_gb location`."""
    return listing_text(backups, ("id", "type", "status", "started", "size_gb", "location"), page, none="no backup yet")


def listing_text(
    rows: Sequence[Mapping[str, object]], keys: Sequence[str], page: Page, *, none: str = "nothing to list"
) -> str:
    """Records as a table with these keys as columns; what does not fit goes below its record as `key: value`."""
    if not rows:
        return none
    table = [tuple(str(plain(row.get(key, "")) or "") for key in keys) for row in rows]
    lines = [tuple(keys), *table]
    sizes = [max(len(line[at]) for line in lines) for at in range(len(keys))]
    if sum(sizes) + 2 * (len(sizes) - 1) <= page.width:
        return "\n".join(columns(lines, width=page.width))
    told = []
    for row in table:
        pairs = [f"{key}: {value}" for key, value in zip(keys[1:], row[1:], strict=True) if value]
        told += [shorten(row[0], page.width), *wrap(", ".join(pairs), page.width, first="  ", rest="  ")]
    return "\n".join(told)


def listing_document(noun: str, rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Records as JSON under the plural noun."""
    return {"schema_version": SCHEMA_VERSION, noun: [plain(row) for row in rows]}


def _status_line(item: ItemStatus, ids: int, page: Page) -> str:
    tick = _TICKS.get(item.status, "[ ]")
    words = item.note if item.status not in _TICKS and item.note else item.title
    if page.width >= ids + 74:
        when = f"{moment(item.since):16}  "
    else:
        when = ""
    head = f"{tick} {item.id.ljust(ids)}  "
    status = str(item.status).ljust(9)
    left = page.width - len(head) - len(status) - len(when) - 2
    if left < 12:
        return head + page.paint(shorten(status, page.width - len(head)), STYLES.get(item.status, ""))
    return (head + page.paint(status, STYLES.get(item.status, "")) + "  " + when + shorten(words, left)).rstrip()


def _status_totals(report: StatusReport, page: Page) -> list[str]:
    lines = []
    for noun, found in (("item", report.summary()), ("added item", report.summary(added=True))):
        if found["total"]:
            told = ", ".join(f"{count} {word}" for word, count in found.items() if count and word != "total")
            lines += wrap(f"{plural(found['total'], noun)}: {told}", page.width, rest="  ")
    return [*lines, f"environment {report.environment}, target {report.target}"]


def _status_item(item: ItemStatus) -> dict[str, object]:
    return {
        "id": item.id,
        "title": item.title,
        "phase": item.phase,
        "group": item.group,
        "added": item.added,
        "status": str(item.status),
        "since": plain(item.since),
        "by": item.by,
        "evidence": list(item.evidence),
        "needs": list(item.needs),
        "note": item.note,
        "has_step": item.has_step,
    }
