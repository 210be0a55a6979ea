"""The words of a Dockerfile: logical lines, flags, quotes, variables, exec form.

Called by dockerfile.py, which knows what each instruction means. Rules: docs.docker.com/reference/dockerfile.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_ESCAPE_DIRECTIVE = re.compile(r"^#\s*escape\s*=\s*(\S)\s*$", re.IGNORECASE)
_DIRECTIVE = re.compile(r"^#\s*\w+\s*=")
_HEREDOC = re.compile(r"<<-?\s*([\"']?)([A-Za-z_]\w*)\1")
_NAME = re.compile(r"[A-Za-z_]\w*")


class DockerfileError(Exception):
    """A Dockerfile that docker would refuse; the text is docker's own, with the line number."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"dockerfile parse error on line {line}: {message}" if line else message)
        self.line = line


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One logical line: `number` is that of its first physical line, `name` is in capitals."""

    number: int
    name: str
    flags: tuple[tuple[str, str], ...]
    rest: str
    heredocs: tuple[str, ...] = ()

    def flag(self, name: str) -> str | None:
        """Value of the last `--name=value`, or None."""
        return next((value for key, value in reversed(self.flags) if key == name), None)

    @property
    def text(self) -> str:
        """The instruction on one line, as a build log shows it."""
        flags = "".join(f"--{key}={value} " if value else f"--{key} " for key, value in self.flags)
        return f"{self.name} {flags}{self.rest}".rstrip()


def instructions(text: str) -> tuple[list[Instruction], str]:
    """All instructions of a Dockerfile, and its escape character."""
    escape = _escape_character(text)
    return [_instruction(number, line, body) for number, line, body in _logical_lines(text, escape)], escape


def _escape_character(text: str) -> str:
    for line in text.splitlines():
        if match := _ESCAPE_DIRECTIVE.match(line.strip()):
            return match[1]
        if not _DIRECTIVE.match(line.strip()):
            break
    return "\\"


def _logical_lines(text: str, escape: str) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    lines = iter(enumerate(text.splitlines(), start=1))
    pending, first = "", 0
    for number, raw in lines:
        stripped = raw.strip()
        if not stripped or stripped.startswith("#"):  # docker drops both inside a continued line too
            continue
        first = first or number
        body = raw.rstrip() if pending else stripped
        if body.endswith(escape):
            pending += body[: -len(escape)]
            continue
        line, start = pending + body, first
        pending, first = "", 0
        yield start, line.strip(), _heredocs(line, start, lines)
    if pending.strip():
        yield first, pending.strip(), ()


def _heredocs(line: str, start: int, lines: Iterator[tuple[int, str]]) -> tuple[str, ...]:
    if line.strip().split(None, 1)[0].upper() not in ("RUN", "COPY", "ADD"):
        return ()
    bodies = []
    for match in _HEREDOC.finditer(line):
        body: list[str] = []
        for _, raw in lines:
            if raw.strip() == match[2]:
                break
            body.append(raw)
        else:
            raise DockerfileError(start, "unterminated heredoc")
        bodies.append("\n".join(body) + "\n")
    return tuple(bodies)


def _instruction(number: int, line: str, heredocs: tuple[str, ...]) -> Instruction:
    name, _, rest = line.partition(" ") if " " in line else line.partition("\t")
    rest, flags = rest.strip(), []
    while match := re.match(r"--([a-z][a-z.-]*)(?:=(\S*))?(?:\s+|$)", rest):
        flags.append((match[1], match[2] or ""))
        rest = rest[match.end() :]
    return Instruction(number=number, name=name.upper(), flags=tuple(flags), rest=rest, heredocs=heredocs)


def exec_form(rest: str) -> tuple[str, ...] | None:
    """The words of a JSON array of strings, or None: then docker takes the line in shell form."""
    if not rest.lstrip().startswith("["):
        return None
    try:
        words = json.loads(rest)
    except ValueError:
        return None
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return tuple(words)
    return None


def split_words(text: str, escape: str) -> list[str]:
    """Split at blanks outside quotes; quotes and escapes stay for expand()."""
    words, word, quote, position = [], "", "", 0
    while position < len(text):
        character = text[position]
        if character == escape and quote != "'" and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character.isspace():
            if word:
                words.append(word)
            word = ""
            position += 1
            continue
        word += character
        position += 1
    return [*words, word] if word else words


def expand(word: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """A word with its quotes removed and `$name`, `${name}`, `${name:-x}`, `${name:+x}` replaced."""
    return _Expansion(word, variables, escape).result()


class _Expansion:
    def __init__(self, text: str, variables: Mapping[str, str], escape: str) -> None:
        self.text, self.variables, self.escape = text, variables, escape
        self.position = 0

    def result(self) -> str:
        out, quote = "", ""
        while self.position < len(self.text):
            character = self.text[self.position]
            if character == self.escape and quote != "'" and self.position + 1 < len(self.text):
                following = self.text[self.position + 1]
                # Inside double quotes a backslash is only special before these three.
                out += following if not quote or following in f'"${self.escape}' else character + following
                self.position += 2
            elif character in "\"'" and quote in ("", character):
                quote = "" if quote else character
                self.position += 1
            elif character == "$" and quote != "'":
                out += self._variable()
            else:
                out += character
                self.position += 1
        return out

    def _variable(self) -> str:
        self.position += 1
        if self.text[self.position : self.position + 1] == "{":
            return self._braced()
        match = _NAME.match(self.text, self.position)
        if not match:
            return "$"
        self.position = match.end()
        return self.variables.get(match[0], "")

    def _braced(self) -> str:
        start, depth = self.position + 1, 0
        for end in range(self.position, len(self.text)):
            depth += {"{": 1, "}": -1}.get(self.text[end], 0)
            if depth == 0:
                break
        else:
            raise DockerfileError(0, f"missing ':' or '}}' in substitution: {self.text}")
        inner, self.position = self.text[start:end], end + 1
        match = re.fullmatch(r"([A-Za-z_]\w*)(?:(:?)([-+?])(.*))?", inner, re.DOTALL)
        if not match:
            raise DockerfileError(0, f"unsupported modifier in substitution: ${{{inner}}}")
        name, colon, operator, other = match.groups()
        value = self.variables.get(name)
        present = value is not None and (bool(value) or not colon)
        if operator == "-" and not present:
            return expand(other, self.variables, self.escape)
        if operator == "+":
            return expand(other, self.variables, self.escape) if present else ""
        if operator == "?" and not present:
            raise DockerfileError(0, f"{name}: {other or 'parameter not set'}")
        return value or ""
