"""The load of the bare route, as fast as it goes; apart from it, as importing Locust changes sockets and threads."""

from __future__ import annotations

from locust import FastHttpUser, task


class Bare(FastHttpUser):
    """Asks without a pause."""

    @task
    def ask(self) -> None:
        """The one request."""
        self.client.get("/")
