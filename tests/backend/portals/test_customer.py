"""What customers do: find an agent, register, try it, judge its work, keep it or not."""

from __future__ import annotations

import time

import pytest
import requests
from selenium.webdriver.common.keys import Keys

from tests.backend.portals.browser import Browser
from tests.backend.portals.conftest import PASSWORD, Enter, Stage, sign_in

REGISTRATION = {"Business": "Dora's Bakery", "Your name": "Dora", "Password": PASSWORD}


def address(browser: Browser) -> str:
    return str(browser.driver.execute_script("return location.hash"))


def cards(browser: Browser) -> list[str]:
    return [each.text for each in browser.driver.find_elements("css selector", ".agent-card h2")]


def spoken(browser: Browser) -> str:
    """What screen readers were told last."""
    return str(browser.driver.execute_script("return document.getElementById('live').textContent"))


def network_errors(browser: Browser, *statuses: int) -> None:
    """Takes what the browser itself notes of refused requests out of the console; nothing else may be there."""
    found = browser.complaints()
    assert found
    for line in found:
        assert any(f"status of {status} " in line for status in statuses), line


def register(stage: Stage, visitor: Browser, email: str) -> None:
    """From the dialog that asks to sign in, by the form, back to where one was."""
    visitor.press("Register your business")
    visitor.see("Create account")
    stage.album(visitor, "customer-register")
    for label, text in (REGISTRATION | {"E-mail address": email}).items():
        visitor.fill(label, text)
    visitor.choose("Industry", "Sales")
    visitor.tick("You may store")
    visitor.press("Create account")
    visitor.see("Welcome, Dora.")


def judge(visitor: Browser, title: str, verdict: str, field: str, note: str) -> None:
    """Opens a deliverable, and says what one thinks of it."""
    visitor.press(title)
    visitor.see("Matched payments: 132 of 136")
    visitor.press(verdict)
    visitor.fill(field, note)
    visitor.press(verdict)


def test_from_searching_to_approving(stage: Stage, enter: Enter) -> None:
    partner = stage.person("partner")
    agent = stage.listed(partner, "Ledger Lark")
    visitor = enter("customer")
    stage.album(visitor, "customer-catalogue")
    visitor.submit({"Search agents": "Ledger Lark"})
    visitor.until(lambda: set(cards(visitor)) == {"Ledger Lark"}, "the search's result")
    assert address(visitor) == "#/agents?q=Ledger+Lark"
    visitor.open(f"/customer/#/agents/{agent['slug']}")
    visitor.see("₹14,500")
    stage.album(visitor, "customer-agent")
    visitor.press("Start free trial")
    register(stage, visitor, f"dora-{agent['slug']}@example.com")
    visitor.press("Start free trial")
    visitor.press("Start trial")
    visitor.see("Nothing delivered yet")
    visitor.see("7 days left")

    hire = address(visitor).removeprefix("#/hires/")
    stage.delivered(partner, hire, "November reconciliation")
    stage.delivered(partner, hire, "Open items, week 47")
    visitor.reload()  # the token was in the page's memory; the cookie brings it back
    visitor.see("2 deliverables waiting for your word.")
    stage.album(visitor, "customer-hire")
    judge(visitor, "November reconciliation", "Approve", "A word of praise", "Spot on.")
    visitor.see("You approved this")
    stage.album(visitor, "customer-deliverable")
    visitor.press("Everything by Ledger Lark")
    judge(visitor, "Open items, week 47", "Send back", "What should change?", "")
    visitor.see("Fill this in.")
    visitor.fill("What should change?", "Week 46, please.")
    visitor.press("Send back")
    visitor.see("You sent this back")
    found = stage.api.sql(
        f"SELECT review_state, review_note FROM plant.deliverable WHERE hire_id = '{hire}' ORDER BY 1"
    )
    assert found.splitlines() == ["approved|Spot on.", "rejected|Week 46, please."]


def test_the_session_lasts_until_signed_out(stage: Stage, enter: Enter) -> None:
    customer = stage.person("customer")
    stage.hired(customer, stage.listed(stage.person("partner"), "Lasting Linnet")["slug"])
    browser = enter("customer", customer)
    browser.reload()
    browser.press("My agents")
    browser.see("On trial")
    stage.album(browser, "customer-hires")
    cookies = {cookie["name"]: cookie for cookie in browser.driver.get_cookies()}
    held = browser.driver.execute_script(
        "return document.cookie + JSON.stringify({...localStorage, ...sessionStorage})"
    )
    assert cookies == {}  # the only one belongs to /api/v1/auth, and scripts see none
    assert held == '{"plant.signed-in":"1"}'
    browser.press("Sign out")
    browser.see("Register")
    browser.reload()
    browser.see("Register")
    browser.press("My agents")
    browser.see("Your agents are waiting")


@pytest.mark.acceptance
def test_filters_live_in_the_address(stage: Stage, enter: Enter) -> None:
    visitor = enter("customer")
    visitor.open("/customer/#/agents?industry=education&sort=price&max=12000")
    visitor.until(lambda: cards(visitor), "agents")
    assert visitor.field("Industry").get_attribute("value") == "education"
    asked = {"industry": "education", "sort": "price", "max_price": "1200000", "limit": "12"}
    expected = [each["name"] for each in stage.api.call("GET", "/agents", params=asked).json()["items"]]
    assert cards(visitor) == expected
    visitor.choose("Job role", "Mathematics tutor")
    visitor.until(lambda: "role=mathematics-tutor" in address(visitor), "the role in the address")
    visitor.until(lambda: cards(visitor) != expected, "another list")
    visitor.driver.back()
    visitor.until(lambda: cards(visitor) == expected, "the list from before")
    assert visitor.field("Job role").get_attribute("value") == ""
    visitor.press("Clear search and filters")
    visitor.until(lambda: len(cards(visitor)) == 12, "the first page")
    visitor.press("Load more")
    visitor.until(lambda: len(cards(visitor)) == 24, "the second page")
    assert len(set(cards(visitor))) == 24
    assert spoken(visitor) == "12 more, 24 in all"
    visitor.press(cards(visitor)[20])
    visitor.see("At a glance")
    visitor.driver.back()
    visitor.until(lambda: len(cards(visitor)) == 24, "the list as it was left")
    visitor.fill("Search agents", "zzzzzz")
    visitor.see("No agent fits this")
    assert spoken(visitor) == "No agents found"
    stage.album(visitor, "customer-nothing-found")
    visitor.shape(360)
    visitor.open("/customer/")  # on a phone the filters are folded away
    visitor.until(lambda: cards(visitor), "agents")
    assert not visitor.driver.execute_script("return document.querySelector('details').open")


RACE = """
const [done] = arguments;
const channel = new BroadcastChannel("race");
import("/shared/session.js").then(({ refresh }) => {
    channel.onmessage = () => refresh().then(() => (window.outcome = "renewed"), () => (window.outcome = "refused"));
    done();
});
"""


@pytest.mark.acceptance
def test_two_tabs_renew_one_session(stage: Stage, enter: Enter) -> None:
    """Each refresh token works once: tabs that sent the same one would end the session for both."""
    browser = enter("customer", stage.person("customer"))
    browser.driver.switch_to.new_window("tab")
    browser.open("/customer/#/hires")
    browser.see("Sign out")
    tabs = browser.driver.window_handles
    for tab in tabs:
        browser.driver.switch_to.window(tab)
        browser.driver.execute_async_script(RACE)
    for _ in range(5):
        browser.driver.execute_script("new BroadcastChannel('race').postMessage('go')")
        for tab in tabs:
            browser.driver.switch_to.window(tab)
            browser.until(lambda: browser.driver.execute_script("return window.outcome"), "an outcome")
            assert browser.driver.execute_script("const o = outcome; outcome = ''; return o") == "renewed"


@pytest.mark.acceptance
def test_keeping_pausing_and_cancelling(stage: Stage, enter: Enter) -> None:
    partner, customer = stage.person("partner"), stage.person("customer")
    hire = stage.hired(customer, stage.listed(partner, "Mellow Map")["slug"])
    browser = enter("customer", customer)
    browser.press("My agents")
    browser.press("Mellow Map")
    browser.press("Keep this agent")
    browser.see("₹43,500, every three months")
    stage.album(browser, "customer-keep-dialog")
    browser.tick("Quarterly")
    browser.press("Confirm plan")
    browser.see("Renews on")
    browser.press("Pause")
    browser.press("Pause")
    browser.see("Rests; paid until")
    browser.press("Resume")
    browser.press("Resume")
    browser.see("Renews on")

    path = f"/hires/{hire['id']}"
    version = stage.done(customer, "GET", path)["version"]
    stage.done(customer, "POST", f"{path}/pause", headers={"If-Match": f'"v{version}"'})
    browser.press("Pause")  # what the page shows is old now
    browser.press("Pause")
    browser.see("This was changed elsewhere since you opened it.")
    network_errors(browser, 412)
    browser.type(Keys.ESCAPE)
    browser.reload()
    browser.press("Cancel")
    browser.tick("Now")
    browser.fill("Why", "Too quiet.")
    browser.press("Cancel it")
    browser.see("Ended on")
    ended = stage.done(customer, "GET", path)
    assert (ended["state"], ended["plan"], ended["end_reason"]) == ("cancelled", "quarterly", "Too quiet.")


def test_wrong_input_is_told_at_its_field(stage: Stage, enter: Enter) -> None:
    visitor = enter("customer")
    visitor.open("/customer/#/register")
    visitor.press("Create account")
    assert visitor.text().count("Fill this in.") == 4
    visitor.see("We need this to open an account.")
    assert visitor.focused() == "Business"
    visitor.fill("Business", "<img src=x onerror=alert(1)>")
    visitor.fill("Your name", "Dora")
    visitor.fill("E-mail address", "dora at example")
    visitor.fill("Password", "short")
    visitor.tick("You may store")
    visitor.press("Create account")
    visitor.see("This is not an e-mail address")
    visitor.see("Use at least 12 characters.")
    assert visitor.focused() == "E-mail address"
    visitor.fill("Password", "aaaaaaaaaaaaa")
    visitor.see("Use more different characters.")
    stage.album(visitor, "customer-register-wrong")
    known = stage.email(stage.person("customer"))
    visitor.fill("E-mail address", known)
    visitor.fill("Password", PASSWORD)
    visitor.press("Create account")
    visitor.see("There is an account with this e-mail address.")
    visitor.open("/customer/#/sign-in")
    visitor.submit({"E-mail address": known, "Password": "not the password"})
    visitor.see("The e-mail address or the password is not right.")
    network_errors(visitor, 409, 401)
    visitor.open("/customer/#/agents/no-such-agent")
    visitor.see("This does not exist, or it is not yours to see.")
    network_errors(visitor, 404)
    visitor.open("/customer/#/nowhere")
    visitor.see("There is no such page")


def test_text_of_others_is_text(stage: Stage, enter: Enter) -> None:
    partner, customer = stage.person("partner"), stage.person("customer")
    hire = stage.hired(customer, stage.listed(partner, "Plain Pine")["slug"])
    stage.delivered(partner, hire["id"], "<script>document.title = 'taken'</script><b>Bold</b>")
    browser = enter("customer", customer)
    browser.open(f"/customer/#/hires/{hire['id']}")
    browser.see("<script>document.title = 'taken'</script><b>Bold</b>")
    assert "taken" not in browser.driver.title


def test_with_the_keyboard_alone(stage: Stage, enter: Enter) -> None:
    agent, customer = stage.listed(stage.person("partner"), "Quiet Quill"), stage.person("customer")
    browser = enter("customer")
    browser.open(f"/customer/#/agents/{agent['slug']}")
    browser.see("Start free trial")
    browser.type(Keys.TAB)
    assert browser.focused() == "Skip to the content"
    browser.tab_to("Start free trial")
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert browser.driver.execute_script(outline) == "solid"
    browser.type(Keys.ENTER)
    browser.see("Sign in to try Quiet Quill")
    assert browser.focused() == "E-mail address"
    inside = "return document.querySelector('dialog').contains(document.activeElement)"
    for _ in range(12):  # the focus goes round in the dialog, over the browser's own bar
        browser.type(Keys.TAB)
        on_body = browser.driver.execute_script("return document.activeElement === document.body")
        assert on_body or browser.driver.execute_script(inside)
    browser.type(Keys.ESCAPE)
    browser.gone("Sign in to try Quiet Quill")
    assert browser.focused() == "Start free trial"
    browser.type(Keys.ENTER)
    browser.see("Sign in to try Quiet Quill")
    browser.type(stage.email(customer), Keys.TAB, PASSWORD, Keys.ENTER)
    browser.see("The trial is free and ends on")
    browser.tab_to("Start trial")
    browser.type(Keys.ENTER)
    browser.see("Nothing delivered yet")
    browser.until(lambda: browser.focused() == "Quiet Quill" or None, "the focus on the new page's heading")


@pytest.mark.acceptance
def test_too_much_at_once_says_when(stage: Stage, enter: Enter) -> None:
    customer = stage.person("customer")
    browser = enter("customer", customer)
    headers, path = stage.api.headers(customer), f"{stage.api.address}/api/v1/hires"
    with requests.Session() as session:
        statuses = [session.get(path, headers=headers, timeout=20).status_code for _ in range(125)]
    assert statuses[-1] == 429
    browser.press("My agents")
    browser.see("That was a lot at once. Try again in")
    network_errors(browser, 429)


@pytest.mark.acceptance
def test_a_session_that_ends_asks_to_sign_in_and_goes_on(stage: Stage, enter: Enter) -> None:
    customer = stage.person("customer")
    browser = enter("customer", customer)
    browser.press(browser.control(customer).text)
    browser.fill("Your name", "Renamed")
    account = stage.api.people[customer]["account"]
    stage.api.sql(f"UPDATE plant.account SET token_version = token_version + 1 WHERE id = '{account}'")
    while stage.api.call("GET", "/hires", customer).ok:  # an account is believed for a quarter of a minute
        time.sleep(0.5)
    for key in stage.api.redis.ask("KEYS", "session:*").decode().split():
        if key.startswith("session:"):
            stage.api.redis.ask("DEL", key)
    browser.press("Save")
    browser.see("Your session has ended: sign in to go on")
    sign_in(browser, stage.email(customer))
    browser.see("Your profile is saved.")
    network_errors(browser, 401)
    browser.see("Renamed")


@pytest.mark.acceptance
def test_no_network_is_said_and_got_over(stage: Stage, enter: Enter) -> None:
    browser = enter("customer")
    network = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", network | {"offline": True})
    browser.press("Load more")
    browser.see("The service could not be reached. Check your connection and try again.")
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", network | {"offline": False})
    browser.press("Load more")
    browser.until(lambda: len(cards(browser)) == 24, "the second page")
    assert all("ERR_INTERNET_DISCONNECTED" in line for line in browser.complaints())
