"""Lists are told by the entries that differ, and an update still names the list."""

from __future__ import annotations

from plantctl.model.diff import SetKey, compare, masks
from plantctl.model.plan import difference
from plantctl.model.step import Body
from plantctl.steps.narrow import narrow

BY_NAME: dict[str, SetKey] = {"settings.flags": "name", "jobs.containers.env": "name"}


def told(desired: Body, live: Body) -> list[str]:
    found = [part for change in compare(desired, live, sets=BY_NAME) for part in narrow(change, BY_NAME)]
    assert set(masks(found)) == set(masks(compare(desired, live, sets=BY_NAME)))
    return [difference(part) for part in found]


def test_a_set_by_name_is_told_by_its_entries() -> None:
    wanted: Body = {"settings": {"flags": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]}}
    live: Body = {"settings": {"flags": [{"name": "c", "value": "3"}, {"name": "a", "value": "0"}]}}
    assert told(wanted, live) == [
        "settings.flags[a]: 0 -> 1",
        "settings.flags[b]: (none) -> 2",
        "settings.flags[c]: 3 -> (none)",
    ]
    assert told(wanted, {}) == ["settings.flags[a]: (none) -> 1", "settings.flags[b]: (none) -> 2"]


def test_a_list_of_one_is_told_by_its_fields_and_sets_within() -> None:
    wanted = {
        "jobs": {"containers": [{"image": "i:2", "env": [{"name": "A", "value": "1"}, {"name": "B", "from": 2}]}]}
    }
    live: Body = {
        "jobs": {"containers": [{"image": "i:1", "env": [{"name": "B", "from": 3}, {"name": "A", "value": "1"}]}]}
    }
    assert told(wanted, live) == [
        "jobs.containers[0].image: i:1 -> i:2",
        "jobs.containers[0].env[B].from: 3 -> 2",
    ]


def test_other_lists_stay_whole() -> None:
    assert told({"ranges": ["a", "b"]}, {"ranges": ["a"]}) == ["ranges: [a] -> [a, b]"]
    two = {"rules": [{"x": 1}, {"x": 2}]}
    assert told(two, {"rules": [{"x": 1}]}) == ["rules: [{x: 1}] -> [{x: 1}, {x: 2}]"]
    assert told({"tier": "a"}, {"tier": "b"}) == ["tier: b -> a"]
