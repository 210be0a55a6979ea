"""The entry point `plantctl`, also as `python -m plantctl`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and end the process with its exit code (design section 9)."""
    if sys.argv[1:3] == ["status", "checklist"]:  # typed most, and by scripts: Typer alone takes longer than the answer
        from plantctl.cli.report import quick

        if quick(sys.argv[1:]):
            sys.exit(0)
    from plantctl.cli.app import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
