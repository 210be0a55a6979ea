"""Reads the checklist's pages from the installed package data and hands them to the parser."""

from __future__ import annotations

from importlib import resources

from plantctl.model.checklist import Checklist, parse


def load() -> Checklist:
    """The checklist that ships with this plantctl; ChecklistError when a page does not parse."""
    pages = (page for page in resources.files("checklists").iterdir() if page.name.endswith(".md"))
    return parse({page.name: page.read_text(encoding="utf-8") for page in pages})
