"""The CONNECT proxy: Google's hosts over real TLS by the local CA, every other host refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import requests

from tests.sandbox.conftest import PROJECT, Sandbox


@pytest.fixture
def proxied(sandbox: Sandbox) -> Iterator[requests.Session]:
    """A session that knows nothing of the sandbox but proxy and CA."""
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"https": sandbox.app.endpoints["proxy"], "http": sandbox.app.endpoints["proxy"]}
        session.verify = sandbox.app.endpoints["ca"]
        yield session


def test_googles_own_addresses_work_and_connections_are_kept(sandbox: Sandbox, proxied: requests.Session) -> None:
    for _ in range(3):
        answer = proxied.get(f"https://cloudresourcemanager.googleapis.com/v1/projects/{PROJECT}", timeout=20)
        assert answer.json()["projectId"] == PROJECT
    regional = f"https://us-central1-run.googleapis.com/v2/projects/{PROJECT}/locations/us-central1/jobs"
    assert proxied.get(regional, timeout=20).status_code == 200
    entries = sandbox.wire()
    assert {one["transport"] for one in entries} == {"proxy"}
    assert len(entries) == 4


def test_a_large_upload_and_download_pass_unchanged(sandbox: Sandbox, proxied: requests.Session) -> None:
    base = "https://storage.googleapis.com"
    proxied.post(f"{base}/storage/v1/b?project={PROJECT}", json={"name": "plant-big-ones"}, timeout=20)
    data = bytes(range(256)) * 20_000
    begin = f"{base}/upload/storage/v1/b/plant-big-ones/o?uploadType=resumable&name=x"
    begun = proxied.post(begin, json={}, timeout=20)
    place = begun.headers["location"]
    assert place.startswith(base)
    assert proxied.put(place, data=data, timeout=60).json()["size"] == str(len(data))
    assert proxied.get(f"{base}/storage/v1/b/plant-big-ones/o/x?alt=media", timeout=60).content == data


HOSTS = ["example.com", "googleapis.com.example.com", "169.254.169.254", "www.google.com", "s-x.a.run.app"]
"""The last is a service's: this sandbox has no data plane, so nothing can serve it."""


@pytest.mark.parametrize("host", HOSTS)
def test_every_other_host_is_refused_in_words(sandbox: Sandbox, proxied: requests.Session, host: str) -> None:
    with pytest.raises(requests.exceptions.ProxyError, match="403"):
        proxied.get(f"https://{host}/", timeout=20)
    plain = proxied.get(f"http://{host}/", timeout=20)
    assert plain.status_code == 403
    assert f"refuses {host}" in plain.text
    assert sandbox.wire() == []


def test_only_its_own_authority_vouches_for_it(sandbox: Sandbox, proxied: requests.Session) -> None:
    proxied.verify = True
    with pytest.raises(requests.exceptions.SSLError):
        proxied.get("https://run.googleapis.com/", timeout=20)


def test_a_planned_reset_passes_through(sandbox: Sandbox, proxied: requests.Session) -> None:
    sandbox.faults({"match": "cloudresourcemanager.projects.get", "do": "reset"})
    url = f"https://cloudresourcemanager.googleapis.com/v1/projects/{PROJECT}"
    with pytest.raises(requests.exceptions.ConnectionError):
        proxied.get(url, timeout=20)
    assert proxied.get(url, timeout=20).status_code == 200


def test_nonsense_ends_the_connection(sandbox: Sandbox) -> None:
    port = int(sandbox.app.endpoints["proxy"].rsplit(":", 1)[-1])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 403") or sock.recv(10) == b""
