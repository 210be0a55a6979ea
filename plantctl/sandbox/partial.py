"""Partial answers: the `fields` parameter, `a,b/c,d(e,f/g),items/*` (Google APIs, "partial response")."""

from __future__ import annotations

from typing import Any

from plantctl.sandbox import errors

Mask = dict[str, "Mask"]


def select(body: Any, fields: str) -> Any:
    """What of a body the expression names; an empty branch takes all below. 400 when it cannot be read."""
    mask, rest = _list(fields.replace(" ", ""))
    if rest:
        raise errors.invalid(f"Invalid field selection {fields}", legacy_reason="invalidParameter")
    return _cut(body, mask)


def _list(text: str) -> tuple[Mask, str]:
    mask: Mask = {}
    while text:
        text = _one(text, mask)
        if not text.startswith(","):
            break
        text = text[1:]
    return mask, text


def _one(text: str, mask: Mask) -> str:
    end = next((i for i, char in enumerate(text) if char in ",/()"), len(text))
    name, rest = text[:end], text[end:]
    below = mask.setdefault(name, {})
    if rest.startswith("/"):
        return _one(rest[1:], below)
    if rest.startswith("("):
        inner, rest = _list(rest[1:])
        if not rest.startswith(")"):
            raise errors.invalid("Invalid field selection", legacy_reason="invalidParameter")
        below.update(inner)
        return rest[1:]
    return rest


def _cut(body: Any, mask: Mask) -> Any:
    if not mask:
        return body
    if isinstance(body, list):
        return [_cut(one, mask) for one in body]
    if not isinstance(body, dict):
        return body
    return {
        key: _cut(value, mask.get(key, mask.get("*", {}))) for key, value in body.items() if key in mask or "*" in mask
    }
