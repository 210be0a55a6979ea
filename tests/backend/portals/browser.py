"""A person at a browser: headless Chromium by its driver, addressed by the words on the page and not by its markup."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

T = TypeVar("T")

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")  # where Debian's packages put them
PATIENCE_S = 30.0
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # Chromium refuses its own sandbox to root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en-GB",
)
_CONTROLS = "//*[self::a or self::button or self::summary][normalize-space()={0}]"
_LABELS = "//label[starts-with(normalize-space(), {0})]"


def missing() -> str:
    """Why there is no browser here; empty when there is one."""
    return "" if CHROMIUM.exists() and DRIVER.exists() else "needs Debian's chromium and chromium-driver"


@dataclass
class Browser:
    """One window. Whatever is looked for is waited for; a wait that ends in vain fails with what is on the page."""

    driver: Chrome
    address: str

    def open(self, path: str) -> None:
        """A page by its path, anew also when only the hash differs."""
        self.driver.get("about:blank")
        self.driver.get(self.address + path)

    def reload(self) -> None:
        """The same page again; what was in its memory is gone."""
        self.driver.refresh()

    def shape(self, width: int, *, dark: bool = False) -> None:
        """The window's width in CSS pixels, and the colours that the reader prefers."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        features += [{"name": "prefers-reduced-motion", "value": "reduce"}]  # no picture of a change half made
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def until(self, look: Callable[[], T | None], what: str) -> T:
        """What `look` finds, once it finds something. Raises AssertionError after half a minute."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                found = look()
            except (StaleElementReferenceException, WebDriverException):
                found = None
            if found:
                return found
            assert time.monotonic() < deadline, f"{what} did not appear; the page says: {self.text()}"
            time.sleep(0.05)

    def text(self) -> str:
        """What can be read on the page."""
        return str(self.driver.execute_script("return document.body.innerText"))

    def see(self, words: str) -> None:
        """Waits until the page says this."""
        self.until(lambda: words in self.text() or None, repr(words))

    def gone(self, words: str) -> None:
        """Waits until the page does not say this any more."""
        self.until(lambda: words not in self.text() or None, f"the end of {words!r}")

    def control(self, words: str) -> WebElement:
        """The link or button with these words, in the open dialog when there is one."""
        return self.until(lambda: self._shown(_CONTROLS.format(quoted(words))), f"a control {words!r}")

    def press(self, words: str) -> None:
        """Clicks a link or button."""
        self.until(lambda: self._pressed(words), f"a control {words!r} that can be pressed")

    def _pressed(self, words: str) -> bool:
        found = self._shown(_CONTROLS.format(quoted(words)))
        if found is None:
            return False
        found.click()
        return True

    def field(self, label: str) -> WebElement:
        """The control that a label belongs to."""

        def look() -> WebElement | None:
            found = self._shown(_LABELS.format(quoted(label)))
            if found is None:
                return None
            name = found.get_attribute("for")
            css = f"#{name}" if name else "input"
            return self.driver.find_element("css selector", css) if name else found.find_element("css selector", css)

        return self.until(look, f"a field {label!r}")

    def fill(self, label: str, text: str) -> None:
        """Types into a field, in place of what it held."""
        found = self.field(label)
        found.clear()
        found.send_keys(text)

    def submit(self, fields: dict[str, str]) -> None:
        """Types into fields of a form, and Enter in the last one."""
        for label, text in fields.items():
            self.fill(label, text)
        self.type(Keys.ENTER)

    def choose(self, label: str, option: str) -> None:
        """Takes an option of a select."""
        found = self.field(label)
        self.until(lambda: any(each.text == option for each in Select(found).options) or None, f"option {option!r}")
        Select(found).select_by_visible_text(option)

    def tick(self, label: str) -> None:
        """Clicks a box or a choice."""
        self.field(label).click()

    def type(self, *keys: str) -> None:
        """Keys to whatever has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def tab_to(self, words: str, most: int = 60) -> None:
        """Presses Tab until a control whose words or label begin so has the focus. Raises AssertionError."""
        for _ in range(most):
            self.type(Keys.TAB)
            if self.focused().startswith(words):
                return
        raise AssertionError(f"Tab does not reach {words!r}; it ended on {self.focused()!r}")

    def focused(self) -> str:
        """The words of what has the focus: its label or its text."""
        script = "const e = document.activeElement; return (e.labels?.[0] ?? e).innerText ?? ''"
        return str(self.driver.execute_script(script)).strip()

    def _shown(self, path: str) -> WebElement | None:
        inside = "//dialog" if self.driver.find_elements("css selector", "dialog[open]") else ""
        return next((one for one in self.driver.find_elements("xpath", inside + path) if one.is_displayed()), None)

    def overflow(self) -> list[str]:
        """What sticks out of the window to the right, as far as it makes the page scroll sideways."""
        script = """
        const width = document.documentElement.clientWidth;
        if (document.documentElement.scrollWidth <= width) return [];
        return [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > width + 1)
            .map((e) => `${e.tagName}.${e.className}`.toLowerCase()).slice(0, 10);
        """
        found = self.driver.execute_script(script)
        return [str(one) for one in found]

    def picture(self, file: Path) -> None:
        """The whole page as a PNG."""
        self.settle()
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 3000), "scale": 1}
        options = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", options)
        file.write_bytes(base64.b64decode(shot["data"]))

    def settle(self) -> None:
        """Waits until nothing is loading."""
        quiet = "return !document.querySelector('[aria-busy=true], .bones, #starting')"
        self.until(lambda: self.driver.execute_script(quiet), "a page at rest")

    def complaints(self) -> list[str]:
        """What the console holds of warnings and errors since the last time."""
        entries: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(entry["message"]) for entry in entries if entry["level"] in ("SEVERE", "WARNING")]


def quoted(words: str) -> str:
    """A string of XPath, which has no escapes."""
    return f'"{words}"' if '"' not in words else f"'{words}'"


@contextmanager
def window(address: str, profile: Path, comes_from: str) -> Iterator[Browser]:
    """A browser with an empty profile, seen by the backend as coming from an address of its own."""
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(str(DRIVER)))
    try:
        driver.execute_cdp_cmd("Network.enable", {})
        headers = {"X-Forwarded-For": f"{comes_from}, 10.0.0.1"}
        driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": headers})
        yield Browser(driver, address)
    finally:
        driver.quit()
