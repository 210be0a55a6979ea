"""The portals' files without a browser: links, calls, contrast, headers; each rule catches a breach planted for it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.types import Message

from backend.main import create_app
from backend.portal_files import FOLDERS, HEADERS, PORTALS
from backend.settings import Settings
from tests.backend.portals.conftest import Stage
from tests.backend.postgres import certificates

OPENAPI = json.loads((PORTALS.parent / "openapi.json").read_text())
MAX_LINES = 400
LINKS = {
    ".html": re.compile(r'(?:href|src)="([^"#][^"]*)"'),
    ".js": re.compile(r'^(?:import|export) [^;]*?from "([^"]+)";|^import "([^"]+)";', re.M),
    ".css": re.compile(r"url\(([^)]+)\)|@import [\"']([^\"']+)"),
}
CALL = re.compile(r'\bcall\(\s*"([A-Z]+) ([^"]+)"((?:[^()]|\([^()]*\))*)\)')
PREFIXED = re.compile(r'send\("([A-Z]+)", `\$\{PREFIX\}([^`]+)`')
INLINE = {
    "an inline handler": re.compile(r"<[^>]+\son\w+\s*="),
    "an inline style": re.compile(r"<[^>]+\sstyle\s*=|<style"),
    "an inline script": re.compile(r"<script(?![^>]*\ssrc=)"),
    "another host": re.compile(r"https?://(?!www\.w3\.org/2000/svg)[\w.]"),
}
MARKUP = re.compile(
    r"\.(?:inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|new Function|cssText|javascript:"
    r"|\bstyle: (?!.(?:currency|percent))"  # a number's style is none of the page's
)
PAIRS = [("ink", "paper"), ("ink", "surface"), ("ink", "sunken"), ("muted", "paper"), ("muted", "surface")]
PAIRS += [("brand-ink", "paper"), ("brand-ink", "surface"), ("on-brand", "brand"), ("on-brand", "brand-hover")]
PAIRS += [("on-red", "red"), ("on-red", "red-hover"), ("red-ink", "surface"), ("paper", "ink"), ("ink", "brand-soft")]
PAIRS += [(f"{tone}-ink", f"{tone}-soft") for tone in ("brand", "amber", "red", "blue", "plum", "grey")]
SHAPES = [("edge", "surface"), ("edge", "paper"), ("brand", "surface"), ("brand", "paper"), ("series", "surface")]
SHAPES += [(f"dot-{word}", "surface") for word in ("available", "working", "offline")]


def files(root: Path, *endings: str) -> list[Path]:
    """The published files of these kinds."""
    return [path for path in sorted(root.rglob("*")) if path.suffix in endings]


def broken_links(root: Path) -> Iterator[str]:
    """Links and imports that lead nowhere within the folders, as they lie in the bucket."""
    for path in files(root, *LINKS):
        for match in LINKS[path.suffix].finditer(path.read_text()):
            link = next(group for group in match.groups() if group)
            target = path.parent / link
            target = target / "index.html" if link.endswith("/") else target
            if not target.is_file():
                yield f"{path.name}: {link} leads nowhere"


def unused_files(root: Path) -> Iterator[str]:
    """Files that no page leads to."""
    seen: set[Path] = set()
    ahead = [root / name / "index.html" for name in FOLDERS if name != "shared"]
    while ahead:
        path = ahead.pop().resolve()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        for match in LINKS[path.suffix].finditer(path.read_text()) if path.suffix in LINKS else ():
            ahead.append(path.parent / next(group for group in match.groups() if group))
    for path in files(root, ".html", ".js", ".css", ".svg"):
        if path.resolve() not in seen:
            yield f"{path.name} is used nowhere"


def inline_code(root: Path) -> Iterator[str]:
    """What the content policy would refuse, and whatever parses text as markup."""
    for path in files(root, ".html", ".svg"):
        for what, pattern in INLINE.items():
            if pattern.search(path.read_text()):
                yield f"{path.name}: {what}"
    for path in files(root, ".js"):
        for match in MARKUP.finditer(path.read_text()):
            yield f"{path.name}: {match[0]}"


def wrong_calls(root: Path) -> Iterator[str]:
    """Calls of operations that the API's document does not have, or without what it asks for."""
    for path in files(root, ".js"):
        text = path.read_text()
        if re.search(r"\bfetch\(|XMLHttpRequest", text) and path.name != "http.js":
            yield f"{path.name}: sends past http.js"
        for method, where in PREFIXED.findall(text):
            if operation(method, where) is None:
                yield f"{path.name}: there is no {method} {where}"
        for method, where, rest in CALL.findall(text):
            found = operation(method, where)
            if found is None:
                yield f"{path.name}: there is no {method} {where}"
            else:
                yield from (f"{path.name}: {method} {where} lacks {name}" for name in wanted(found) if name not in rest)


def operation(method: str, where: str) -> dict[str, Any] | None:
    """An operation of the document."""
    found: dict[str, Any] | None = OPENAPI["paths"].get(f"/api/v1{where}", {}).get(method.lower())
    return found


def wanted(found: dict[str, Any]) -> Iterator[str]:
    """What a call of an operation must give: parameters of its path, version, key, body."""
    given = {"if-match": "version", "idempotency-key": "key"}
    for parameter in found.get("parameters", []):
        name = parameter["name"].lower()
        if parameter["in"] == "path" or name in given:
            yield given.get(name, name)
    if "requestBody" in found:
        yield "body"


def sizes_and_headings(root: Path) -> Iterator[str]:
    """Files that are too long, and modules and sheets that do not say what lives there."""
    for path in files(root, ".js", ".css", ".html"):
        text = path.read_text()
        if text.count("\n") > MAX_LINES:
            yield f"{path.name}: too long"
        if not text.startswith({".js": "/**", ".css": "/*", ".html": "<!doctype html>"}[path.suffix]):
            yield f"{path.name}: does not say what lives there"


def pale_pairs(root: Path) -> Iterator[str]:
    """Colours of text under 4.5:1 and of shapes under 3:1 (WCAG 2.2 AA), in either scheme."""
    text = (root / "shared" / "base.css").read_text()
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part)) for part in text.split("@media", 2)[:2])
    for scheme, colours in (("light", light), ("dark", light | dark)):
        for needed, pairs in ((4.5, PAIRS), (3.0, SHAPES)):
            for front, back in pairs:
                ratio = contrast(colours[front], colours[back])
                if ratio < needed:
                    yield f"{scheme}: {front} on {back} has {ratio:.2f}"


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.2, 1.4.3."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


RULES = [broken_links, unused_files, inline_code, wrong_calls, sizes_and_headings, pale_pairs]
BREACHES = [
    (broken_links, "customer/index.html", "</body>", '<a href="gone.html">x</a></body>', "gone.html"),
    (broken_links, "partner/app.js", '"./jobs.js"', '"./job.js"', "./job.js"),
    (unused_files, "customer/extra.js", "", "/** Nobody's. */\n", "extra.js is used nowhere"),
    (inline_code, "customer/index.html", "<main", '<main onclick="x()"', "an inline handler"),
    (inline_code, "partner/index.html", "<main", '<main style="x"', "an inline style"),
    (inline_code, "partner/index.html", "</head>", "<script>x()</script></head>", "an inline script"),
    (inline_code, "customer/index.html", "../shared/logo.svg", "https://example.com/logo.svg", "another host"),
    (inline_code, "shared/dom.js", "return element;", "element.innerHTML = ''; return element;", ".innerHTML"),
    (wrong_calls, "partner/keys.js", "/partner/api-keys", "/partner/keys", "there is no"),
    (wrong_calls, "customer/hire.js", ", version: found.version", "", "lacks version"),
    (wrong_calls, "customer/agent.js", "}, key })", "} })", "lacks key"),
    (wrong_calls, "shared/session.js", "/auth/refresh", "/auth/renew", "there is no POST /auth/renew"),
    (wrong_calls, "partner/jobs.js", "export async", "fetch('/x'); export async", "sends past http.js"),
    (sizes_and_headings, "shared/ui.js", "/** Small", "// Small", "does not say"),
    (sizes_and_headings, "shared/ui.js", "export", "\n" * 400 + "export", "too long"),
    (pale_pairs, "shared/base.css", "--muted: #55615a", "--muted: #95a19a", "light: muted on paper"),
    (pale_pairs, "shared/base.css", "--edge: #74827a", "--edge: #2b3531", "dark: edge on surface"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_files_keep_the_rule(rule: Callable[[Path], Iterator[str]]) -> None:
    assert list(rule(PORTALS)) == []


@pytest.mark.parametrize(("rule", "file", "old", "new", "says"), BREACHES)
def test_a_planted_breach_is_caught(
    tmp_path: Path, rule: Callable[[Path], Iterator[str]], file: str, old: str, new: str, says: str
) -> None:
    root = tmp_path / "portals"
    shutil.copytree(PORTALS, root)
    path = root / file
    text = path.read_text() if path.exists() else ""
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else new)
    assert any(says in breach for breach in rule(root))


def test_the_rules_see_the_calls() -> None:
    """A pattern that matches nothing would find nothing wrong."""
    text = "".join(path.read_text() for path in files(PORTALS, ".js"))
    assert len(CALL.findall(text)) == len(re.findall(r'call\(\s*"[A-Z]+ /', text)) > 30
    assert {where for _, where in PREFIXED.findall(text)} == {"/auth/token", "/auth/refresh", "/auth/logout", "/me"}


@pytest.mark.parametrize("path", ["/customer/", "/partner/", "/shared/api.js", "/customer/index.html"])
def test_every_file_carries_the_portals_headers(stage: Stage, path: str) -> None:
    answer = requests.get(stage.api.address + path, timeout=20)
    assert answer.status_code == 200
    assert HEADERS.items() <= answer.headers.items()
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert not any("unsafe" in sources or "*" in sources for sources in policy.values())
    assert {"base-uri", "object-src", "frame-ancestors"} <= {name for name in policy if policy[name] == "'none'"}


def test_the_addresses_of_the_portals(stage: Stage) -> None:
    for path, leads_to in {"/customer": "/customer/", "/partner": "/partner/", "/": "/customer/"}.items():
        answer = requests.get(stage.api.address + path, timeout=20, allow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (307, leads_to)
    for path in ("/customer/none.js", "/shared/../headers.json", "/partner/%2e%2e/headers.json"):
        answer = requests.get(stage.api.address + path, timeout=20)
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert not any(path.startswith(("/customer", "/partner", "/shared")) for path in OPENAPI["paths"])


def status(environment: str, path: str, ca: str) -> int:
    """What the application of an environment answers at a path; its stores are never asked."""
    values = {"db_host": "127.0.0.1", "database_password": "9c41d2e7a0b35f68", "db_ca": ca}
    application = create_app(Settings.model_validate(values | {"environment": environment}))
    answers: list[Message] = []

    async def receive() -> Message:
        return await asyncio.Future[Message]()  # nothing more comes

    async def send(message: Message) -> None:
        answers.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
    }
    scope |= {"headers": [], "http_version": "1.1", "scheme": "https", "root_path": "", "state": {}}
    asyncio.run(application(scope, receive, send))
    return int(answers[0]["status"])


@pytest.mark.parametrize(("path", "elsewhere"), [("/customer/", 200), ("/shared/api.js", 200), ("/partner", 307)])
def test_production_serves_no_portal(tmp_path: Path, path: str, elsewhere: int) -> None:
    """There the bucket does, on the same origin."""
    ca = certificates(tmp_path)
    assert (status("staging", path, ca), status("production", path, ca)) == (elsewhere, 404)
