"""The comparison of desired and live: each normalisation of Google's, and the differences that must not hide in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantctl.model.diff import FixedChange, compare, covers, masks, pick, plain, same
from plantctl.model.step import Change, Later

NET = "projects/p/global/networks/n"


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        ("100", 100),
        (100, "100"),
        ("100", "100"),
        (False, None),
        (0, None),
        ("", None),
        ([], None),
        ("0", None),
        ({"a": False, "b": {"c": ""}}, None),
        ("300s", "300.0s"),
        ("0.5s", "0.500s"),
        (NET, f"https://www.googleapis.com/compute/v1/{NET}"),
        (f"https://compute.googleapis.com/compute/v1/{NET}", NET),
        (f"https://compute.googleapis.com/compute/beta/{NET}", f"https://www.googleapis.com/compute/v1/{NET}"),
        ("us-central1", "https://www.googleapis.com/compute/v1/projects/p/regions/us-central1"),
        ("US-CENTRAL1", "us-central1"),
        ("us-central1", "US-CENTRAL1"),
        ("pd_ssd", "PD_SSD"),
        (1.0, 1),
        ({"a": 1}, {"a": 1, "server": "filled in"}),
        ([{"a": 1}], [{"a": 1, "b": 2}]),
    ],
)
def test_what_means_the_same_is_no_difference(desired: Any, live: Any) -> None:
    assert compare({"field": desired}, {"field": live}) == ()


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        ("100", 101),
        (True, None),
        (True, 1),
        (False, 0.5),
        (False, True),
        (True, "true"),
        (False, "x"),
        (0, False),
        ("300s", "301s"),
        (NET, f"{NET}2"),
        (NET, "https://www.googleapis.com/compute/v1/projects/p/global/networks/other"),
        (NET, "projects/q/global/networks/n"),
        ("n", "projects/p/global/networks/n"),
        ("us-east1", "https://www.googleapis.com/compute/v1/projects/p/regions/us-central1"),
        ("Plant", "plant"),
        ("abc", None),
        ([1, 2], [1, 3]),
        ([1], [1, 2]),
        ([1], None),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, None),
        ({"a": 1}, "text"),
        ("7", "07x"),
        ([], [1]),
        ({}, None),
        ({"automatic": {}}, {"userManaged": {"replicas": [1]}}),
    ],
)
def test_what_differs_is_found(desired: Any, live: Any) -> None:
    assert len(compare({"field": desired}, {"field": live})) == 1


def test_only_desired_paths_are_looked_at_and_named() -> None:
    live = {"settings": {"tier": "db-f1-micro", "edition": "ENTERPRISE"}, "state": "RUNNABLE"}
    assert compare({"settings": {"tier": "db-custom-2-8192", "edition": "ENTERPRISE"}}, live) == (
        Change(field="settings.tier", live="db-f1-micro", desired="db-custom-2-8192"),
    )


def test_fields_limit_the_look_also_where_live_lacks_the_object() -> None:
    desired = {"settings": {"tier": "a", "backup": {"enabled": True, "startTime": "03:00"}}, "region": "r"}
    live = {"settings": {"tier": "b"}, "region": "s"}
    assert [change.field for change in compare(desired, live, ["settings.tier"])] == ["settings.tier"]
    found = compare(desired, live, ["settings.backup.enabled"])
    assert found == (Change(field="settings.backup.enabled", desired=True),)
    assert [change.field for change in compare(desired, live, ["settings"])] == [
        "settings.tier",
        "settings.backup.enabled",
        "settings.backup.startTime",
    ]
    assert compare(desired, live, ["settings.ti"]) == ()


def test_keyed_sets_ignore_order_and_are_one_change() -> None:
    desired = {"settings": {"databaseFlags": [{"name": "a", "value": "1"}, {"name": "b", "value": "on"}]}}
    live = {"settings": {"databaseFlags": [{"name": "b", "value": "on"}, {"name": "a", "value": "1"}]}}
    sets = {"settings.databaseFlags": "name"}
    assert compare(desired, live, sets=sets) == ()
    assert [change.field for change in compare(desired, live)] == ["settings.databaseFlags"]
    for other in (
        [{"name": "a", "value": "2"}, {"name": "b", "value": "on"}],
        [{"name": "a", "value": "1"}, {"name": "c", "value": "on"}],
        [{"name": "a", "value": "1"}],
        [{"name": "a", "value": "1"}, {"name": "b", "value": "on"}, {"name": "c", "value": "x"}],
    ):
        live["settings"]["databaseFlags"] = other
        found = compare(desired, live, sets=sets)
        assert found == (
            Change(field="settings.databaseFlags", live=other, desired=desired["settings"]["databaseFlags"]),
        )
        assert masks(found) == ("settings.databaseFlags",)
    assert compare(desired, live, sets=sets, extras=sets) == ()


def test_every_field_of_a_result_can_be_put_into_an_update() -> None:
    desired = {"nats": [{"name": "plant-nat", "type": "PUBLIC"}], "labels": {"a": "1"}, "backup": {"enabled": True}}
    for change in compare(desired, {"nats": [{"name": "plant-nat", "type": "PRIVATE"}]}, sets={"nats": "name"}):
        assert pick(desired, [change.field]) != {}, change.field


def test_whole_items_match_in_any_order_each_once() -> None:
    rule = {"allowed": [{"IPProtocol": "tcp", "ports": ["80"]}, {"IPProtocol": "icmp"}]}
    turned = {"allowed": [{"IPProtocol": "icmp"}, {"IPProtocol": "tcp", "ports": ["80"]}]}
    assert compare(rule, turned, sets={"allowed": "*"}) == ()
    assert len(compare(rule, {"allowed": [turned["allowed"][0]] * 2}, sets={"allowed": "*"})) == 1


def test_sensitive_paths_are_marked() -> None:
    found = compare({"auth": {"key": "a"}, "tier": "b"}, {}, sensitive=["auth"])
    assert [(change.field, change.sensitive) for change in found] == [("auth.key", True), ("tier", False)]


def test_values_of_flags_and_variables_keep_their_case() -> None:
    env = {"env": [{"name": "LOG_LEVEL", "value": "info"}]}
    assert len(compare(env, {"env": [{"name": "LOG_LEVEL", "value": "INFO"}]}, sets={"env": "name"})) == 1
    assert len(compare({"labels": {"a": "b"}}, {"labels": {"a": "B"}})) == 1


def test_plain_sets_and_pairs() -> None:
    assert compare({"r": ["a", "b"]}, {"r": ["b", "a"]}, sets={"r": ""}) == ()
    assert len(compare({"r": ["a"]}, {"r": ["b", "a"]}, sets={"r": ""})) == 1
    assert compare({"r": ["a"]}, {"r": ["b", "a"]}, sets={"r": ""}, extras=["r"]) == ()
    pairs = {"allowed": ("IPProtocol", "ports")}
    desired = {"allowed": [{"IPProtocol": "tcp", "ports": ["80", "443"]}, {"IPProtocol": "icmp"}]}
    split = [{"IPProtocol": "icmp"}, {"IPProtocol": "tcp", "ports": ["443"]}, {"IPProtocol": "TCP", "ports": ["80"]}]
    assert compare(desired, {"allowed": split}, sets=pairs) == ()
    assert len(compare(desired, {"allowed": split[1:]}, sets=pairs)) == 1
    wider = [*split, {"IPProtocol": "tcp", "ports": ["22"]}]
    assert len(compare(desired, {"allowed": wider}, sets=pairs)) == 1


def test_sets_inside_lists_are_named_without_indices() -> None:
    def job(*names: str) -> dict[str, Any]:
        return {"template": {"containers": [{"env": [{"name": name, "value": name} for name in names]}]}}

    sets = {"template.containers.env": "name"}
    assert compare(job("a", "b"), job("b", "a"), sets=sets) == ()
    found = compare(job("a", "b"), job("b"), sets=sets, restarts=["template"])
    assert [(change.field, change.restarts) for change in found] == [("template.containers", True)]


@pytest.mark.parametrize(
    ("desired", "live", "agree"),
    [("1", "1000m", True), ("512Mi", "0.5Gi", True), ("4Gi", "4Gi", True), ("1", "2", False), ("4Gi", "4G", False)],
)
def test_quantities_agree_by_amount(desired: str, live: str, agree: bool) -> None:
    found = compare({"resources": {"limits": {"cpu": desired}}}, {"resources": {"limits": {"cpu": live}}})
    assert (found == ()) is agree


def test_storage_may_have_grown() -> None:
    paths = ["settings.dataDiskSizeGb"]
    assert (
        compare({"settings": {"dataDiskSizeGb": "100"}}, {"settings": {"dataDiskSizeGb": "250"}}, at_least=paths) == ()
    )
    assert (
        len(compare({"settings": {"dataDiskSizeGb": "100"}}, {"settings": {"dataDiskSizeGb": "50"}}, at_least=paths))
        == 1
    )


def test_immutable_and_restarting_fields_are_marked() -> None:
    desired = {"region": "us-central1", "settings": {"tier": "b"}}
    found = compare(
        desired, {"region": "us-east1", "settings": {"tier": "a"}}, immutable=["region"], restarts=["settings.tier"]
    )
    assert isinstance(found[0], FixedChange)
    assert not found[0].restarts
    assert found[1] == Change(field="settings.tier", live="a", desired="b", restarts=True)
    assert not isinstance(found[1], FixedChange)


def test_a_value_to_come_always_differs() -> None:
    later = Later("predeploy.project.create", "number")
    assert compare({"network": later}, {"network": "x"}) == (Change(field="network", live="x", desired=later),)
    assert compare({"network": later}, {}) == (Change(field="network", desired=later),)


def test_masks_name_a_map_of_labels_never_its_keys() -> None:
    found = compare({"labels": {"a.b": "1"}, "docker": {"tags": True}}, {})
    assert masks(found) == ("labels", "docker.tags")
    found = compare(
        {"labels": {"a": "1", "b": "2"}, "docker": {"tags": True}}, {"labels": {"c": "1"}, "docker": {"x": 1}}
    )
    assert masks(found) == ("labels", "docker.tags")


def test_pick_takes_the_named_parts() -> None:
    body = {"settings": {"tier": "a", "flags": [1]}, "region": "r"}
    assert pick(body, ["settings.tier", "region", "settings.none", "no.such"]) == {
        "settings": {"tier": "a"},
        "region": "r",
    }


def test_paths() -> None:
    assert plain("a[0].b[x.y].c") == "a.b.c"
    assert covers("a.b", "a.b.c")
    assert not covers("a.b", "a.bc")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=5), parts, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1, max_size=5), JSON, max_size=4))
def test_a_body_agrees_with_itself_and_with_more(body: dict[str, Any]) -> None:
    assert compare(body, body) == ()
    assert compare(body, {**body, "\x00server": 1}) == ()


@given(JSON, JSON)
def test_same_is_symmetric_for_plain_values(left: Any, right: Any) -> None:
    if not isinstance(left, dict | list) and not isinstance(right, dict | list):
        assert same(left, right) == same(right, left)
