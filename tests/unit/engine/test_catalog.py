"""Which items a command's words mean, and what is said about words that mean none."""

from __future__ import annotations

import pytest

from plantctl.engine.catalog import Catalog, select
from plantctl.errors import UsageError
from plantctl.model.step import Attestation
from tests.unit.engine.toys import World, page, toy

IDS = ("net.a.vpc", "net.a.nat", "data.b.sql", "data.b.tier", "app.c.run", "app.c.review")


def catalog() -> Catalog[World]:
    return Catalog(
        page(*IDS),
        [
            toy("net.a.vpc"),
            toy("data.b.sql", "net.a.vpc"),
            toy("data.b.tier", "data.b.sql"),
            Attestation(id="app.c.review", title="Review", question="Who?", valid_days=30),
        ],
    )


def test_all_and_nothing_mean_everything_in_page_order() -> None:
    assert select(catalog(), ["all"]).items == IDS
    assert select(catalog()).items == IDS


def test_needs_of_other_phases_are_pulled_in() -> None:
    selection = select(catalog(), ["data"])
    assert selection.items == ("net.a.vpc", "data.b.sql", "data.b.tier")
    assert selection.pulled_in == {"net.a.vpc"}


def test_only_takes_the_item_and_its_transitive_needs() -> None:
    selection = select(catalog(), only=["data.b.tier"])
    assert selection.items == ("net.a.vpc", "data.b.sql", "data.b.tier")
    assert selection.pulled_in == {"net.a.vpc", "data.b.sql"}


def test_without_needs_they_are_only_checked() -> None:
    selection = select(catalog(), ["all"], only=["data.b.tier"], with_needs=False)
    assert selection.items == ("data.b.tier",)
    assert selection.checked_only == ("net.a.vpc", "data.b.sql")


def test_items_without_step_can_be_left_out() -> None:
    assert select(catalog(), ["all"], with_step_only=True).items == (
        "net.a.vpc", "data.b.sql", "data.b.tier", "app.c.review",
    )  # fmt: skip


def test_an_unknown_phase_names_the_nearest_and_all() -> None:
    with pytest.raises(UsageError) as caught:
        select(catalog(), ["dta"])
    assert caught.value.message == "there is no phase 'dta'"
    assert caught.value.hint == "did you mean data? phases are: all, net, data, app"


def test_an_unknown_item_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        select(catalog(), only=["data.b.teir"])
    assert "did you mean data.b.tier" in caught.value.hint


def test_an_item_outside_the_phases_is_refused() -> None:
    with pytest.raises(UsageError, match="is not in the phases net"):
        select(catalog(), ["net"], only=["data.b.tier"])


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([toy("net.a.other")], "is no item of the checklist"),
        ([toy("net.a.vpc"), toy("net.a.vpc")], "is there twice"),
        ([toy("net.a.vpc", "net.a.gone")], "needs net.a.gone, which is no item"),
        ([toy("net.a.vpc", "net.a.nat"), toy("net.a.nat", "net.a.vpc")], "circle"),
    ],
)
def test_mistakes_in_the_code_are_found_at_construction(entries: list[object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Catalog(page(*IDS), entries)  # type: ignore[arg-type]
