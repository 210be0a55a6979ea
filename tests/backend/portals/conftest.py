"""Fixtures of the portals' tests: people with passwords, agents that can be tried, and browsers to look with."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backend.security.passwords import Passwords
from tests.backend.api.conftest import Api, api
from tests.backend.portals.browser import Browser, missing, window

__all__ = ["api"]

PASSWORD = "correct horse battery"
SHAPES = [(1280, False), (1280, True), (360, False), (360, True)]


@dataclass
class Stage:
    """The running backend, and what a scene needs in it before the curtain rises."""

    api: Api
    pictures: Path
    hash: str
    named: dict[str, str] = field(default_factory=dict)

    def person(self, kind: str) -> str:
        """Somebody new of a kind who can sign in with PASSWORD; gives the name that `api.call` knows."""
        name = f"{kind}-{uuid.uuid4().hex[:6]}"
        person = self.api.add(name, kind)
        self.api.sql(f"UPDATE plant.account SET password_hash = '{self.hash}' WHERE id = '{person['account']}'")
        return name

    def email(self, name: str) -> str:
        """What a person signs in with."""
        return self.api.people[name]["email"]

    def done(self, who: str, method: str, path: str, **options: Any) -> Any:
        """The body of a request that must succeed."""
        answer = self.api.call(method, path, who, **options)
        assert answer.ok, answer.text
        return answer.json()

    def draft(self, partner: str, name: str, **changes: Any) -> dict[str, Any]:
        """An agent that could be submitted."""
        body = {
            "slug": f"{name.lower().replace(' ', '-')}-{uuid.uuid4().hex[:6]}",
            "name": name,
            "tagline": "Books that balance by Friday",
            "description": "Sorts receipts, matches payments and writes down what is left open.",
            "industry": "sales",
            "job_role": "account-assistant",
            "skills": ["account-planning", "negotiation", "presentation"],
            "monthly_price_minor": 1_450_000,
        }
        made: dict[str, Any] = self.done(partner, "POST", "/partner/agents", json=body | changes)
        return made

    def listed(self, partner: str, name: str) -> dict[str, Any]:
        """An agent in the catalogue that takes work."""
        made = self.draft(partner, name)
        path = f"/partner/agents/{made['id']}"
        self.done(partner, "PUT", f"{path}/availability", json={"availability": "available"})
        self.done(partner, "POST", f"{path}/submit")
        listed: dict[str, Any] = self.done("olga", "POST", f"/admin/agents/{made['id']}/publish", json={})
        return listed

    def hired(self, customer: str, slug: str) -> dict[str, Any]:
        """A trial of an agent."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        hire: dict[str, Any] = self.done(customer, "POST", "/hires", json={"agent_slug": slug}, headers=headers)
        return hire

    def delivered(self, partner: str, hire: str, title: str) -> dict[str, Any]:
        """Something to approve."""
        body = {"title": title, "kind": "report", "body": "Open items: 4\n\nMatched payments: 132 of 136"}
        path, headers = f"/partner/hires/{hire}/deliverables", {"Idempotency-Key": uuid.uuid4().hex}
        made: dict[str, Any] = self.done(partner, "POST", path, json=body, headers=headers)
        return made

    def album(self, browser: Browser, name: str) -> None:
        """Pictures of a page on both widths in both colours; on none of them it scrolls sideways."""
        for width, dark in SHAPES:
            browser.shape(width, dark=dark)
            browser.settle()
            assert browser.overflow() == [], f"{name} at {width} px"
            browser.picture(self.pictures / f"{name}-{width}-{'dark' if dark else 'light'}.png")
        browser.shape(1280)


Enter = Callable[..., Browser]


@pytest.fixture(scope="session")
def password_hash() -> str:
    """The hash of PASSWORD."""
    return asyncio.run(Passwords().hash(PASSWORD))


@pytest.fixture
def stage(api: Api, password_hash: str, request: pytest.FixtureRequest) -> Stage:
    """The running backend."""
    pictures = request.config.rootpath / "build" / "screenshots"
    pictures.mkdir(parents=True, exist_ok=True)
    return Stage(api, pictures, password_hash)


@pytest.fixture
def enter(stage: Stage, tmp_path: Path) -> Iterator[Enter]:
    """Opens a browser for somebody, signed in at a portal unless `who` is empty.

    When the test ends no console may hold a warning or an error that the test did not take out of it.
    """
    if missing():
        pytest.skip(missing())
    opened: list[Browser] = []
    with ExitStack() as stack:

        def open_one(portal: str, who: str = "") -> Browser:
            comes_from = str(uuid.uuid4())[:45]
            browser = stack.enter_context(window(stage.api.address, tmp_path / str(len(opened)), comes_from))
            opened.append(browser)
            browser.shape(1280)
            browser.open(f"/{portal}/" + ("#/sign-in" if who else ""))
            if who:
                sign_in(browser, stage.email(who))
            browser.settle()
            return browser

        yield open_one
        for browser in opened:
            assert browser.complaints() == []


def sign_in(browser: Browser, email: str, password: str = PASSWORD) -> None:
    """Fills in the form that is shown, and waits until somebody is signed in."""
    browser.submit({"E-mail address": email, "Password": password})
    browser.see("Sign out")
