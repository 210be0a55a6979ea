"""The pages that ship parse into 104 items plus the added ones, and every departure from the format names its line."""

from __future__ import annotations

import re

import pytest

from plantctl.cli.checklists import load
from plantctl.errors import ChecklistError, UsageError
from plantctl.model.checklist import parse, parse_page

PHASES = ["predeploy", "database", "cache", "backend", "loadbalancer", "monitoring", "security", "validation"]
PHASES += ["success"]
PER_PHASE = (15, 12, 8, 13, 8, 17, 12, 12, 7)
ADDED = 31

PAGE = """\
# Phase 1: Database Setup (Week 1)
> What it is for.

## PostgreSQL Instance
- [ ] Create database `plant_db` `database.instance.database`
  > A note.
- [ ] Create the roles *(added)* `database.instance.users`
  > Why it was added.
### Verify targets met:
- [ ] P95 latency < 500ms `database.instance.p95`
  > Another note.

## Cloud SQL Auth Proxy
- [ ] Test local connection `database.proxy.connect`
  > From inside.
"""


def test_the_pages_that_ship_hold_the_104_items_in_nine_phases() -> None:
    checklist = load()
    assert [phase.id for phase in checklist.phases] == PHASES
    assert [phase.number for phase in checklist.phases] == list(range(9))
    assert tuple(sum(not item.added for item in phase.items) for phase in checklist.phases) == PER_PHASE
    assert sum(item.added for item in checklist.items) == ADDED


def test_ids_are_unique_well_formed_and_lie_in_their_phase_and_group() -> None:
    checklist = load()
    ids = [item.id for item in checklist.items]
    assert len(set(ids)) == len(ids)
    for phase in checklist.phases:
        pattern = rf"{phase.id}\.[a-z0-9_]+" + ("" if phase.id == "success" else r"\.[a-z0-9_]+")
        assert all(re.fullmatch(pattern, item.id) for item in phase.items)
        assert all(item.group == group.id for group in phase.groups for item in group.items)


def test_items_stand_in_the_order_of_the_original_list() -> None:
    """The first, last and every group's order of one phase, by id: page order settles ties, so it may not shuffle."""
    original = [item.id for item in load().items if not item.added]
    assert original[0] == "predeploy.project.create"
    assert original[-1] == "success.lb"
    database = [item_id.removeprefix("database.") for item_id in original if item_id.startswith("database.")]
    assert database == [
        "instance.create",
        "instance.tier",
        "instance.backup",
        "instance.ha",
        "instance.database",
        "init.migrate",
        "init.seed",
        "init.indexes",
        "init.insights",
        "proxy.install",
        "proxy.connect",
        "proxy.tls",
    ]


def test_titles_and_notes_are_words_for_people() -> None:
    for item in load().items:
        assert item.title == item.title.strip()
        assert "(added)" not in item.title
        assert item.id not in item.title
        assert len(item.note) >= 15, f"{item.id}: the note says too little"
        assert len(item.note) <= 120, f"{item.id}: the note is longer than a line"


def test_a_page_becomes_frozen_records() -> None:
    phase = parse_page("1-database.md", PAGE)
    assert (phase.number, phase.id, phase.page) == (1, "database", "1-database.md")
    assert (phase.title, phase.note) == ("Phase 1: Database Setup (Week 1)", "What it is for.")
    assert [group.id for group in phase.groups] == ["database.instance", "database.proxy"]
    first, added, led, other = phase.items
    assert (first.title, first.added, first.lead) == ("Create database `plant_db`", False, "")
    assert (added.title, added.added, added.note) == ("Create the roles", True, "Why it was added.")
    assert (led.lead, other.lead) == ("Verify targets met:", "")


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("# Phase 1", "Phase 1", 1, "begins with '# '"),
        ("> What it is for.\n", "", 3, "begins with '> '"),
        ("## PostgreSQL", "#  PostgreSQL", 4, "begins with '## '"),
        ("- [ ] Create database", "- [x] Create database", 5, "ticks are kept in the journal"),
        ("- [ ] Create database", "* [ ] Create database", 5, "expected '- [ ] Title"),
        (" `database.instance.users`", "", 7, "expected '- [ ] Title"),
        (" `database.instance.users`", " `database.instance.users` ", 7, "expected '- [ ] Title"),
        ("database.instance.users", "cache.instance.users", 7, "not an id of the phase database"),
        ("database.instance.users", "database.Instance.users", 7, "not an id of the phase database"),
        ("database.instance.users", "database.instance.database", 7, "a second time"),
        ("database.instance.users", "database.init.users", 7, "among the items of database.instance"),
        ("  > A note.\n", "", 6, "expected the note of database.instance.database"),
        ("  > A note.\n", "> A note.\n", 6, "expected the note of database.instance.database"),
        ("  > A note.\n", "\n  > A note.\n", 6, "expected the note of database.instance.database"),
        ("  > A note.\n", "  > A note.\n  > And more.\n", 7, "expected '- [ ] Title"),
        ("database.proxy.connect", "database.instance.connect", 13, "a second group database.instance"),
        ("  > From inside.\n", "", 14, "expected the note of database.proxy.connect"),
        ("- [ ] Test local connection `database.proxy.connect`\n  > From inside.\n", "", 13, "has no items"),
    ],
)
def test_anything_else_is_refused_with_page_and_line(old: str, new: str, line: int, says: str) -> None:
    assert PAGE.count(old) == 1
    with pytest.raises(ChecklistError) as failed:
        parse_page("1-database.md", PAGE.replace(old, new))
    assert failed.value.message.startswith(f"1-database.md:{line}: ")
    assert says in failed.value.message


@pytest.mark.parametrize("text", ["", "# Title\n", "# Title\n> Note\n"])
def test_a_page_without_groups_is_refused(text: str) -> None:
    with pytest.raises(ChecklistError, match=r"^1-database\.md:"):
        parse_page("1-database.md", text)


def test_page_names_and_numbers_are_checked() -> None:
    with pytest.raises(ChecklistError, match="not a page name"):
        parse_page("database.md", PAGE)
    with pytest.raises(ChecklistError, match="leaves a gap"):
        parse({"1-database.md": PAGE})
    with pytest.raises(ChecklistError, match="a second page for the phase database"):
        parse({"0-database.md": PAGE, "1-database.md": PAGE})


def test_an_unknown_word_is_a_usage_error_with_the_nearest_ones() -> None:
    checklist = load()
    assert checklist.item("database.proxy.tls").group == "database.proxy"
    assert checklist.phase("cache").number == 2
    with pytest.raises(UsageError) as failed:
        checklist.item("database.instance.user")
    assert "database.instance.users" in failed.value.hint
    with pytest.raises(UsageError, match="there is no phase 'xyz'"):
        checklist.phase("xyz")
