"""Every body equals its golden file and fits Google's discovery document; both checks are shown to catch a fault."""

from __future__ import annotations

import ast
import copy
import json
from pathlib import Path
from typing import Any

import pytest

from plantctl.model.step import Body, holds_later
from tests.desired.bodies import PLANT, SAMPLES
from tests.desired.schema import problems
from tests.unit.source_tree import ROOT

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(SAMPLES)


@pytest.mark.parametrize("name", NAMES)
def test_a_body_is_what_its_golden_file_says(name: str) -> None:
    assert SAMPLES[name].make() == json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_a_body_fits_the_discovery_document(name: str) -> None:
    sample = SAMPLES[name]
    assert problems(*sample.schema, sample.make()) == []
    assert holds_later(sample.make()) is None


def test_every_golden_file_is_a_body_and_every_function_has_one() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == NAMES
    makers = {
        node.name
        for path in sorted((ROOT / "plantctl/desired").glob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.returns is not None and "Body" in ast.unparse(node.returns)
    }
    parts = {"backup_configuration", "flags", "insights"}  # of the instance's body
    parts |= {"rollout", "resources", "scaling", "secrets", "vpc", "environment"}  # of the service's
    helpers = {
        "_policy",
        "_ports",
        "_rule",
        "_threshold",
        "bucket",
        "firewall_rules",
        "job",
        "job_of",
        "service_account",
    }  # several bodies each
    assert makers - parts - helpers <= {name.replace("-", "_") for name in NAMES}
    assert parts | helpers <= makers


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("instance", {"settings": {"backupStartHour": 3}}, "settings.backupStartHour: unknown field"),
        ("instance", {"settings": {"tier": 2}}, "settings.tier: int where string is wanted"),
        ("instance", {"settings": {"availabilityType": "HA"}}, "'HA' not in"),
        ("instance", {"settings": {"dataDiskSizeGb": 100}}, "dataDiskSizeGb: int where string is wanted"),
        ("instance", {"settings": {"dataDiskSizeGb": "100 GB"}}, "is no number"),
        ("instance", {"settings": {"replicationType": "SYNCHRONOUS"}}, "replicationType: deprecated"),
        ("network", {"mtu": True}, "mtu: bool where integer is wanted"),
        ("router", {"nats": [{"natIpAllocateOption": "auto"}]}, "nats[0].natIpAllocateOption: 'auto' not in"),
        ("secret", {"createTime": "2026-11-23T00:00:00Z"}, "createTime: output only"),
        ("bucket-source", {"labels": {"a": 1}}, "labels.a: int where string is wanted"),
    ],
)
def test_the_schema_check_catches_a_fault(name: str, change: Body, says: str) -> None:
    found = problems(*SAMPLES[name].schema, overlaid(SAMPLES[name].make(), change))
    assert [fault for fault in found if says in fault] != []


def test_the_schema_check_catches_the_original_lists_words() -> None:
    redis = ("redis", "v1", "Instance")
    assert problems(*redis, {"tier": "STANDARD_HA", "memorySizeGb": 1}) == []
    (tier,) = problems(*redis, {"tier": "standard"})
    assert "'standard' not in ['TIER_UNSPECIFIED', 'BASIC', 'STANDARD_HA']" in tier
    assert problems(*redis, {"backup": {"enabled": True}}) == ["Instance.backup: unknown field"]


def test_bodies_are_made_anew_each_time() -> None:
    for sample in SAMPLES.values():
        first = sample.make()
        untouched = copy.deepcopy(first)
        first.clear()
        assert sample.make() == untouched
    assert PLANT.labels == {"managed-by": "plantctl", "plantctl-env": "production"}


def overlaid(under: Any, over: Any) -> Any:
    """`over` laid over `under`, objects key by key."""
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    return {**under, **{key: overlaid(under.get(key), value) for key, value in over.items()}}
