"""What agents are made of: industries, certified skills, job roles with the skills they ask for, and teams."""

from __future__ import annotations

from alembic import op

from backend.migrations import ddl

revision = "0003"
down_revision = "0002"

SKILL = ddl.create(
    "skill",
    ddl.SLUG,
    ddl.NAME,
    "category text NOT NULL CHECK (category IN ('technical', 'soft_skill', 'domain_expertise'))",
    ddl.DESCRIPTION,
    ddl.CERTIFIED,
    "certified_by uuid REFERENCES plant.account ON DELETE RESTRICT",
)

JOB_ROLE = ddl.create(
    "job_role",
    ddl.SLUG,
    ddl.NAME,
    ddl.DESCRIPTION,
    "seniority text NOT NULL CHECK (seniority IN ('junior', 'mid', 'senior'))",
    "industry_id uuid REFERENCES plant.industry ON DELETE RESTRICT",
    ddl.CERTIFIED,
)

JOB_ROLE_SKILL = """
CREATE TABLE plant.job_role_skill (
    job_role_id uuid NOT NULL REFERENCES plant.job_role ON DELETE CASCADE,
    skill_id uuid NOT NULL REFERENCES plant.skill ON DELETE RESTRICT,
    required boolean NOT NULL DEFAULT true,
    PRIMARY KEY (job_role_id, skill_id))
"""

TEAM = ddl.create(
    "team",
    ddl.SLUG,
    ddl.NAME,
    ddl.DESCRIPTION,
    "job_role_id uuid NOT NULL REFERENCES plant.job_role ON DELETE RESTRICT",
    "industry_id uuid REFERENCES plant.industry ON DELETE RESTRICT",
)


def upgrade() -> None:
    """Needs plant.account."""
    industry = ddl.create("industry", ddl.SLUG, ddl.NAME, ddl.DESCRIPTION)
    for statement in (*industry, *SKILL, *JOB_ROLE, JOB_ROLE_SKILL, *TEAM):
        op.execute(statement)


def downgrade() -> None:
    """Drops the five tables with their rows."""
    for table in ("team", "job_role_skill", "job_role", "skill", "industry"):
        op.execute(f"DROP TABLE plant.{table}")
