"""Signing up, in and out, and twenty tokens and keys that are not ours."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
from typing import Any

import jwt
import pytest
import requests

from backend.errors import Problem
from backend.secret_values import SigningKey, signing_keys
from backend.security.tokens import Tokens
from tests.backend.api.conftest import SIGNING_KEY, Api

PASSWORD = "correct horse battery"
KEY = signing_keys(SIGNING_KEY)[0]


def from_somewhere() -> dict[str, str]:
    """An address that nobody else in this run comes from."""
    number = uuid.uuid4().int
    return {"X-Forwarded-For": f"10.{number % 256}.{number // 256 % 256}.{number // 65536 % 256}, 10.0.0.1"}


def register(api: Api, **changes: Any) -> requests.Response:
    body = {
        "email": f"{uuid.uuid4().hex[:12]}@Example.com",
        "password": PASSWORD,
        "display_name": "Dora",
        "business_name": "Dora's",
        "industry": "education",
        "consent": True,
    }
    return api.call("POST", "/auth/register", json=body | changes, headers=from_somewhere())


def sign_in(api: Api, email: str, password: str = PASSWORD) -> requests.Response:
    form = {"username": email, "password": password}
    return api.call("POST", "/auth/token", data=form, headers=from_somewhere())


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def refresh(api: Api, cookie: str) -> requests.Response:
    headers = from_somewhere() | {"Cookie": f"plant_refresh={cookie}"}
    return api.call("POST", "/auth/refresh", headers=headers)


def test_from_registering_to_signing_out(api: Api) -> None:
    made = register(api)
    assert made.status_code == 201, made.text
    email = made.json()["email"]
    assert register(api, email=email.upper()).status_code == 409
    stored = api.sql(f"SELECT password_hash FROM plant.account WHERE email = '{email}'")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    signed_in = sign_in(api, email.lower())
    assert (signed_in.status_code, signed_in.json()["expires_in"]) == (200, 900)
    attributes = signed_in.headers["Set-Cookie"].lower()
    assert all(word in attributes for word in ("httponly", "samesite=strict", "path=/api/v1/auth", "max-age=86400"))
    me = api.call("GET", "/me", headers=bearer(signed_in.json()["access_token"]))
    assert (me.json()["email"], me.json()["kind"], me.json()["business_name"]) == (email, "customer", "Dora's")
    cookie = signed_in.cookies["plant_refresh"]
    renewed = refresh(api, cookie)
    assert renewed.status_code == 200
    assert api.call("GET", "/me", headers=bearer(renewed.json()["access_token"])).status_code == 200
    assert api.call("POST", "/auth/logout", headers={"Cookie": f"plant_refresh={renewed.cookies['plant_refresh']}"}).ok
    assert refresh(api, renewed.cookies["plant_refresh"]).status_code == 401


def test_a_cookie_that_is_used_twice_ends_the_session(api: Api) -> None:
    cookie = sign_in(api, register(api).json()["email"]).cookies["plant_refresh"]
    newest = refresh(api, cookie).cookies["plant_refresh"]
    assert refresh(api, cookie).status_code == 401
    assert refresh(api, newest).status_code == 401
    session = cookie.partition(".")[0]
    assert api.sql(f"SELECT action FROM plant.audit_event WHERE entity_id = '{session}'") == "session.reused"


def test_a_session_lasts_a_day_in_redis(api: Api) -> None:
    cookie = sign_in(api, register(api).json()["email"]).cookies["plant_refresh"]
    left = int(api.redis.ask("TTL", f"session:{cookie.partition('.')[0]}").strip(b":\r\n"))
    assert 86_390 < left <= 86_400
    secret = cookie.partition(".")[2]
    assert secret.encode() not in api.redis.ask("HGET", f"session:{cookie.partition('.')[0]}", "secret")


def test_wrong_passwords_lock_an_account(api: Api) -> None:
    email = register(api).json()["email"]
    api.sql(f"UPDATE plant.account SET failed_logins = 4 WHERE email = '{email}'")
    wrong, unknown = sign_in(api, email, "wrong"), sign_in(api, "nobody@example.com", "wrong")
    assert (wrong.status_code, wrong.json()["detail"]) == (unknown.status_code, unknown.json()["detail"])
    locked = sign_in(api, email)
    assert (locked.status_code, locked.headers["Retry-After"]) == (423, "900")
    api.sql(f"UPDATE plant.account SET locked_until = now() WHERE email = '{email}'")
    assert sign_in(api, email).status_code == 200
    assert api.sql(f"SELECT failed_logins, locked_until FROM plant.account WHERE email = '{email}'") == "0|"


def test_tries_are_counted_by_account_and_by_address(api: Api) -> None:
    name = f"{uuid.uuid4().hex}@example.com"
    assert [sign_in(api, name, "x").status_code for _ in range(6)] == [401] * 5 + [429]
    headers = from_somewhere()
    form = {"grant_type": "nonsense"}
    codes = [api.call("POST", "/auth/refresh", headers=headers, data=form).status_code for _ in range(31)]
    assert codes == [401] * 30 + [429]


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "short"},
        {"password": "aaaaaaaaaaaaaaaa"},
        {"consent": False},
        {"email": "no-address"},
        {"email": "a@b"},
        {"email": "a b@example.com"},
        {"industry": "no-such"},
        {"business_name": "  "},
        {"kind": "operator"},
        {"display_name": "a\0b"},
    ],
)
def test_what_cannot_register(api: Api, changes: dict[str, Any]) -> None:
    answer = register(api, **changes)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:plant:problem:validation")
    assert PASSWORD not in answer.text


def claims(api: Api, **changes: Any) -> dict[str, Any]:
    """What a right token of ann's says, with changes; None removes."""
    now = int(time.time())
    right = {"iss": "plant", "aud": "plant-api", "sub": api.people["ann"]["account"], "sid": "s" * 32, "tv": 1}
    right |= {"kind": "customer", "roles": ["member"], "jti": "j", "iat": now, "exp": now + 900}
    return {name: value for name, value in (right | changes).items() if value is not None}


def sign(body: dict[str, Any], key: str | bytes = KEY.value, name: str = "HS256", kid: str | None = KEY.kid) -> str:
    return jwt.encode(body, key, name, headers={"kid": kid} if kid else {})


def sign_with(header: dict[str, Any], body: dict[str, Any], key: str) -> str:
    return jwt.encode(body, key, "HS256", headers=header)


def raw(header: dict[str, Any], body: dict[str, Any], signature: str = "") -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, body)]
    return ".".join([*parts, signature])


def forged(api: Api) -> dict[str, str]:
    """Tokens that must not pass, by what is wrong with them."""
    good = sign(claims(api))
    head, body, signature = good.split(".")
    other = "another-key-of-somebody-else-0123456789ab"
    return {
        "no signature": raw({"alg": "none", "kid": KEY.kid}, claims(api)),
        "none with a signature": raw({"alg": "none", "kid": KEY.kid}, claims(api), signature),
        "None": raw({"alg": "None", "kid": KEY.kid}, claims(api)),
        "other key": sign(claims(api), other),
        "other key, its kid": sign(claims(api), other, kid=signing_keys(other)[0].kid),
        "no kid": sign(claims(api), kid=None),
        "kid is a path": sign(claims(api), kid="../../dev/null"),
        "kid is a list": raw({"alg": "HS256", "kid": [KEY.kid]}, claims(api), signature),
        "HS512": sign(claims(api), KEY.value * 2, "HS512"),
        "HS512 with the key": sign(claims(api), KEY.value + b"0" * 32, "HS384"),
        "expired": sign(claims(api, exp=int(time.time()) - 1)),
        "no expiry": sign(claims(api, exp=None)),
        "issued tomorrow": sign(claims(api, iat=int(time.time()) + 86_400)),
        "not yet": sign(claims(api, nbf=int(time.time()) + 600)),
        "issuer": sign(claims(api, iss="somebody")),
        "audience": sign(claims(api, aud="somebody")),
        "no audience": sign(claims(api, aud=None)),
        "subject is no id": sign(claims(api, sub="1 OR 1=1")),
        "unknown subject": sign(claims(api, sub=str(uuid.uuid4()))),
        "token version": sign(claims(api, tv=0)),
        "version is text": sign(claims(api, tv="1")),
        "body changed": ".".join([head, raw({}, claims(api, kind="operator")).split(".")[1], signature]),
        "signature cut": good[:-4],
        "two parts": f"{head}.{body}",
        "brings its key": sign_with({"kid": KEY.kid, "jwk": {"kty": "oct", "k": "b3RoZXI"}}, claims(api), other),
        "names its key's place": sign_with({"kid": KEY.kid, "jku": "https://example.com/k"}, claims(api), other),
        "a session's secret": f"{'s' * 32}.{'x' * 43}",
        "noise": "not-a-token",
        "long": "a" * 5000,
    }


def test_forged_tokens_are_refused(api: Api) -> None:
    assert api.call("GET", "/me", headers=bearer(sign(claims(api)))).status_code == 200
    tokens = forged(api)
    assert len(tokens) >= 20
    for wrong, token in tokens.items():
        answer = api.call("GET", "/me", headers=bearer(token))
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:plant:problem:unauthorized"), wrong
        assert api.call("GET", "/agents", headers=bearer(token)).status_code == 401, f"{wrong}: taken for nobody"
    assert api.call("GET", "/me", headers={"Authorization": "Basic YTpi"}).status_code == 401


def test_an_older_key_still_verifies() -> None:
    old, new = signing_keys(SIGNING_KEY)[0], SigningKey("new", b"n" * 40)
    account = uuid.uuid4()
    token = Tokens([old]).issue(account, "s", 3, "customer", "member")
    assert Tokens([new, old]).verify(token).account_id == account
    assert jwt.get_unverified_header(Tokens([new, old]).issue(account, "s", 3, "customer", "member"))["kid"] == "new"
    with pytest.raises(Problem):  # once the old line has left the secret
        Tokens([new]).verify(token)


def test_a_locked_account_is_out(api: Api) -> None:
    person = api.add("lena", "customer")
    api.sql(f"UPDATE plant.account SET token_version = 2 WHERE id = '{person['account']}'")
    assert api.call("GET", "/me", "lena").status_code == 401


def test_api_keys_live_and_die(api: Api) -> None:
    made = api.call("POST", "/partner/api-keys", "pia", json={"name": "ci", "scopes": ["agents:read"]}).json()
    headers = {"X-API-Key": made["key"]}
    assert api.call("GET", "/partner/agents", headers=headers).status_code == 200
    assert api.call("GET", "/partner/hires", headers=headers).status_code == 403  # another scope
    assert api.call("GET", "/partner/api-keys", headers=headers).status_code == 403  # keys make no keys
    stored = api.sql(f"SELECT encode(key_hash, 'hex') FROM plant.api_key WHERE id = '{made['id']}'")
    assert stored == hashlib.sha256(made["key"].encode()).hexdigest()
    listed = api.call("GET", "/partner/api-keys", "pia")
    assert made["key"] not in listed.text
    wrong = made["key"][:-1] + ("a" if made["key"][-1] != "a" else "b")
    for text in (wrong, "plk_00000000_" + "a" * 32, "nonsense", "plk_smoke_"):
        assert api.call("GET", "/partner/agents", headers={"X-API-Key": text}).status_code == 401
    assert api.call("DELETE", f"/partner/api-keys/{made['id']}", "pia").status_code == 204
    assert api.call("GET", "/partner/agents", headers=headers).status_code == 401


def test_me_is_changed_and_closed(api: Api) -> None:
    person = api.add("mona", "customer")
    me = api.call("GET", "/me", "mona")
    change = {"display_name": "Mona L", "website": "https://example.com"}
    changed = api.call("PATCH", "/me", "mona", json=change, headers={"If-Match": me.headers["ETag"]})
    assert (changed.json()["display_name"], changed.headers["ETag"]) == ("Mona L", '"v2"')
    stale = api.call("PATCH", "/me", "mona", json=change, headers={"If-Match": me.headers["ETag"]})
    assert stale.status_code == 412
    assert api.call("DELETE", "/me", "mona").status_code == 204
    assert api.call("GET", "/me", "mona").status_code == 401
    row = "SELECT a.status, a.email, c.business_name FROM plant.account a JOIN plant.customer c ON c.id = customer_id "
    assert api.sql(f"{row} WHERE a.id = '{person['account']}'") == (
        f"closed|closed-{person['account']}@invalid.example|Closed"
    )
