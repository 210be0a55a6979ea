"""As whom: credentials of this machine, their project, impersonation and who pays; and the second sending after 401."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import google.auth
import pytest
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError, RefreshError
from google.oauth2 import credentials as people
from google.oauth2 import id_token

from plantctl.errors import TargetError
from plantctl.gcp import identity
from plantctl.gcp.bundle import Gcp
from plantctl.gcp.target import Target, google_target, sandbox_target
from tests.unit.gcp.fakes import Clock, Memory, Recorder, answer, wire

REAL = google_target(project="plant-p", region="r")


class Fake(Credentials):
    """Credentials whose tokens are numbered; without any when `broken`."""

    service_account_email = "me@example.com"

    def __init__(self, broken: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.broken = broken
        self.made = 0

    def refresh(self, request: Any) -> None:
        """The next token."""
        if self.broken:
            raise RefreshError("invalid_grant: reauth related error (invalid_rapt)")  # type: ignore[no-untyped-call]
        self.made += 1
        self.token = f"token-{self.made}"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Credentials are kept for the process."""
    identity._load.cache_clear()
    yield
    identity._load.cache_clear()


def default(monkeypatch: pytest.MonkeyPatch, found: Credentials | None, project: str | None) -> list[dict[str, Any]]:
    """What google.auth.default gives; each call's arguments."""
    asked: list[dict[str, Any]] = []

    def give(**kwargs: Any) -> Any:
        asked.append(kwargs)
        if found is None:
            raise DefaultCredentialsError("Your default credentials were not found. To set up.\nMore.")  # type: ignore[no-untyped-call]
        return found, project

    monkeypatch.setattr(google.auth, "default", give)
    return asked


def test_without_credentials_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    default(monkeypatch, None, None)
    for look in (identity.account_of, lambda target: target.session()):
        with pytest.raises(TargetError) as caught:
            look(REAL)
        assert caught.value.reference == "no-credentials"
        assert "gcloud auth application-default login" in caught.value.hint
        assert caught.value.cause == "Your default credentials were not found"


def test_credentials_for_another_project_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    default(monkeypatch, Fake(), "other-p")
    for look in (identity.account_of, lambda target: target.session()):
        with pytest.raises(TargetError, match="other-p") as caught:
            look(REAL)
        assert caught.value.reference == "wrong-project"


@pytest.mark.parametrize("project", ["plant-p", None, ""])
def test_the_plant_s_project_or_none_is_fine_and_asked_for_once(
    monkeypatch: pytest.MonkeyPatch, project: str | None
) -> None:
    asked = default(monkeypatch, Fake(), project)
    assert identity.account_of(REAL) == "me@example.com"
    assert REAL.session() is not REAL.session()
    assert len(asked) == 1
    assert asked[0]["quota_project_id"] is None


def test_who_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = default(monkeypatch, Fake(), None)
    paid = google_target(project="plant-p", region="r", quota_project="payer-p")
    identity.account_of(paid)
    assert asked[0]["quota_project_id"] == "payer-p"
    budgets = "billingbudgets.billingAccounts.budgets.list"
    assert REAL.headers(budgets) == {"X-Goog-User-Project": "plant-p"}
    assert REAL.headers("cloudresourcemanager.projects.create") == {}
    assert paid.headers(budgets) == {}
    assert sandbox_target({"rest": "http://x"}, project="p", region="r").headers(budgets) == {}


def test_impersonation_pays_too(monkeypatch: pytest.MonkeyPatch) -> None:
    default(monkeypatch, Fake(), None)
    robot = "robot@plant-p.iam.gserviceaccount.com"
    target = google_target(project="plant-p", region="r", impersonate=robot, quota_project="payer-p")
    assert identity.account_of(target) == robot
    found = identity.credentials(target)
    assert (found.service_account_email, found.quota_project_id) == (robot, "payer-p")


class Half(Target):
    """Google's way of signing in, and an address of this test."""

    def root_url(self, api: str, official: str) -> str:
        """The test's server."""
        return f"{self.rest}/{api}/"


def gcp(base: str, recorder: Recorder) -> Gcp:
    """The seam with credentials that are refreshed."""
    target = Half(kind="gcp", project="plant-p", region="r", rest=base)
    return Gcp(target, recorder, Memory(), Clock())


def test_what_is_sent_again_after_a_401_is_on_record_too(monkeypatch: pytest.MonkeyPatch) -> None:
    default(monkeypatch, Fake(), None)
    recorder = Recorder()
    refused = answer(401, b'{"error": {"code": 401, "status": "UNAUTHENTICATED"}}')
    good = answer(200, b'{"name": "i", "kind": "sql#instance"}')
    with wire(lambda number, request: refused if number == 1 else good) as (base, seen):
        gcp(base, recorder).call("sql.instances.insert", {"name": "i"}, project="plant-p")
    assert recorder.kinds() == ["attempt", "answer", "attempt", "answer"]
    assert recorder.answers() == [401, 200]
    assert [b"plantctl/r1/a%d" % number in request for number, request in enumerate(seen, start=1)] == [True, True]
    assert [b"token-%d" % number in request for number, request in enumerate(seen, start=1)] == [True, True]


def test_without_a_token_nothing_is_sent_and_nothing_is_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    default(monkeypatch, Fake(broken=True), None)
    recorder = Recorder()
    with wire(lambda number, request: answer(200, b"{}")) as (base, seen), pytest.raises(TargetError) as caught:
        gcp(base, recorder).call("sql.instances.insert", {"name": "i"}, project="plant-p")
    assert (caught.value.reference, seen, recorder.log) == ("no-credentials", [], [])
    assert "invalid_rapt" in caught.value.cause


AUDIENCE = "https://plant-backend-x.a.run.app"


class Person(people.Credentials):
    """A person's login: a refresh brings an ID token along."""

    def __init__(self, id_token: str | None) -> None:
        super().__init__("t", refresh_token="r", client_id="c", client_secret="s", token_uri="u")  # type: ignore[no-untyped-call]
        self._given = id_token

    def refresh(self, request: Any) -> None:
        """As Google's: the ID token is that of the login's client."""
        self._id_token = self._given


def test_the_sandbox_takes_its_owners_word_as_identity() -> None:
    assert sandbox_target({"rest": "http://x"}, project="p", region="r").identity_token(AUDIENCE) == "plantctl"


def test_a_persons_login_brings_an_identity_token(monkeypatch: pytest.MonkeyPatch) -> None:
    default(monkeypatch, Person("id-1"), "plant-p")
    assert REAL.identity_token(AUDIENCE) == "id-1"


@pytest.mark.parametrize("found", [Person(None), Fake(broken=True)], ids=["no id token", "no login"])
def test_without_an_identity_token_the_words_say_what_to_do(monkeypatch: pytest.MonkeyPatch, found: Any) -> None:
    default(monkeypatch, found, "plant-p")

    def give(*_: Any, **__: Any) -> Any:
        return found

    monkeypatch.setattr(id_token, "fetch_id_token_credentials", give)
    with pytest.raises(TargetError) as caught:
        REAL.identity_token(AUDIENCE)
    assert caught.value.reference == "no-identity-token"
    assert "impersonate" in caught.value.hint


def test_what_is_deployed_is_dialled_by_the_sandboxs_proxy_and_directly_on_google_cloud() -> None:
    local = sandbox_target(
        {"rest": "http://x", "proxy": "http://127.0.0.1:9", "ca": "/ca.pem"}, project="p", region="r"
    )
    session = local.web()
    assert (session.proxies, session.verify, session.trust_env) == ({"https": "http://127.0.0.1:9"}, "/ca.pem", False)
    real = REAL.web()
    assert (real.proxies, real.verify, "Authorization" in real.headers) == ({}, True, False)
