"""What the looks at Redis say: TLS, AUTH, the pool's size, and what a failover costs, on real servers."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from backend import cli
from backend.redis_store import CONNECTIONS
from tests.backend.postgres import certificates
from tests.backend.redis_server import PASSWORD, RedisServer
from tests.backend.redis_tls import Instance, instance

Line = dict[str, Any]
Run = Callable[..., tuple[int, dict[str, Line]]]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Instance]:
    """Two servers behind one address."""
    with instance(tmp_path) as made:
        yield made


@pytest.fixture
def check(redis: Instance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`check NAME` in this process: exit code and lines by fact. No line may hold the password."""

    def run(name: str, **variables: str) -> tuple[int, dict[str, Line]]:
        given = {
            "ENVIRONMENT": "production",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(redis.port),
            "REDIS_TLS": "true",
            "REDIS_PASSWORD": PASSWORD,
            "REDIS_CA": redis.ca,
        }
        for key, value in (given | variables).items():
            monkeypatch.setenv(key, value)
        capsys.readouterr()
        code = cli.main(["check", name])
        said = capsys.readouterr()
        assert PASSWORD not in said.out + said.err
        lines = [json.loads(line) for line in said.out.splitlines()]
        return code, {line.get("fact", line["message"]): line for line in lines}

    return run


def test_the_looks_at_redis_need_no_database(check: Run) -> None:
    code, seen = check("redis-client")
    assert code == 0, seen
    assert seen["installed"]["value"] == version("redis")
    assert re.search(rf"^redis=={seen['installed']['value']}", Path("backend/requirements.lock").read_text(), re.M)


def test_keys_are_used_over_tls_and_everybody_else_is_refused(check: Run, redis: Instance) -> None:
    code, seen = check("redis")
    assert code == 0, seen
    assert seen["tls"]["version"] in ("TLSv1.2", "TLSv1.3")
    assert [seen[fact]["ok"] for fact in ("ping", "set", "get", "del")] == [True] * 4
    assert seen["without_auth"]["reason"] == "auth-failed"
    assert seen["without_ca"]["reason"] == "tls-verify-failed"
    assert seen["plaintext"]["message"] == "redis plaintext: refused"
    assert seen["verdict"]["failed"] == 0
    assert redis.primary.ask("DBSIZE") == b":0\r\n", "the looks leave nothing behind"


def test_a_server_without_auth_fails_the_look(check: Run, redis: Instance) -> None:
    redis.primary.ask("CONFIG", "SET", "requirepass", "")
    code, seen = check("redis", REDIS_PASSWORD="")
    assert code == 3, "a look without a password says nothing"
    assert "REDIS_PASSWORD: set it, or REDIS_URL" in seen


def test_another_password_another_ca_and_plain_words_fail_the_look(check: Run, redis: Instance, tmp_path: Path) -> None:
    code, seen = check("redis", REDIS_PASSWORD="5f0a9d1c-7e1b-4a53-9f0e-2c7d0b6a1e44")
    assert (code, seen["reach"]["reason"]) == (1, "auth-failed")
    other = tmp_path / "other"
    other.mkdir()
    code, seen = check("redis", REDIS_CA=certificates(other))
    assert (code, seen["reach"]["reason"]) == (1, "tls-verify-failed")
    plain = RedisServer()
    plain.start()
    try:
        code, seen = check("redis", REDIS_PORT=str(plain.port))
    finally:
        plain.kill()
    assert code == 1, "a server without TLS is no instance of ours"
    assert seen["reach"]["ok"] is False


def test_a_pool_stays_within_its_size(check: Run) -> None:
    code, seen = check("redis-pool")
    assert code == 0, seen
    assert 1 < seen["bounds"]["peak"] <= CONNECTIONS == seen["bounds"]["size"]
    assert seen["server"]["value"] >= 1


@pytest.mark.parametrize("forget", [False, True])
def test_a_failover_is_measured(check: Run, redis: Instance, forget: bool) -> None:
    strike = threading.Timer(1.0, redis.fail_over, kwargs={"forget": forget})
    strike.start()
    begun = time.monotonic()
    code, seen = check("redis-failover")
    strike.join()
    assert code == 0, seen
    assert time.monotonic() - begun < 60, "it ends by itself"
    assert seen["ready"]["ok"] is True
    assert seen["failover"]["before"] != seen["failover"]["after"]
    assert 0.0 < seen["gap"]["value"] < 30
    acknowledged, lost = seen["lost"]["acknowledged"], seen["lost"]["value"]
    assert acknowledged > 100
    assert (20 < lost < acknowledged) if forget else (lost <= 20), seen["lost"]
