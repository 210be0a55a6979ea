"""A string that never prints: the only shape in which a secret value travels through plantctl."""

from __future__ import annotations


class Secret:
    """A value whose repr and str are stars; `reveal()` is called where the value leaves for an API, nowhere else."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)
