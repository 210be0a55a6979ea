"""Monitoring's filters: comparisons joined by AND, OR, NOT and parentheses (Monitoring docs, "filters")."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from plantctl.sandbox import errors, standard

TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<op>!=|<=|>=|=|<|>|:)|(?P<mark>[(),])"""
    r"""|(?P<minus>-(?=[A-Za-z(]))|(?P<word>[\w][\w-]*(?:[./](?:[\w-]+|"[^"]*"))*|-?\d+(?:\.\d+)?))"""
)
FUNCTIONS: dict[str, Callable[[str, list[str]], bool]] = {
    "starts_with": lambda value, given: value.startswith(given[0]),
    "ends_with": lambda value, given: value.endswith(given[0]),
    "has_substring": lambda value, given: given[0] in value,
    "one_of": lambda value, given: value in given,
    "monitoring.regex.full_match": lambda value, given: re.fullmatch(given[0], value) is not None,
}
Lookup = Callable[[str], Any]


@dataclass(frozen=True)
class Filter:
    """`holds(lookup)` with a function from selector to value; `equals`: what it demands a selector to be."""

    holds: Callable[[Lookup], bool]
    equals: dict[str, str]


def parse(text: str, field: str = "filter") -> Filter:
    """The filter, or 400 INVALID_ARGUMENT that names the field; an empty one holds for everything."""
    parser = _Parser(text, field)
    if not text.strip():
        return Filter(lambda _: True, {})
    holds = parser.either()
    if parser.tokens:
        parser.fail()
    return Filter(holds, parser.equals)


def of_body(body: dict[str, Any]) -> Lookup:
    """Selectors in proto names (`user_labels.team`, `display_name`) over a JSON body."""

    def look(selector: str) -> Any:
        first, *rest = [part.strip('"') for part in re.findall(r'"[^"]*"|[^.]+', selector)]
        value: Any = body.get(standard.camel(first))
        for part in rest:
            value = value.get(part, value.get(standard.camel(part))) if isinstance(value, dict) else None
        return value

    return look


class _Parser:
    def __init__(self, text: str, field: str) -> None:
        self._text, self._field = text, field
        self.equals: dict[str, str] = {}
        self._depth = 0
        self.tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            found = TOKEN.match(text, position)
            if found is None or found.lastgroup is None:
                self.fail()
            self.tokens.append((found.lastgroup, found.group(found.lastgroup)))
            position = found.end()

    def fail(self) -> NoReturn:
        raise errors.invalid(  # unverified: the words after the value
            f'Field {self._field} had an invalid value of "{self._text}": The filter cannot be parsed.', self._field
        )

    def either(self) -> Callable[[Lookup], bool]:
        options = [self.all()]
        while self._next("word", "OR"):
            self.tokens.pop(0)
            self._depth += 1
            options.append(self.all())
            self._depth -= 1
        if len(options) > 1:
            self.equals.clear()  # no branch of an OR demands anything
        return options[0] if len(options) == 1 else lambda look: any(one(look) for one in options)

    def all(self) -> Callable[[Lookup], bool]:
        terms = [self._term()]
        while self.tokens and not self._next("word", "OR") and not self._next("mark", ")"):
            if self._next("word", "AND"):
                self.tokens.pop(0)
            terms.append(self._term())  # AND may be left out
        return terms[0] if len(terms) == 1 else lambda look: all(one(look) for one in terms)

    def _term(self) -> Callable[[Lookup], bool]:
        if self._next("word", "NOT") or self._next("minus"):
            self.tokens.pop(0)
            self._depth += 1
            inner = self._term()
            self._depth -= 1
            return lambda look: not inner(look)
        if self._next("mark", "("):
            self.tokens.pop(0)
            inner = self.either()
            self._take("mark", ")")
            return inner
        return self._comparison()

    def _comparison(self) -> Callable[[Lookup], bool]:
        selector = _selector(self._take("word"))
        operator = self._take("op")
        kind, value = self.tokens.pop(0) if self.tokens else self.fail()
        if kind == "word" and self._next("mark", "("):
            return self._function(selector, value, operator)
        if kind not in ("text", "word"):
            self.fail()
        wanted = _unquoted(value) if kind == "text" else value
        if operator == "=" and not self._depth:
            self.equals[selector] = wanted
        return lambda look: _holds(look(selector), operator, wanted)

    def _function(self, selector: str, name: str, operator: str) -> Callable[[Lookup], bool]:
        if name not in FUNCTIONS or operator not in ("=", "!="):
            self.fail()
        given = []
        self._take("mark", "(")
        while not self._next("mark", ")"):
            given.append(_unquoted(self._take("text")))
            if self._next("mark", ","):
                self.tokens.pop(0)
        self._take("mark", ")")
        if not given:
            self.fail()
        test = FUNCTIONS[name]
        return lambda look: (look(selector) is not None and test(str(look(selector)), given)) == (operator == "=")

    def _next(self, kind: str, value: str = "") -> bool:
        return bool(self.tokens) and self.tokens[0][0] == kind and value in ("", self.tokens[0][1])

    def _take(self, kind: str, value: str = "") -> str:
        if not self._next(kind, value):
            self.fail()
        return self.tokens.pop(0)[1]


def _selector(word: str) -> str:
    # `resource.label.x` is an older way to say `resource.labels.x`
    return re.sub(r"^(metric|resource)\.label\.", r"\1.labels.", word)


def _unquoted(text: str) -> str:
    return str(json.loads(text)) if text[0] == '"' else text[1:-1].replace("\\'", "'")


def _holds(value: Any, operator: str, wanted: str) -> bool:
    if value is None:
        return operator == "!="
    if operator == ":":
        return wanted == "*" or wanted in (value if isinstance(value, dict | list) else str(value))
    if isinstance(value, bool):
        value = str(value).lower()
    if operator in ("=", "!="):
        return (str(value) == wanted) == (operator == "=")
    try:
        left, right = float(value), float(wanted)
    except (TypeError, ValueError):
        return False
    return {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[operator]
