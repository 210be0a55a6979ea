"""The project's chores. They run in the environment that nox itself runs in (`make venv`), so there is only one."""

from __future__ import annotations

import sys

import nox

nox.needs_version = ">=2026.1"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "none"
nox.options.error_on_missing_interpreters = True

SOURCES = ("plantctl", "backend", "tests", "noxfile.py")
PYTEST = ("pytest", "--numprocesses=2", "--dist=loadgroup")


def module(session: nox.Session, name: str, *arguments: str) -> None:
    """Run a Python module of this environment."""
    session.run(sys.executable, "-m", name, *arguments, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: rules and format."""
    module(session, "ruff", "check", *SOURCES)
    module(session, "ruff", "format", "--check", *SOURCES)


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict."""
    module(session, "mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Everything but the long campaigns; the end of the output names what was skipped and why."""
    module(session, *PYTEST, "-m", "not acceptance", *session.posargs)


@nox.session
def acceptance(session: nox.Session) -> None:
    """The whole, with the long campaigns."""
    module(session, *PYTEST, *session.posargs)


@nox.session
def rehearsal(session: nox.Session) -> None:
    """The checklist against the local sandbox, which stays up afterwards."""
    module(session, "plantctl", "rehearse", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Requests a second and P95 of the backend beside a bare route and a bare query; it wants a quiet machine."""
    module(session, "tests.load.bench", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Write the reference pages; what the documentation says exists: commands, links, error references, checklist."""
    module(session, "tests.reference")
    module(session, "tests.sandbox_methods")
    pages = ("test_docs.py", "test_reference.py", "test_troubleshooting.py", "model")
    module(session, "pytest", *(f"tests/unit/{page}" for page in pages))


@nox.session
def build(session: nox.Session) -> None:
    """The wheel and the source archive, in dist/."""
    module(session, "build", "--no-isolation")
