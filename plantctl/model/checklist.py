"""The checklist as data: pages of Markdown text in, frozen Checklist, Phase, Group and Item out. No I/O here.

One format, line by line, and anything else is an error with page and line:
`# phase title`, `> note`, `## group title`, optionally `### lead of the items below`, and for each item
``- [ ] Title `phase.group.item` `` (added items: ``Title *(added)* `id` ``) with its note `  > ...` on the next line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from plantctl.errors import ChecklistError, UsageError

_PAGE = re.compile(r"(?P<number>\d)-(?P<phase>[a-z]+)\.md")
_ITEM = re.compile(r"- \[ \] (?P<title>\S.*?)(?P<added> \*\(added\)\*)? `(?P<id>[^`]+)`")
_ID = re.compile(r"[a-z]+(\.[a-z0-9_]+){1,2}")
_NOTE = re.compile(r"  > (\S.*)")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line of the checklist.

    `added` marks what Google Cloud needs and the original list forgets; `note` is the operator's line below the title;
    `lead` is the line that a nested list stands under ("Verify SLA targets met:"), or empty.
    """

    id: str
    title: str
    note: str
    added: bool = False
    lead: str = ""

    @property
    def group(self) -> str:
        """Id of the group: `database.instance` of `database.instance.tier`, `success` of `success.rps`."""
        return self.id.rpartition(".")[0]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Items that share a heading and the middle of their ids."""

    id: str
    title: str
    items: tuple[Item, ...]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One page. `id` is the word of the command line (`database`), `page` the file's name (`1-database.md`)."""

    number: int
    id: str
    title: str
    note: str
    page: str
    groups: tuple[Group, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """All items of the page, in page order."""
        return tuple(item for group in self.groups for item in group.items)


@dataclass(frozen=True, kw_only=True)
class Checklist:
    """All phases, in order."""

    phases: tuple[Phase, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """All items in page order, which also settles ties of the scheduler."""
        return tuple(item for phase in self.phases for item in phase.items)

    def phase(self, phase_id: str) -> Phase:
        """The phase of that id; UsageError, with the nearest ids, when there is none."""
        found = {phase.id: phase for phase in self.phases}
        return found.get(phase_id) or _unknown("phase", phase_id, found)

    def item(self, item_id: str) -> Item:
        """The item of that id; UsageError, with the nearest ids, when there is none."""
        found = {item.id: item for item in self.items}
        return found.get(item_id) or _unknown("item", item_id, found)


def parse(pages: Mapping[str, str]) -> Checklist:
    """The checklist from a mapping of page name (`1-database.md`) to text; ChecklistError names page and line."""
    checklist = Checklist(phases=tuple(parse_page(name, pages[name]) for name in sorted(pages)))
    numbers = [phase.number for phase in checklist.phases]
    if numbers != list(range(len(numbers))):
        raise ChecklistError(f"checklist pages are numbered {numbers}, which leaves a gap or begins late")
    seen: set[str] = set()
    for phase in checklist.phases:
        if phase.id in seen:
            raise ChecklistError(f"{phase.page}: a second page for the phase {phase.id}")
        seen.add(phase.id)
    return checklist


def parse_page(name: str, text: str) -> Phase:
    """One phase from its page; ChecklistError names page and line."""
    page = _PAGE.fullmatch(name)
    if page is None:
        raise ChecklistError(f"{name}: not a page name", hint="pages are named like 1-database.md")
    reader = _Reader(name, page["phase"], text)
    title = reader.take("# ")
    note = reader.take("> ")
    groups = tuple(reader.groups())
    if not groups:
        reader.fail("a phase has at least one group")
    return Phase(number=int(page["number"]), id=page["phase"], title=title, note=note, page=name, groups=groups)


class _Reader:
    """Lines of one page with their numbers; blank ones are skipped, except between an item and its note."""

    def __init__(self, page: str, phase: str, text: str) -> None:
        self._page = page
        self._phase = phase
        self._lines = text.splitlines()
        self._at = 0
        self._ids: set[str] = set()
        self._groups: set[str] = set()

    def peek(self) -> str:
        """The next line that is not blank, or an empty string at the end."""
        while self._at < len(self._lines) and not self._lines[self._at]:
            self._at += 1
        return self._lines[self._at] if self._at < len(self._lines) else ""

    def take(self, prefix: str) -> str:
        """The rest of the next line, which must begin with `prefix`."""
        line = self.peek()
        rest = line.removeprefix(prefix)
        if rest == line or not rest or rest != rest.strip():
            self.fail(f"expected a line that begins with {prefix!r}")
        self._at += 1
        return rest

    def groups(self) -> Iterator[Group]:
        """Groups up to the end of the page."""
        while self.peek():
            title = self.take("## ")
            line = self._at
            items = tuple(self.items())
            if not items:
                self.fail(f"the group {title!r} has no items", line)
            group = items[0].group
            if group in self._groups:
                self.fail(f"a second group {group}", line)
            self._groups.add(group)
            yield Group(id=group, title=title, items=items)

    def items(self) -> Iterator[Item]:
        """Items up to the next group."""
        lead, group = "", ""
        while (line := self.peek()) and not line.startswith("## "):
            if line.startswith("### "):
                lead = self.take("### ")
                if not self.peek().startswith("- "):
                    self.fail(f"no item stands under {lead!r}")
                continue
            number = self._at + 1
            item = self.item(lead)
            group = group or item.group
            if item.group != group:
                self.fail(f"{item.id} stands among the items of {group}", number)
            yield item

    def item(self, lead: str) -> Item:
        """The item at this line, and its note on the next."""
        found = _ITEM.fullmatch(self.peek())
        if found is None:
            self.fail("expected '- [ ] Title `phase.group.item`' (ticks are kept in the journal, not here)")
        item_id = found["id"]
        if not _ID.fullmatch(item_id) or item_id.split(".")[0] != self._phase:
            self.fail(f"{item_id!r} is not an id of the phase {self._phase}")
        if item_id in self._ids:
            self.fail(f"{item_id} stands here a second time")
        self._ids.add(item_id)
        self._at += 1
        note = _NOTE.fullmatch(self._lines[self._at]) if self._at < len(self._lines) else None
        if note is None:
            self.fail(f"expected the note of {item_id}: '  > ...'")
        self._at += 1
        return Item(id=item_id, title=found["title"], note=note[1], added=bool(found["added"]), lead=lead)

    def fail(self, why: str, line: int = 0) -> NoReturn:
        """Raise ChecklistError at a line (counted from 1), else at the present one."""
        number = line or min(self._at + 1, len(self._lines))
        shown = self._lines[number - 1] if number else ""
        raise ChecklistError(f"{self._page}:{number}: {why}", cause=f"the line reads {shown!r}")


def _unknown(noun: str, word: str, known: Iterable[str]) -> NoReturn:
    near = difflib.get_close_matches(word, list(known), n=3)
    hint = f"did you mean {', '.join(near)}?" if near else "plantctl phase list shows them all"
    raise UsageError(f"there is no {noun} {word!r}", hint=hint)
