"""What every view of a run can do; the command line picks one and hands it to the engine as a listener."""

from __future__ import annotations

from typing import Protocol

from plantctl.model.events import Event


class RunView(Protocol):
    """Shows the events of one run. Called by several threads, one at a time."""

    def __call__(self, event: Event) -> None:
        """Show an event."""
        ...

    def remark(self, text: str) -> None:
        """Tell a person something beside the run's events; nothing where only scripts read."""
        ...

    def close(self) -> None:
        """Give the terminal back; a second call does nothing."""
        ...
