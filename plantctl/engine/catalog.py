"""All items of the checklist in page order, each with its step, its attestation, or nothing yet."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from plantctl.engine.graph import require_acyclic
from plantctl.errors import UsageError
from plantctl.model.checklist import Item
from plantctl.model.step import Attestation, Step

C = TypeVar("C")


class Catalog(Generic[C]):
    """The checklist joined with the code.

    `not_applicable` maps ids of items that the configuration switches off to the reason; nothing is done for them and
    they count as in place for those that need them. ValueError, at construction, on an entry that has no line, on a
    need that is no item and on a cycle: those are mistakes in the code, found by the first test that builds it.
    """

    def __init__(
        self,
        items: Iterable[Item],
        entries: Iterable[Step[C] | Attestation],
        *,
        not_applicable: Mapping[str, str] | None = None,
    ) -> None:
        self.items: dict[str, Item] = {item.id: item for item in items}
        self.entries: dict[str, Step[C] | Attestation] = {}
        self.not_applicable = dict(not_applicable or {})
        for entry in entries:
            if entry.id not in self.items:
                raise ValueError(f"{entry.id} is no item of the checklist")
            if entry.id in self.entries:
                raise ValueError(f"{entry.id} is there twice")
            self.entries[entry.id] = entry
        self._place = {item: place for place, item in enumerate(self.items)}
        require_acyclic({item: self.needs(item) for item in self.items})

    @property
    def phases(self) -> tuple[str, ...]:
        """Phase words in page order."""
        return tuple(dict.fromkeys(phase_of(item) for item in self.items))

    def step(self, item: str) -> Step[C] | None:
        """The step of an item; None for attestations and for items without code."""
        entry = self.entries.get(item)
        return entry if isinstance(entry, Step) else None

    def needs(self, item: str) -> tuple[str, ...]:
        """Direct needs."""
        entry = self.entries.get(item)
        return entry.needs if entry else ()

    def all_needs(self, item: str) -> frozenset[str]:
        """Transitive needs, the item itself not among them."""
        found: set[str] = set()
        waiting = list(self.needs(item))
        while waiting:
            need = waiting.pop()
            if need not in found:
                found.add(need)
                waiting.extend(self.needs(need))
        return frozenset(found)

    def lanes(self, item: str) -> tuple[str, ...]:
        """Lanes of an item's step."""
        step = self.step(item)
        return step.lanes if step else ()

    def in_page_order(self, items: Iterable[str]) -> tuple[str, ...]:
        """The same items as on the page."""
        return tuple(sorted(set(items), key=self._place.__getitem__))


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a command works on, in page order.

    `pulled_in`: not asked for, but needed. `checked_only`: needs that are looked at for their facts and never applied
    (`--no-needs`); they are not among `items`.
    """

    items: tuple[str, ...]
    pulled_in: frozenset[str] = field(default_factory=frozenset)
    checked_only: tuple[str, ...] = ()


def phase_of(item: str) -> str:
    """First word of an id: `database` of `database.instance.tier`."""
    return item.split(".", 1)[0]


def select(
    catalog: Catalog[C],
    phases: Sequence[str] = (),
    *,
    only: Sequence[str] = (),
    with_needs: bool = True,
    with_step_only: bool = False,
) -> Selection:
    """The items that words of the command line mean.

    `phases`: phase words, or `all`. `only`: item ids; with phases they must lie in them. Neither: everything.
    `with_step_only` leaves out items that have no code yet (`rehearse`). UsageError with the nearest word otherwise.
    """
    for word in phases:
        if word != "all" and word not in catalog.phases:
            raise _unknown("phase", word, ("all", *catalog.phases))
    everything = not phases or "all" in phases
    asked = [item for item in catalog.items if everything or phase_of(item) in phases]
    if only:
        for item in only:
            if item not in catalog.items:
                raise _unknown("item", item, tuple(catalog.items))
            if item not in asked:
                raise UsageError(
                    f"{item} is not in the phases {', '.join(phases)}",
                    hint=f"plantctl phase run {phase_of(item)} --only {item}",
                )
        asked = list(only)
    if with_step_only:
        asked = [item for item in asked if item in catalog.entries]
    needed = frozenset().union(*(catalog.all_needs(item) for item in asked)) - set(asked)
    if with_needs:
        return Selection(items=catalog.in_page_order([*asked, *needed]), pulled_in=needed)
    return Selection(items=catalog.in_page_order(asked), checked_only=catalog.in_page_order(needed))


def _unknown(noun: str, word: str, known: Sequence[str]) -> UsageError:
    near = difflib.get_close_matches(word, known, n=3)
    allowed = f"{noun}s are: {', '.join(known)}" if len(known) <= 12 else f"{noun}s: plantctl status checklist"
    hint = f"did you mean {' or '.join(near)}? {allowed}" if near else allowed
    return UsageError(f"there is no {noun} {word!r}", hint=hint)
