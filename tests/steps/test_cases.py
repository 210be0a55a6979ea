"""Every step against every state that it may meet: given this live state, exactly these writes, and then no more.

A case is a file `cases/<item id>/<state>.json`; `world.py` says how its answers are written, and
tests/steps/README.md what its keys mean.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from plantctl.errors import PlantctlError
from plantctl.model.facts import CURRENT_ITEM, Facts
from plantctl.model.plan import difference
from plantctl.model.plant import Plant
from plantctl.model.secret import Secret
from plantctl.model.step import Body, Finding, Step, Verdict
from plantctl.steps import STEPS
from plantctl.steps.context import Context, Options
from tests.desired.schema import problems, request_of
from tests.steps.world import FakeGcp, Past, merged

CASES = Path(__file__).parent / "cases"
GOLDEN = Path(__file__).parents[1] / "desired" / "golden"
STATES = ("missing", "pending", "drifted", "in_place", "conflict", "foreign")
VERDICTS = {"in_place": Verdict.IN_PLACE, **{state: Verdict(state) for state in STATES if state != "in_place"}}
BY_ID: dict[str, Step[Context]] = {step.id: step for step in STEPS if isinstance(step, Step)}
FILES = sorted(CASES.glob("*/*.json"))


@cache
def facts() -> Body:
    """What the other items have established, by item (`cases/facts.json`)."""
    found: Body = json.loads((CASES / "facts.json").read_text())
    return found


def expand(value: Any) -> Any:
    """`{"$golden": "instance", ...}` is the golden body of that name with the rest laid over it."""
    if isinstance(value, list):
        return [expand(item) for item in value]
    if not isinstance(value, dict):
        return value
    rest = {key: expand(inner) for key, inner in value.items() if key != "$golden"}
    if "$golden" not in value:
        return rest
    return merged(json.loads((GOLDEN / f"{value['$golden']}.json").read_text()), rest)


def load(path: Path) -> Body:
    """A case, with its item and its state by name; `state-more.json` is a second case of a state."""
    return {"item": path.parent.name, "state": path.stem.split("-")[0], **expand(json.loads(path.read_text()))}


def context(case: Body, gcp: FakeGcp, base: Path) -> Context:
    """What the engine would hand to the step."""
    plant = Plant()
    for section, values in case.get("plant", {}).items():
        part = values if not isinstance(values, dict) else replace(getattr(plant, section), **values)
        plant = replace(plant, **{section: part})
    known = Facts()
    for item, values in {**facts(), **case.get("facts", {})}.items():
        known.put(item, values)
    options = dict(case.get("options", {}))
    options["recreate"] = frozenset(options.get("recreate", ()))
    given = case.get("given_secret", "")
    return Context(
        plant=plant,
        gcp=gcp,
        facts=known,
        memory=gcp.memory,
        clock=gcp.clock,
        base=base / case["base"] if "base" in case else Path(__file__).parents[2],
        options=Options(**options),
        given_secret=lambda _: Secret(given) if given else None,
    )


def agree(wanted: Any, sent: Any) -> bool:
    """Equal, where `*` stands for any text (a random value, an archive's bytes)."""
    if isinstance(wanted, dict) and isinstance(sent, dict):
        return wanted.keys() == sent.keys() and all(agree(wanted[key], sent[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(sent, list):
        return len(wanted) == len(sent) and all(map(agree, wanted, sent))
    return bool(wanted == sent or (wanted == "*" and isinstance(sent, str) and sent))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_case(path: Path) -> None:
    case = load(path)
    past = Past(case.get("memory", {}))
    step, gcp = BY_ID[case["item"]], FakeGcp(case, past)
    ctx = context(case, gcp, path.parent)
    token = CURRENT_ITEM.set(step.id)
    try:
        finding = check(case, step, ctx)
        assert gcp.writes == [], "a check never writes"
        if case["state"] == "in_place":
            verify(case, step, gcp, ctx)
        elif case["state"] != "conflict":
            apply(case, step, gcp, ctx, finding)
            assert past.notes == case.get("notes", [])
    finally:
        CURRENT_ITEM.reset(token)
    assert set(case.get("live", {})) - gcp.used == set(), "answers that nothing asked for"


def check(case: Body, step: Step[Context], ctx: Context) -> Finding:
    """The plan, the drift and the live status of this state; the words are compared by what the case quotes."""
    found = step.check(ctx)
    assert found.verdict is VERDICTS[case["state"]], found
    assert [difference(change) for change in found.changes] == case.get("changes", [])
    assert [change.field for change in found.changes if change.restarts] == case.get("restarts", [])
    assert found.reason == case.get("reason", "")
    assert found.hint == case.get("hint", "")
    if case["state"] in ("conflict", "foreign"):
        assert found.reason
        assert found.hint
    return found


def verify(case: Body, step: Step[Context], gcp: FakeGcp, ctx: Context) -> None:
    """What is in place is looked at from another side, which writes nothing."""
    found = step.check(ctx)
    assert dict(found.facts) == case.get("facts_found", {})
    if "raises" in case:
        with pytest.raises(PlantctlError, match=case["raises"]):
            step.verify(ctx)
    else:
        assert list(step.verify(ctx).words) == case["evidence"]
    assert gcp.writes == []


def apply(case: Body, step: Step[Context], gcp: FakeGcp, ctx: Context, finding: Finding) -> None:
    """Exactly the planned writes, with bodies that fit Google's discovery documents; then in place, and silence.

    `rounds`: a wait may be followed by a change; the engine looks and applies again.
    """
    for _ in range(case.get("rounds", 1)):
        if "raises" in case:
            with pytest.raises(PlantctlError, match=case["raises"]):
                step.apply(ctx, finding)
            break
        step.apply(ctx, finding)
        finding = step.check(ctx)
    planned = case["calls"]
    assert [call["method"] for call in gcp.writes] == [call["method"] for call in planned]
    for sent, wanted in zip(gcp.writes, planned, strict=True):
        assert agree(wanted.get("params", {}), sent["params"]), sent["params"]
        assert agree(wanted.get("body"), sent.get("body")), json.dumps(sent.get("body"))
        assert faults(sent) == []
    if "raises" not in case:
        assert case["second_calls"] == []
        second = step.check(ctx)
        assert (second.verdict, second.changes) == (Verdict.IN_PLACE, ())
        assert len(gcp.writes) == len(planned), "the second look writes nothing"


def faults(sent: Body) -> list[str]:
    """What the discovery document says against a body; what a server made and wants back is no fault of ours."""
    api, version, schema = request_of(sent["method"])
    if not schema:
        return ["the method takes no body"] if sent.get("body") else []
    found = problems(api, version, schema, sent.get("body") or {})
    whole = sent["method"].endswith("jobs.patch")  # adopting a job sends it as it is, with the marker
    return [fault for fault in found if not (whole and fault.endswith("output only"))]


def test_every_step_has_its_cases() -> None:
    cases = {item: {path.stem.split("-")[0] for path in FILES if path.parent.name == item} for item in BY_ID}
    assert {path.parent.name for path in FILES} == set(BY_ID)
    assert {state for states in cases.values() for state in states} == set(STATES)
    assert [item for item, states in cases.items() if "in_place" not in states] == []
    proofs = {
        "database.proxy.connect",
        "database.proxy.tls",
        "cache.client.pool",
    }  # nothing to make, nothing that can differ: only looks
    proofs |= {f"backend.health.{word}" for word in ("endpoint", "database", "redis", "lifecycle")}
    assert {item for item, states in cases.items() if states == {"in_place"}} == proofs
    writes = {path.parent.name for path in FILES if json.loads(path.read_text()).get("calls")}
    looks = {"predeploy.sa.key", "backend.image.dockerfile", "backend.image.push", "backend.image.scan"}
    assert set(BY_ID) - writes == proofs | looks | {"database.proxy.install", "cache.client.install"}


def test_a_wrong_case_fails() -> None:
    path = CASES / "database.instance.tier" / "drifted.json"
    case = load(path)
    changes: tuple[Body, ...] = (
        {"second_calls": ["x"]},
        {"calls": []},
        {"changes": []},
        {"state": "missing"},
        {"live": {}},
    )
    for change in changes:
        wrong = {**case, **change}
        step, gcp = BY_ID[case["item"]], FakeGcp(wrong, Past({}))
        ctx = context(wrong, gcp, path.parent)
        with pytest.raises((AssertionError, LookupError)):
            apply(wrong, step, gcp, ctx, check(wrong, step, ctx))
