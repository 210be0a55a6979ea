"""SQL that every table of schema plant shares: key and time columns, the touch trigger, the slug rule."""

from __future__ import annotations

ID = "id uuid PRIMARY KEY DEFAULT gen_random_uuid()"
TIMES = "created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now()"
SLUG = "slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(slug) <= 80)"
NAME = "name text NOT NULL CHECK (length(name) BETWEEN 1 AND 120)"
DESCRIPTION = "description text NOT NULL DEFAULT ''"
CERTIFIED = (
    "status text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'certified', 'retired')), "
    "certified_at timestamptz, CHECK ((status = 'certified') = (certified_at IS NOT NULL))"
)


def create(table: str, *columns: str) -> list[str]:
    """CREATE TABLE with id and times, and its touch trigger. `columns` are column or constraint clauses."""
    return [
        f"CREATE TABLE plant.{table} ({', '.join((ID, *columns, TIMES))})",
        f"CREATE TRIGGER touch BEFORE UPDATE ON plant.{table} FOR EACH ROW EXECUTE FUNCTION plant.touch()",
    ]
