"""The page of the sandbox's methods is what the code says."""

from __future__ import annotations

from tests.sandbox_methods import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.sandbox_methods`"
