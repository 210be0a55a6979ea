"""An error as one paragraph: what failed, why, what to type."""

from __future__ import annotations

from plantctl.errors import PlantctlError
from plantctl.views.text import Page, wrap


def paragraph(
    message: str, *, cause: str = "", hint: str = "", reference: str = "", page: Page, label: str = "error"
) -> str:
    """`error: message [reference]`, then indented lines of cause and hint, at most `page.width` wide."""
    words = f"{label}: {message}" + (f" [{reference}]" if reference else "")
    lines = wrap(words, page.width, rest="  ")
    lines[0] = lines[0].replace(f"{label}:", page.paint(f"{label}:", "red"), 1)
    if cause:
        lines += wrap(cause, page.width, first="  because: ", rest="           ")
    if hint:
        lines += [page.paint(line, "bold") for line in to_do(hint, page.width, indent="  ")]
    return "\n".join(lines)


def to_do(hint: str, width: int, *, indent: str) -> list[str]:
    """The lines of a hint; a command stays on one line whatever its length, so that it can be copied."""
    first = f"{indent}to do:   "
    return [first + hint] if hint.startswith("plantctl ") else wrap(hint, width, first=first, rest=" " * len(first))


def explain(error: PlantctlError, page: Page) -> str:
    """The paragraph of an error."""
    return paragraph(error.message, cause=error.cause, hint=error.hint, reference=error.reference, page=page)


def document(error: PlantctlError) -> dict[str, object]:
    """The same as JSON, for `--format json`."""
    return {
        "schema_version": 1,
        "error": {
            "reference": error.reference,
            "message": error.message,
            "cause": error.cause,
            "hint": error.hint,
            "exit_code": error.exit_code,
        },
    }
