"""A plan in words and as JSON: what a run would do, how long it usually takes, what needs a flag or a person."""

from __future__ import annotations

from plantctl.model.plan import Plan, PlannedItem, shown
from plantctl.model.step import Change, Finding, Later, Verdict
from plantctl.views.diagnostics import to_do
from plantctl.views.json_lines import SCHEMA_VERSION, finding_document
from plantctl.views.text import Page, after_item, duration, plural, shorten, wrap

_MARKS = {
    Verdict.IN_PLACE: ("=", "dim"),
    Verdict.MISSING: ("+", "green"),
    Verdict.PENDING: (">", "cyan"),
    Verdict.DRIFTED: ("~", "yellow"),
    Verdict.CONFLICT: ("!", "red"),
    Verdict.FOREIGN: ("!", "red"),
    Verdict.UNKNOWN: ("?", "dim"),
}


def plan_text(plan: Plan, page: Page, *, verbose: bool = False) -> str:
    """The plan at most `page.width` wide. Items in place are only counted unless `verbose`."""
    lines: list[str] = []
    for item in plan.items:
        if verbose or item.error or item.verdict is not Verdict.IN_PLACE:
            lines += _item(item, page)
    return "\n".join([*lines, *([""] if lines else []), *_totals(plan, page)])


def plan_document(plan: Plan) -> dict[str, object]:
    """The plan as one JSON document; sensitive values and facts are not in it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "summary": counts(plan)
        | {
            "requests": plan.requests,
            "expect_s": plan.expect_s,
            "critical_path_s": plan.critical_path_s,
            "critical_path": list(plan.critical_path),
        },
        "items": [_document(item) for item in plan.items],
    }


def counts(plan: Plan) -> dict[str, int]:
    """Items by verdict; those that come after others, wait for a person, have no step or an error are counted apart."""
    checked = [item for item in plan.items if item.form == "step" and item.error is None]
    found = {str(verdict): sum(item.verdict is verdict for item in checked) for verdict in Verdict}
    later = found.pop("unknown")
    waiting = sum(item.form == "attestation" and item.finding is None for item in plan.items)
    left_out = sum(item.form in ("waived", "not-applicable") for item in plan.items)
    return {
        "total": len(plan.items),
        **found,
        "after-others": later,
        "waiting": waiting,
        "left-out": left_out,
        "no-step": sum(item.form == "no-step" for item in plan.items),
        "errors": len(plan.errors),
    }


def _item(item: PlannedItem, page: Page) -> list[str]:
    mark, style, words = _headline(item)
    head = f"{mark} {item.id}"
    lines = [page.paint(mark, style) + shorten(f"{head}: {words}", page.width)[1:]]
    if item.form in ("no-step", "not-applicable") or (item.form == "attestation" and item.finding):
        return lines
    lines += [f"    {line}" for line in wrap(item.question, page.width - 4)] if item.question else []
    if item.error is not None:
        cause, hint = item.error.cause, item.error.hint
        lines += wrap(cause, page.width, first="    because: ", rest=" " * 13) if cause else []
        lines += to_do(hint, page.width, indent="    ") if hint else []
    if item.finding is not None:
        lines += _finding(item, item.finding, page)
    return lines


def _headline(item: PlannedItem) -> tuple[str, str, str]:
    reason = item.finding.reason if item.finding else ""
    if item.error is not None:
        return "x", "red", f"cannot be checked: {after_item(item.id, item.error.message)}"
    if item.form == "attestation":
        return ("=", "dim", reason) if item.finding else ("?", "yellow", "waits for a person")
    if item.form == "no-step":
        return "-", "dim", "no step yet"
    if item.form in ("waived", "not-applicable"):
        return "-", "dim", f"{item.form}: {reason}".rstrip(": ")
    mark, style = _MARKS[item.verdict]
    pulled = " (needed)" if item.pulled_in else ""
    if item.verdict is Verdict.UNKNOWN:
        return mark, style, f"{reason or 'unknown'}{pulled}"
    if item.verdict is Verdict.IN_PLACE:
        return mark, style, f"{item.title}{'' if item.evidence else ': in place, to be verified'}{pulled}"
    usual = f", about {duration(item.expect_s)}" if item.expect_s else ""
    return mark, style, f"{item.verdict}{usual}{pulled}: {item.title}"


def _finding(item: PlannedItem, finding: Finding, page: Page) -> list[str]:
    lines: list[str] = []
    if finding.verdict is Verdict.UNKNOWN:
        return lines
    if finding.reason and item.form == "step":
        lines += wrap(finding.reason, page.width, first="    ", rest="    ")
    for change in finding.changes:
        lines += _change(change, page)
    if finding.operation:
        lines += wrap(f"in flight: {finding.operation}", page.width, first="    ", rest="    ")
    if finding.hint:
        lines += to_do(finding.hint, page.width, indent="    ")
    elif finding.verdict is Verdict.FOREIGN:
        lines.append("    to do:   --adopt takes it over")
    if item.restarts and not finding.hint:
        lines.append("    to do:   --allow-restart, in a quiet hour")
    return lines


def _change(change: Change, page: Page) -> list[str]:
    """`+ field: value` for what is not there yet, `~ field: live -> desired` for what differs."""
    live, desired = (shown(value, sensitive=change.sensitive) for value in (change.live, change.desired))
    flag = "  (interrupts service)" if change.restarts else ""
    if change.live is None:
        mark, text = "+", f"{change.field}: {desired}{flag}"
    elif change.desired is None:
        mark, text = "-", f"{change.field}: {live}{flag}"
    else:
        mark, text = "~", f"{change.field}: {live} -> {desired}{flag}"
    style = {"+": "green", "-": "red", "~": "yellow"}[mark]
    lines = wrap(text, page.width, first=f"    {mark} ", rest="        ") or [f"    {mark}"]
    lines[0] = lines[0].replace(mark, page.paint(mark, style), 1)
    return [page.paint(line, "dim") if isinstance(change.desired, Later) else line for line in lines]


def _totals(plan: Plan, page: Page) -> list[str]:
    found = counts(plan)
    words = {
        "missing": "to make",
        "drifted": "to change",
        "pending": "in flight",
        "conflict": "in conflict",
        "foreign": "foreign",
        "after-others": "after those",
        "waiting": "waiting for a person",
        "no-step": "without a step yet",
        "left-out": "left out",
        "errors": "that cannot be checked",
        "in-place": "in place",
    }
    told = ", ".join(f"{found[key]} {word}" for key, word in words.items() if found[key])
    lines = wrap(f"plan: {plural(found['total'], 'item')}: {told or 'nothing selected'}", page.width, rest="  ")
    if plan.pending:
        usual = f"usually {duration(plan.critical_path_s)} on Google Cloud; {duration(plan.expect_s)} one after another"
        lines += wrap(usual, page.width, first="  ", rest="  ")
        lines += wrap(f"longest chain: {' > '.join(plan.critical_path)}", page.width, first="  ", rest="    ")
    if any(item.restarts for item in plan.items):
        lines.append("  some changes interrupt service: they need --allow-restart")
    return lines


def _document(item: PlannedItem) -> dict[str, object]:
    body: dict[str, object] = {
        "id": item.id,
        "title": item.title,
        "form": item.form,
        "verdict": str(item.verdict),
        "pending": item.pending,
        "pulled_in": item.pulled_in,
        "evidence": item.evidence,
        "restarts": item.restarts,
        "expect_s": item.expect_s,
    }
    if item.finding is not None:
        body |= finding_document(item.finding)
    if item.question:
        body["question"] = item.question
    if item.error is not None:
        error = item.error
        body["error"] = {
            "reference": error.reference,
            "message": error.message,
            "cause": error.cause,
            "hint": error.hint,
        }
    return body
