"""The relay: open rows of the outbox become entries of a queue."""

from __future__ import annotations

from backend.jobs.queue import Queue
from backend.outbox import URGENT_TOPICS
from backend.pool import Database

BATCH = 100

_WAITING = """
SELECT id FROM outbox WHERE published_at IS NULL AND (topic = ANY($1)) = $2
ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED
"""
_PUBLISHED = "UPDATE outbox SET published_at = now() WHERE id = ANY($1)"


class Relay:
    """Publishes one queue's jobs. Several relays at once never take the same row."""

    def __init__(self, database: Database, queue: Queue) -> None:
        self.database, self.queue = database, queue

    async def turn(self) -> bool:
        """Publishes a batch; says whether it was a full one, so that there may be more.

        A crash between the entry and the commit publishes the job again: whoever runs it second finds it done.
        """
        async with self.database.transaction() as connection:
            rows = await connection.fetch(_WAITING, list(URGENT_TOPICS), self.queue.urgent, BATCH)
            if not rows or await self.queue.room() < len(rows):
                return False  # a full stream would be trimmed at its unread end: the rest waits in the outbox
            jobs = [row["id"] for row in rows]
            await self.queue.add(jobs)
            await connection.execute(_PUBLISHED, jobs)
        return len(rows) == BATCH
