"""Reads pins out of a pip requirements file, and compares them with what is installed here.

Called by environments.py and image.py. Format: pip.pypa.io, "Requirements File Format".
"""

import re
from collections.abc import Mapping
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_COMMENT = re.compile(r"(^|\s+)#.*$")
_OPTIONS = re.compile(r"\s+--")
# Options that say where pip looks, which does not matter for a pin that is installed already.
_HARMLESS = (
    "-i ",
    "--index-url",
    "--extra-index-url",
    "--trusted-host",
    "--require-hashes",
    "--only-binary",
    "--prefer",
)


def _lines(lock: str) -> list[str]:
    lines = (_COMMENT.sub("", raw).strip() for raw in re.sub(r"\\\r?\n", " ", lock).splitlines())
    return [line for line in lines if line]


def requirements(lock: str) -> list[Requirement]:
    """All requirements whose marker holds here; options, hashes, comments and lines pip alone knows are left out."""
    found = []
    for line in _lines(lock):
        try:
            requirement = Requirement(_OPTIONS.split(line)[0])
        except InvalidRequirement:  # an option, a path or a URL: pip knows what to do with it
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            found.append(requirement)
    return found


def pins(lock: str) -> dict[str, str]:
    """Canonical name -> version of everything pinned with `==`."""
    found = {}
    for requirement in requirements(lock):
        specifiers = list(requirement.specifier)
        if len(specifiers) == 1 and specifiers[0].operator == "==" and "*" not in specifiers[0].version:
            found[str(canonicalize_name(requirement.name))] = specifiers[0].version
    return found


def satisfied(lock: str, installed: Mapping[str, metadata.Distribution]) -> bool:
    """Whether the distributions given are exactly what pip would install from this lock.

    That asks for every line pinned, each with the installed version, a list of its files, and every dependency of a
    pin pinned too: pip would install an unpinned one, in whatever version is newest.
    """
    wanted, pinned = requirements(lock), pins(lock)
    if any(_needs_pip(line) for line in _lines(lock)):
        return False
    if len(pinned) != len({canonicalize_name(requirement.name) for requirement in wanted}):
        return False
    for requirement in wanted:
        name = str(canonicalize_name(requirement.name))
        distribution = installed.get(name)
        if distribution is None or distribution.version != pinned.get(name) or not distribution.files:
            return False
        if any(needed not in pinned for needed in _dependencies(distribution, requirement.extras)):
            return False
    return True


def _needs_pip(line: str) -> bool:
    if line.startswith("--hash") or line.startswith(_HARMLESS):
        return False
    try:
        return Requirement(_OPTIONS.split(line)[0]).url is not None
    except InvalidRequirement:
        return True


def _dependencies(distribution: metadata.Distribution, extras: set[str]) -> list[str]:
    needed = []
    for text in distribution.requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            needed.append(str(canonicalize_name(requirement.name)))
    return needed
