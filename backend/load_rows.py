"""Rows for load tests: many agents, customers with open hires and deliverables to decide. Never in production.

Every id is `row_id(kind, numbers)`, so that a load generator knows the rows without asking for them.
"""

from __future__ import annotations

import hashlib
from uuid import UUID

from backend.database import exclusive
from backend.failures import BackendError
from backend.settings import Settings

CUSTOMERS, PARTNERS, HIRES, DELIVERABLES = 600, 20, 3, 3
"""Customers and partners; open hires a customer; deliverables a hire that wait for a decision."""


def row_id(kind: str, *parts: str | int) -> UUID:
    """The id of a row: kind is partner, customer, account (customer or partner), agent, hire or deliverable; numbers
    begin at 1, those of the rows above it come first."""
    name = "/".join(["plant-load", kind, *map(str, parts)])
    return UUID(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest())


def _id(kind: str, *columns: str) -> str:
    parts = " || '/' || ".join(columns)
    return f"md5('plant-load/{kind}/' || {parts})::uuid"


_PARTNERS = f"""
INSERT INTO partner (id, slug, name, contact_email, status)
SELECT {_id("partner", "n")}, 'load-partner-' || n, 'Load Partner ' || n, 'load-' || n || '@partner.invalid', 'active'
FROM generate_series(1, {PARTNERS}) n ON CONFLICT DO NOTHING
"""
_CUSTOMERS = f"""
INSERT INTO customer (id, business_name, country, consent_at)
SELECT {_id("customer", "n")}, 'Load Customer ' || n, 'IN', now()
FROM generate_series(1, {CUSTOMERS}) n ON CONFLICT DO NOTHING
"""
_CUSTOMER_ACCOUNTS = f"""
INSERT INTO account (id, email, display_name, kind, customer_id)
SELECT {_id("account", "'customer'", "n")}, 'load-' || n || '@customer.invalid', 'Load ' || n, 'customer',
       {_id("customer", "n")}
FROM generate_series(1, {CUSTOMERS}) n ON CONFLICT DO NOTHING
"""
_PARTNER_ACCOUNTS = f"""
INSERT INTO account (id, email, display_name, kind, partner_id)
SELECT {_id("account", "'partner'", "n")}, 'load-' || n || '@partner.invalid', 'Load ' || n, 'partner',
       {_id("partner", "n")}
FROM generate_series(1, {PARTNERS}) n ON CONFLICT DO NOTHING
"""
_AGENTS = f"""
WITH industries AS (SELECT array_agg(id ORDER BY slug) AS ids FROM industry),
     roles AS (SELECT array_agg(id ORDER BY slug) AS ids FROM job_role WHERE status = 'certified')
INSERT INTO agent (id, slug, name, tagline, description, industry_id, job_role_id, partner_id, listing, availability,
                   monthly_price_minor, published_at)
SELECT {_id("agent", "n")}, 'load-agent-' || n, 'Load Agent ' || n, 'Number ' || n || ' of many',
       (ARRAY['writes campaigns', 'plans lessons', 'finds leads', 'answers questions', 'draws charts'])[n % 5 + 1]
           || ' for batch ' || n % 97,
       industries.ids[n % cardinality(industries.ids) + 1], roles.ids[n % cardinality(roles.ids) + 1],
       {_id("partner", f"(n % {PARTNERS} + 1)")}, 'published', 'available', 500000 + n % 50 * 10000,
       timestamptz '2026-01-01 00:00+00' + n * interval '1 minute'
FROM generate_series(1, $1::int) n, industries, roles ON CONFLICT DO NOTHING
"""
_SKILLS = f"""
WITH skills AS (SELECT array_agg(id ORDER BY slug) AS ids FROM skill WHERE status = 'certified')
INSERT INTO agent_skill (agent_id, skill_id, is_primary)
SELECT {_id("agent", "n")}, skills.ids[n % cardinality(skills.ids) + 1], true
FROM generate_series(1, $1::int) n, skills ON CONFLICT DO NOTHING
"""
_HIRES = f"""
INSERT INTO hire (id, customer_id, agent_id, state, plan, price_minor, currency, period_ends_at)
SELECT {_id("hire", "c", "h")}, {_id("customer", "c")}, {_id("agent", f"(1 + (c * {HIRES} + h) % $1::int)")},
       'active', 'monthly', 500000, 'INR', now() + interval '1 month'
FROM generate_series(1, {CUSTOMERS}) c, generate_series(1, {HIRES}) h ON CONFLICT DO NOTHING
"""
_DELIVERABLES = f"""
INSERT INTO deliverable (id, hire_id, title, kind, body, bytes, sha256)
SELECT {_id("deliverable", "c", "h", "d")}, {_id("hire", "c", "h")}, 'Report ' || d, 'report', 'All is well.', 12,
       sha256('All is well.')
FROM generate_series(1, {CUSTOMERS}) c, generate_series(1, {HIRES}) h, generate_series(1, {DELIVERABLES}) d
ON CONFLICT DO NOTHING
"""


async def load_rows(settings: Settings, agents: int) -> dict[str, int]:
    """Adds what is missing of `agents` agents and all that goes with them; rows added by table.

    Raises BackendError `not-in-production`, and `too-few` below a thousand agents: hires of a customer need different
    ones.
    """
    if settings.is_production:
        raise BackendError("not-in-production", "rows for load tests are made anywhere but in production")
    if agents < 1000:
        raise BackendError("too-few", f"a load test wants a thousand agents or more, not {agents}")
    added: dict[str, int] = {}
    async with exclusive(settings) as connection, connection.transaction():
        for statement in (_PARTNERS, _CUSTOMERS, _CUSTOMER_ACCOUNTS, _PARTNER_ACCOUNTS):
            _count(added, statement, await connection.execute(statement))
        for statement in (_AGENTS, _SKILLS, _HIRES):
            _count(added, statement, await connection.execute(statement, agents))
        _count(added, _DELIVERABLES, await connection.execute(_DELIVERABLES))
    return added


def _count(added: dict[str, int], statement: str, tag: str) -> None:
    table = statement.split("INSERT INTO ", 1)[1].split()[0]
    added[table] = added.get(table, 0) + int(tag.split()[-1])
