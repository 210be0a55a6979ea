"""What partners and operators do: make, review, publish, deliver, look at numbers, keep keys and records."""

from __future__ import annotations

import re
import time

import pytest
from selenium.webdriver.common.keys import Keys

from tests.backend.portals.browser import Browser
from tests.backend.portals.conftest import Enter, Stage
from tests.backend.portals.test_customer import network_errors


def in_catalogue(stage: Stage, name: str) -> bool:
    return bool(stage.api.call("GET", "/agents", params={"q": name}).json()["items"])


def new_agent(browser: Browser, name: str) -> None:
    """Fills in the editor and saves a draft."""
    browser.press("New agent")
    browser.fill("Name", name)
    assert browser.field("Short name").get_attribute("value") == name.lower().replace(" ", "-")
    browser.fill("Tagline", "Every tender, read twice")
    browser.fill("Description", "Reads tenders and writes what they ask for.")
    browser.choose("Industry", "Sales")
    browser.choose("Job role", "Account assistant")
    browser.choose("Skills", "Negotiation")
    browser.choose("Skills", "Account planning")
    browser.choose("Skills", "Presentation")
    browser.fill("Price a month", "12500.50")
    browser.press("Save draft")
    browser.see("Submit for review")


def test_from_a_draft_to_the_catalogue(stage: Stage, enter: Enter) -> None:
    name = f"Tender Tern {time.time_ns() % 100_000}"
    partner, operator = enter("partner", stage.person("partner")), enter("partner", stage.person("operator"))
    partner.see("No agents yet")
    stage.album(partner, "partner-no-agents")
    new_agent(partner, name)
    stage.album(partner, "partner-editor")
    partner.press("Submit for review")
    partner.press("Submit")
    partner.see("until then it cannot be edited")

    operator.reload()
    operator.see(name)
    stage.album(operator, "operator-review")
    card(operator, name, "Send back")
    operator.fill("What has to change?", "Say which languages it reads.")
    operator.press("Send back")
    operator.gone("Every tender, read twice")
    partner.reload()
    partner.see("Say which languages it reads.")
    stage.album(partner, "partner-sent-back")
    partner.fill("Description", "Reads tenders in English and Hindi.")
    partner.press("Save changes")
    partner.see("Saved.")
    partner.press("Submit for review")
    partner.press("Submit")
    partner.see("until then it cannot be edited")

    customer = enter("customer")
    customer.submit({"Search agents": name})
    customer.see("No agent fits this")
    operator.reload()
    card(operator, name, "Publish")
    operator.press("Publish")
    operator.see(f"{name} is in the catalogue.")
    published = time.monotonic()
    while not in_catalogue(stage, name):
        assert time.monotonic() - published < 2
    customer.press("Search")  # its browser has the answer of before, which it may not show again
    customer.press(name)
    customer.see("₹12,500.50")
    customer.see("takes no new work at the moment")
    partner.press("Agents")
    partner.see("Published")
    availability = partner.driver.find_element("css selector", "select.compact")
    availability.send_keys("Available")
    partner.see(f"{name} is available now.")
    stage.album(partner, "partner-agents")
    customer.reload()
    customer.see("Start free trial")


def card(browser: Browser, name: str, action: str) -> None:
    """Presses a button on the card that has this heading."""
    path = f"//li[.//h2[normalize-space()='{name}']]//button[normalize-space()='{action}']"
    browser.until(lambda: browser.driver.find_element("xpath", path), f"{action} of {name}").click()


@pytest.mark.acceptance
def test_two_who_edit_at_once_lose_nothing(stage: Stage, enter: Enter) -> None:
    who = stage.person("partner")
    agent = stage.draft(who, "Shared Shrike")
    browser = enter("partner", who)
    browser.open(f"/partner/#/agents/{agent['id']}")
    browser.fill("Name", "Shared Shrike II")
    browser.press("Submit for review")
    browser.see("Save your changes first, then submit.")
    path = f"/partner/agents/{agent['id']}"
    patch = {"tagline": "Written by the other one", "monthly_price_minor": 990_000}
    stage.done(who, "PATCH", path, json=patch, headers={"If-Match": '"v1"'})
    browser.press("Save changes")
    browser.see("Changed by somebody else")
    browser.see("Tagline: “Written by the other one”")
    browser.see("Price: ₹9,900 a month")
    assert browser.field("Name").get_attribute("value") == "Shared Shrike II"
    network_errors(browser, 412)
    stage.album(browser, "partner-clash")
    browser.press("Keep mine")
    browser.see("Saved.")
    found = stage.done(who, "GET", path)
    assert (found["name"], found["tagline"]) == ("Shared Shrike II", "Written by the other one")


def test_wrong_input_in_the_editor(stage: Stage, enter: Enter) -> None:
    who = stage.person("partner")
    taken = stage.draft(who, "Taken Tern")
    browser = enter("partner", who)
    browser.press("New agent")
    browser.fill("Name", "Éclair & Söhne 2")
    assert browser.field("Short name").get_attribute("value") == "e-clair-so-hne-2"
    browser.fill("Short name", "Not A Slug")
    browser.fill("Price a month", "a lot")
    browser.fill("Days free to try", "31")
    browser.press("Save draft")
    for words in ("Use small letters, digits", "Choose one.", "Use an amount, such as 12000.", "Use 0 to 30 days."):
        browser.see(words)
    assert browser.focused().startswith("Short name")
    browser.choose("Industry", "Sales")
    browser.choose("Job role", "Account assistant")
    browser.fill("Price a month", "999999999")
    browser.fill("Days free to try", "0")
    browser.fill("Short name", taken["slug"])
    browser.press("Save draft")
    browser.see("Some of it is not right yet.")
    browser.fill("Price a month", "0")
    browser.press("Save draft")
    browser.see("This short name is taken.")
    network_errors(browser, 409, 422)


def test_delivering_and_the_numbers(stage: Stage, enter: Enter) -> None:
    who, customer = stage.person("partner"), stage.person("customer")
    agent = stage.listed(who, "Counting Crane")
    hire = stage.hired(customer, agent["slug"])
    browser = enter("partner", who)
    browser.press("Hires")
    browser.press("Deliver")
    browser.press("Deliver")
    assert browser.text().count("Fill this in.") == 2
    stage.album(browser, "partner-deliver")
    browser.fill("Title", "First report")
    browser.choose("Kind", "Report")
    browser.fill("Content", "Line one\nLine two")
    browser.press("Deliver")
    browser.see("1, 0 approved")
    stage.album(browser, "partner-hires")
    made = stage.done(customer, "GET", f"/hires/{hire['id']}/deliverables")["items"]
    assert [(one["title"], one["kind"]) for one in made] == [("First report", "report")]

    browser.open(f"/partner/#/agents/{agent['id']}/performance")
    browser.see("Last 30 days")
    described = "return [...document.querySelectorAll('svg[role=img]')].map((s) => document.getElementById("
    described += "s.getAttribute('aria-labelledby').split(' ')[1]).textContent)"
    words = browser.driver.execute_script(described)
    assert len(words) == 4
    assert words[0].startswith("1 trial in 30 days; most on ")
    assert words[1].startswith("None in the 30 days until ")
    browser.press("The same as a table")
    rows = browser.driver.find_elements("css selector", "tbody tr")
    assert len(rows) == 30
    assert [cell.text for cell in rows[0].find_elements("css selector", "td")][1:] == ["1", "0", "0", "1"]
    browser.press("The same as a table")
    stage.album(browser, "partner-performance")


def test_a_key_is_shown_once_works_and_is_revoked(stage: Stage, enter: Enter) -> None:
    browser = enter("partner", stage.person("partner"))
    browser.press("API keys")
    browser.press("New key")
    for label in ("Read your agents", "Read hires"):
        browser.tick(label)
    browser.fill("Name", "Nightly")
    browser.press("Make key")
    browser.see("Choose at least one.")
    browser.tick("Read hires")
    browser.press("Make key")
    browser.see("Copy your key now")
    stage.album(browser, "partner-key")
    secret = str(browser.driver.execute_script("return document.querySelector('dialog input').value"))
    assert re.fullmatch(r"plk_[a-z0-9]{8}_[\w-]{32}", secret)
    with_key = {"X-API-Key": secret}
    assert stage.api.call("GET", "/partner/hires", headers=with_key).status_code == 200
    browser.press("I have kept it")
    browser.see("Nightly")
    stage.album(browser, "partner-keys")
    held = "return document.documentElement.outerHTML + JSON.stringify({...localStorage, ...sessionStorage})"
    assert secret not in browser.driver.execute_script(held)
    browser.press("Revoke")
    browser.press("Revoke")
    browser.see("Revoked")
    assert stage.api.call("GET", "/partner/hires", headers=with_key).status_code == 401


@pytest.mark.acceptance
def test_the_operators_desk(stage: Stage, enter: Enter) -> None:
    number = time.time_ns() % 100_000
    agent = stage.listed(stage.person("partner"), f"Leaving Lark {number}")
    browser = enter("partner", stage.person("operator"))
    browser.press("Certification")
    browser.press("New skill")
    browser.submit({"Name": f"Bookkeeping {number}", "Short name": f"bookkeeping-{number}"})
    browser.see(f"Bookkeeping {number} waits for certification.")
    stage.album(browser, "operator-certification")
    browser.press("Certify")
    browser.press("Certify")
    browser.see(f"Bookkeeping {number} is certified.")
    browser.press("New job role")
    browser.fill("Name", f"Bookkeeper {number}")
    browser.fill("Short name", f"bookkeeper-{number}")
    browser.choose("Skills", f"Bookkeeping {number}")
    browser.press("Save draft")
    browser.see(f"Bookkeeper {number} asks for 1 skill")
    browser.press("Certify")
    browser.press("Certify")
    browser.see(f"Bookkeeper {number} is certified.")
    assert stage.api.call("GET", f"/job-roles/bookkeeper-{number}").json()["skills"][0]["required"] is True

    browser.press("Listings")
    row = f"//tr[.//strong[normalize-space()='{agent['name']}']]//button"
    browser.until(lambda: browser.driver.find_element("xpath", row), "its button").click()
    browser.press("Retire")
    browser.see(f"{agent['name']} is retired.")
    assert stage.api.call("GET", f"/agents/{agent['slug']}").status_code == 404
    stage.album(browser, "operator-listings")

    browser.press("Audit")
    browser.submit({"Action": "agent.retire"})
    browser.until(lambda: "action=agent.retire" in browser.driver.current_url, "the filter in the address")
    browser.see(agent["id"][:8])
    stage.album(browser, "operator-audit")
    browser.press("Jobs")
    browser.see("notification.send")
    stage.album(browser, "operator-jobs")


@pytest.mark.acceptance
def test_whoever_is_wrong_here_is_shown_the_way(stage: Stage, enter: Enter) -> None:
    browser = enter("partner", stage.person("customer"))
    browser.see("This portal is for partners and operators.")
    stage.album(browser, "partner-stranger")
    browser.press("Go to the customer portal")
    browser.see("Find agents")
    browser.see("Sign out")  # one session for both: it is the same account
    browser.open("/partner/#/review")
    browser.see("This portal is for partners and operators.")
    operator = enter("partner", stage.person("operator"))
    operator.open("/partner/#/keys")
    operator.see("This page is not for an operator account.")
    operator.type(Keys.TAB)
    assert operator.focused() == "Skip to the content"
    visitor = enter("partner")
    visitor.see("Accounts for partners are opened by our operators.")
    stage.album(visitor, "partner-sign-in")
