"""Passwords with Argon2id (RFC 9106's second recommendation: 64 MiB, 3 passes), off the event loop, two at a time."""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_AT_ONCE = 2  # 0.17 CPU seconds and 64 MiB each (backend 2.4)


class Passwords:
    """Hashes and verifies in threads."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """The text to store."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether it is the password. Without a stored one it takes as long and is False: accounts cannot be told."""
        if stored is None:
            self._nobody = self._nobody or await self.hash("nobody's password")
        async with self._turns:
            right = await asyncio.to_thread(self._verify, stored or self._nobody or "", password)
        return right and stored is not None

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
