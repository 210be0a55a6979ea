"""Times as Google writes them, and which database flags interrupt service."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from plantctl.desired.database import flags
from plantctl.model.plant import Plant
from plantctl.model.step import Change
from plantctl.sandbox.services.sqladmin_flags import FLAGS
from plantctl.steps.instance import MADE_ANEW, QUIET_FLAGS, REFILLED, flags_restart, moment
from tests.desired.schema import document


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-11-23T10:20:05Z", datetime(2026, 11, 23, 10, 20, 5, tzinfo=UTC)),
        ("2026-11-23T10:20:05.25Z", datetime(2026, 11, 23, 10, 20, 5, 250_000, tzinfo=UTC)),
        ("2026-11-23T10:20:05.250999999Z", datetime(2026, 11, 23, 10, 20, 5, 250_999, tzinfo=UTC)),
        ("2026-11-23T11:20:05+01:00", datetime(2026, 11, 23, 10, 20, 5, tzinfo=UTC)),
        ("", datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_a_time_has_any_number_of_decimals(text: str, wanted: datetime) -> None:
    assert moment(text) == wanted


def test_times_are_compared_as_times_where_words_would_be_wrong() -> None:
    whole, later = "2026-11-23T10:20:05Z", "2026-11-23T10:20:05.5Z"
    assert moment(whole) < moment(later)
    assert whole > later


def test_the_operation_types_are_googles() -> None:
    known = document("sqladmin", "v1")["schemas"]["Operation"]["properties"]["operationType"]["enum"]
    assert set(REFILLED) <= set(known)
    assert set(MADE_ANEW) < set(REFILLED)


def test_only_flags_that_need_no_restart_are_quiet() -> None:
    assert [name for name in sorted(QUIET_FLAGS) if FLAGS[name].restart] == []
    ours = {flag["name"] for flag in flags(Plant())}
    assert ours - QUIET_FLAGS == {"max_connections"}
    assert flags_restart(Change(field="settings.databaseFlags[max_connections]"))
    assert flags_restart(Change(field="settings.databaseFlags[somebody.elses]"))
    assert not flags_restart(Change(field="settings.databaseFlags[log_statement]"))
    assert not flags_restart(Change(field="settings.tier"))
