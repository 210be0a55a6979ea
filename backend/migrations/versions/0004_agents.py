"""Agents, their skills, and the view `plant.agents` that the runbook's CSV export reads."""

from __future__ import annotations

from alembic import op

from backend.migrations import ddl

revision = "0004"
down_revision = "0003"

AGENT = ddl.create(
    "agent",
    ddl.SLUG,
    ddl.NAME,
    "tagline text NOT NULL DEFAULT '' CHECK (length(tagline) <= 160)",
    ddl.DESCRIPTION,
    "industry_id uuid NOT NULL REFERENCES plant.industry ON DELETE RESTRICT",
    "job_role_id uuid NOT NULL REFERENCES plant.job_role ON DELETE RESTRICT",
    "team_id uuid REFERENCES plant.team ON DELETE RESTRICT",
    "partner_id uuid REFERENCES plant.partner ON DELETE RESTRICT",
    "listing text NOT NULL DEFAULT 'draft' CHECK (listing IN ('draft', 'in_review', 'published', 'retired'))",
    "availability text NOT NULL DEFAULT 'offline' CHECK (availability IN ('available', 'working', 'offline'))",
    "monthly_price_minor integer NOT NULL CHECK (monthly_price_minor >= 0)",
    "currency char(3) NOT NULL DEFAULT 'INR' CHECK (currency ~ '^[A-Z]{3}$')",
    "trial_days integer NOT NULL DEFAULT 7 CHECK (trial_days BETWEEN 0 AND 30)",
    "rating_sum bigint NOT NULL DEFAULT 0 CHECK (rating_sum >= 0)",
    "rating_count bigint NOT NULL DEFAULT 0 CHECK (rating_count >= 0)",
    "rating_avg numeric(3, 2) GENERATED ALWAYS AS (round(rating_sum::numeric / nullif(rating_count, 0), 2)) STORED",
    "hires_total integer NOT NULL DEFAULT 0 CHECK (hires_total >= 0)",
    "search tsvector GENERATED ALWAYS AS (setweight(to_tsvector('english'::regconfig, name), 'A') || "
    "setweight(to_tsvector('english'::regconfig, tagline), 'B') || "
    "setweight(to_tsvector('english'::regconfig, description), 'C')) STORED",
    "version integer NOT NULL DEFAULT 1 CHECK (version >= 1)",
    "published_at timestamptz",
    "CHECK (rating_sum BETWEEN rating_count AND 5 * rating_count)",
    "CHECK (listing <> 'published' OR published_at IS NOT NULL)",
)

INDUSTRY_STAYS = """
CREATE FUNCTION plant.agent_industry_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the industry of a published agent cannot change' USING ERRCODE = 'check_violation';
END $$
"""

INDUSTRY_STAYS_TRIGGER = """
CREATE TRIGGER industry_stays BEFORE UPDATE OF industry_id ON plant.agent FOR EACH ROW
WHEN (OLD.published_at IS NOT NULL AND NEW.industry_id <> OLD.industry_id)
EXECUTE FUNCTION plant.agent_industry_stays()
"""

AGENT_SKILL = """
CREATE TABLE plant.agent_skill (
    agent_id uuid NOT NULL REFERENCES plant.agent ON DELETE CASCADE,
    skill_id uuid NOT NULL REFERENCES plant.skill ON DELETE RESTRICT,
    is_primary boolean NOT NULL DEFAULT false,
    PRIMARY KEY (agent_id, skill_id))
"""

# A rule, not a speed-up, so it belongs here and not to the `indexes` entry point.
ONE_PRIMARY = "CREATE UNIQUE INDEX agent_skill_one_primary ON plant.agent_skill (agent_id) WHERE is_primary"

AGENTS = """
CREATE VIEW plant.agents AS
SELECT a.slug, a.name, a.tagline, i.slug AS industry, r.slug AS job_role, t.slug AS team, p.slug AS partner,
       a.availability, a.monthly_price_minor, a.currency, a.trial_days, a.rating_avg, a.rating_count, a.hires_total,
       a.published_at
FROM plant.agent a
JOIN plant.industry i ON i.id = a.industry_id
JOIN plant.job_role r ON r.id = a.job_role_id
LEFT JOIN plant.team t ON t.id = a.team_id
LEFT JOIN plant.partner p ON p.id = a.partner_id
WHERE a.listing = 'published'
"""


def upgrade() -> None:
    """Needs the catalogue and plant.partner."""
    for statement in (*AGENT, INDUSTRY_STAYS, INDUSTRY_STAYS_TRIGGER, AGENT_SKILL, ONE_PRIMARY, AGENTS):
        op.execute(statement)


def downgrade() -> None:
    """Drops agents with their rows."""
    op.execute("DROP VIEW plant.agents")
    op.execute("DROP TABLE plant.agent_skill")
    op.execute("DROP TABLE plant.agent")
    op.execute("DROP FUNCTION plant.agent_industry_stays()")
