"""The entry point `plantctl`, also as `python -m plantctl`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and end the process with its exit code (design section 9)."""
    from plantctl.cli.app import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
