"""`drift`: a plan of what the journal calls done, and its entries for what is no longer so."""

from __future__ import annotations

from plantctl.engine.recorder import RunRecorder
from plantctl.engine.records import Kind
from plantctl.model.plan import Plan, difference
from plantctl.model.step import Verdict

_DRIFT = (Verdict.DRIFTED, Verdict.MISSING, Verdict.CONFLICT, Verdict.FOREIGN)


def drifted(plan: Plan) -> tuple[str, ...]:
    """Ids of planned items that differ from what was verified."""
    return tuple(item.id for item in plan.items if item.form == "step" and item.verdict in _DRIFT)


def record_drift(plan: Plan, recorder: RunRecorder) -> tuple[str, ...]:
    """Write a DRIFTED entry for each such item, which makes its evidence void; gives their ids."""
    found = drifted(plan)
    for item in plan.items:
        if item.id in found and item.finding is not None:
            fields = "; ".join(difference(change) for change in item.finding.changes)
            recorder.record(item.id, Kind.DRIFTED, note=item.finding.reason or fields or str(item.verdict))
    return found
