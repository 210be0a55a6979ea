"""The base of every body: unknown fields are refused, and text holds no character that PostgreSQL cannot store."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

T = TypeVar("T")


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a null character")
    return text


Storable = AfterValidator(_storable)
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120), Storable]
Text = Annotated[str, StringConstraints(max_length=4000), Storable]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), Storable]


class In(BaseModel):
    """A body that comes in."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Out(BaseModel):
    """A body that goes out."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Page(Out, Generic[T]):
    """A part of a list; `next_cursor` asks for the following part, None at the end."""

    items: list[T]
    next_cursor: str | None = None
