"""The classifier against the hazard catalogue, stale and fresh, and against properties that hold for any answer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plantctl.gcp.classify import FRESH_S, MAX_DELAY_S, Action, classify, unexecuted
from plantctl.gcp.failures import CREDENTIALS, GARBLED, NO_ANSWER, NOT_SENT, Failure
from plantctl.gcp.idempotency import IDEMPOTENCY
from tests.unit.gcp.hazards import RETRY, Row, rows

ROWS = rows()
ALL_FRESH = frozenset(FRESH_S)


def action(row: Row, fresh: frozenset[str]) -> Action:
    """What the classifier says of a row at the first attempt."""
    kind = IDEMPOTENCY.get(row.method, "")
    return classify(row.failure(), mutating=bool(kind), idempotency=kind, attempt=1, fresh=fresh).action


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.id}-{row.method}-{row.code}")
def test_the_catalogue_stale_and_fresh(row: Row) -> None:
    assert action(row, frozenset()) == row.stale
    assert action(row, ALL_FRESH) == row.fresh


def test_the_table_is_not_thin() -> None:
    assert len({row.id for row in ROWS}) > 60
    assert len(ROWS) > 150
    assert any(row.stale != row.fresh for row in ROWS)


@pytest.mark.parametrize(
    ("word", "failure"),
    [
        ("api", Failure(method_id="sql.instances.get", code=403, reason="SERVICE_DISABLED")),
        ("account", Failure(method_id="x.y", code=400, message="Service account a@b does not exist.")),
        ("billing", Failure(method_id="x.y", code=403, message="requires billing to be enabled")),
        ("grant", Failure(method_id="x.y", code=403, status="PERMISSION_DENIED", message="denied")),
    ],
)
def test_only_the_act_that_explains_an_answer_makes_it_wait(word: str, failure: Failure) -> None:
    for fresh in (frozenset({word}), ALL_FRESH - {word}):
        found = classify(failure, mutating=False, idempotency="", attempt=1, fresh=fresh).action
        assert (found is Action.WAIT) == (word in fresh)


REASONS = sorted({str(row.answer.get("reason", "")) for row in ROWS})
MESSAGES = sorted({str(row.answer.get("message", "")) for row in ROWS})
ANSWERS = st.builds(
    Failure,
    method_id=st.sampled_from(sorted(IDEMPOTENCY)),
    code=st.sampled_from([400, 401, 403, 404, 408, 409, 412, 413, 429, 500, 501, 502, 503, 504]),
    status=st.sampled_from(["", "ABORTED", "UNAVAILABLE", "FAILED_PRECONDITION", "ALREADY_EXISTS", "INTERNAL"]),
    reason=st.sampled_from(REASONS) | st.text(max_size=8),
    message=st.sampled_from(MESSAGES) | st.text(max_size=20),
    retry_after_s=st.sampled_from([0.0, 7.0, 300.0]),
)
SILENCE = st.builds(
    Failure,
    method_id=st.sampled_from(sorted(IDEMPOTENCY)),
    code=st.just(0),
    message=st.text(max_size=20),
    trouble=st.sampled_from([NOT_SENT, NO_ANSWER, GARBLED, CREDENTIALS]),
)
FRESH = st.frozensets(st.sampled_from(sorted(FRESH_S)))


@settings(deadline=None)
@given(failure=ANSWERS | SILENCE, attempt=st.integers(1, 500), fresh=FRESH)
def test_a_write_of_class_x_is_never_sent_again_without_a_look(
    failure: Failure, attempt: int, fresh: frozenset[str]
) -> None:
    found = classify(failure, mutating=True, idempotency="X", attempt=attempt, fresh=fresh)
    if found.action in (Action.RETRY, Action.WAIT):
        # an oracle of its own: turned away before anything was done, or never left
        early = failure.code in (401, 403) or failure.trouble == NOT_SENT
        rated = failure.code == 429 and "ate" in failure.reason.lower() and "imit" in failure.reason.lower()
        busy = failure.reason in ("operationInProgress", "resourceNotReady", "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED")
        assert early or rated or busy


@settings(deadline=None)
@given(failure=ANSWERS | SILENCE, kind=st.sampled_from("NP"), attempt=st.integers(1, 500), fresh=FRESH)
def test_an_open_outcome_of_a_write_is_looked_at_first(
    failure: Failure, kind: str, attempt: int, fresh: frozenset[str]
) -> None:
    found = classify(failure, mutating=True, idempotency=kind, attempt=attempt, fresh=fresh)
    if failure.trouble in (NO_ANSWER, GARBLED):
        assert found.action is Action.READ_BACK


@settings(deadline=None)
@given(failure=ANSWERS | SILENCE, kind=st.sampled_from(["", "N", "R", "P", "U", "X"]), attempt=st.integers(1, 9999))
def test_every_repeat_has_a_bound_and_a_delay_that_honours_the_server(
    failure: Failure, kind: str, attempt: int
) -> None:
    found = classify(failure, mutating=bool(kind), idempotency=kind, attempt=attempt, fresh=ALL_FRESH)
    if found.action in (Action.RETRY, Action.WAIT):
        assert 0 < found.bound_s <= 3600
        assert 0 < found.delay_s <= max(MAX_DELAY_S, failure.retry_after_s)
        assert not failure.sent or found.delay_s >= failure.retry_after_s
        assert found.why


def test_a_page_of_a_proxy_is_not_asked_for_forever() -> None:
    page = Failure(method_id="sql.instances.get", code=0, trouble=GARBLED)
    found = [classify(page, mutating=False, idempotency="", attempt=n, fresh=frozenset()).action for n in (1, 2, 3)]
    assert found == [RETRY, RETRY, Action.FAIL]


def test_service_usage_is_given_half_a_minute() -> None:
    limited = Failure(method_id="serviceusage.services.enable", code=429, reason="RATE_LIMIT_EXCEEDED")
    assert classify(limited, mutating=True, idempotency="U", attempt=1, fresh=frozenset()).delay_s >= 30


def test_what_proves_that_nothing_was_done() -> None:
    def proved(code: int, reason: str = "", trouble: str = "") -> bool:
        return unexecuted(Failure(method_id="m", code=code, reason=reason, trouble=trouble))

    assert proved(0, trouble=NOT_SENT)
    assert proved(401)
    assert proved(403)
    assert proved(429, "rateLimitExceeded")
    assert proved(409, "operationInProgress")
    assert not any(proved(code) for code in (400, 404, 409, 412, 429, 500, 503, 504))
    assert not proved(0, trouble=NO_ANSWER)
    assert not proved(0, trouble=GARBLED)
