"""The mix of a working day at the marketplace, for Locust: weights, identities and limits of the load scenarios.

Settings come by the environment: PLANT_LOAD (a JSON file with `tokens`, `partner_tokens`, `key`, `agents`, `rate`).
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import random
import uuid
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant_throughput, task

from backend.load_rows import CUSTOMERS, DELIVERABLES, HIRES, row_id

gc.freeze()  # the load shares the cores with what it measures
gc.set_threshold(20_000, 20, 50)
PLAN: dict[str, Any] = json.loads(Path(os.environ["PLANT_LOAD"]).read_text(encoding="utf-8"))
API = "/api/v1"
HOT = [
    "",
    *(f"?industry={slug}" for slug in PLAN["industries"]),
    *(f"?sort={sort}" for sort in ("rating", "price")),
    *(f"?availability=available&limit={limit}" for limit in (10, 50)),
    *(f"?industry={slug}&sort=price" for slug in PLAN["industries"]),
    *(f"?max_price={price}" for price in (500000, 600000, 700000, 800000)),
    "?limit=5",
    "?sort=rating&limit=5",
    "?availability=available&sort=price",
]
"""What most people ask for; the rest is spread over prices that few ask for."""
WORDS = ("campaigns", "lessons", "leads", "questions", "charts", "load agent", "batch 17", "many")
UNDECIDED = itertools.islice(
    itertools.product(range(1, DELIVERABLES + 1), range(1, HIRES + 1), range(1, CUSTOMERS + 1)), PLAN["decided"], None
)
"""Each waits for one decision: the next request takes the next one, after those of the runs before."""


class Marketplace(FastHttpUser):
    """Somebody at the marketplace; who it is changes with each request, as behind one address of a load balancer."""

    wait_time = constant_throughput(PLAN["rate"])
    connection_timeout = network_timeout = 5.0

    def _get(self, path: str, name: str, **headers: str) -> Any:
        return self.client.get(path, name=name, headers=headers)

    def _customer(self) -> tuple[int, dict[str, str]]:
        number = random.randrange(CUSTOMERS)
        return number + 1, {"Authorization": f"Bearer {PLAN['tokens'][number]}"}

    @task(40)
    def browse(self) -> None:
        """A page of the catalogue; seven of ten are one of the hot ones."""
        hot = random.random() < 0.7
        query = random.choice(HOT) if hot else f"?max_price={random.randrange(500000, 1000000, 1000)}"
        self._get(f"{API}/agents{query}", "GET /agents", **{"X-API-Key": PLAN["key"]})

    @task(22)
    def look(self) -> None:
        """One agent."""
        number = random.randint(1, PLAN["agents"])
        self._get(f"{API}/agents/load-agent-{number}", "GET /agents/{slug}", **{"X-API-Key": PLAN["key"]})

    @task(10)
    def search(self) -> None:
        """By words."""
        query = random.choice(WORDS).replace(" ", "+")
        self._get(f"{API}/agents?q={query}", "GET /agents?q", **{"X-API-Key": PLAN["key"]})

    @task(6)
    def front_page(self) -> None:
        """Summary and industries."""
        page = random.choice(("marketplace/summary", "industries"))
        self._get(f"{API}/{page}", f"GET /{page}", **{"X-API-Key": PLAN["key"]})

    @task(10)
    def mine(self) -> None:
        """Who am I, and what have I hired?"""
        _, headers = self._customer()
        page = random.choice(("me", "hires"))
        self._get(f"{API}/{page}", f"GET /{page}", **headers)

    @task(4)
    def deliverables(self) -> None:
        """What a hire delivered."""
        customer, headers = self._customer()
        hire = row_id("hire", customer, random.randint(1, HIRES))
        self._get(f"{API}/hires/{hire}/deliverables", "GET /hires/{id}/deliverables", **headers)

    @task(2)
    def hire_and_cancel(self) -> None:
        """A trial, and every other one is cancelled at once."""
        _, headers = self._customer()
        number = random.randint(PLAN["agents"] // 2, PLAN["agents"])
        key = {"Idempotency-Key": uuid.uuid4().hex}
        body = {"agent_slug": f"load-agent-{number}"}
        with self.client.post(
            f"{API}/hires", json=body, headers=headers | key, name="POST /hires", catch_response=True
        ) as made:
            if made.status_code == 409:  # this customer has it on trial: the right answer
                made.success()
                return
            if made.status_code != 201:
                made.failure(f"{made.status_code} {made.text}")
                return
        if random.random() < 0.5:
            version = {"If-Match": made.headers["ETag"]}
            path = f"{API}/hires/{made.json()['id']}/cancel"
            self.client.post(path, json={}, headers=headers | version, name="POST /hires/{id}/cancel")

    @task(2)
    def decide(self) -> None:
        """Approve or reject the next deliverable that waits."""
        found = next(UNDECIDED, None)
        if found is None:
            return
        deliverable, hire, customer = found
        headers = {"Authorization": f"Bearer {PLAN['tokens'][customer - 1]}"}
        decision = {"decision": random.choice(("approve", "reject"))}
        if decision["decision"] == "reject":
            decision["note"] = "Not what was asked for."
        path = f"{API}/deliverables/{row_id('deliverable', customer, hire, deliverable)}/decision"
        self.client.post(path, json=decision, headers=headers, name="POST /deliverables/{id}/decision")

    @task(2)
    def partner(self) -> None:
        """A partner looks at agents and hires."""
        token = random.choice(PLAN["partner_tokens"])
        page = random.choice(("agents", "hires"))
        self._get(f"{API}/partner/{page}", f"GET /partner/{page}", Authorization=f"Bearer {token}")

    @task(1)
    def health(self) -> None:
        """What probes ask for."""
        self._get("/health", "GET /health")
