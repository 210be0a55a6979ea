"""Forwarders: bytes go both ways, nothing listens after the end, sandboxes do not share addresses."""

import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from plantctl.sandbox.dataplane.forward import ForwardLoop, ForwardSet

aliases = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.0/8 has aliases on Linux alone")


@pytest.fixture
def loop() -> Iterator[ForwardLoop]:
    loop = ForwardLoop()
    yield loop
    loop.close()


@pytest.fixture
def forwards(loop: ForwardLoop) -> Iterator[ForwardSet]:
    forwards = ForwardSet(loop)
    yield forwards
    forwards.close()


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it got, in capitals, once the other side has ended; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            data = b""
            while chunk := connection.recv(65536):
                data += chunk
            connection.sendall(data.upper())

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
            threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in [acceptor, *threads]:
        thread.join(5)


def _ask(host: str, port: int, data: bytes) -> bytes:
    with socket.create_connection((host, port), timeout=5) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
        return answer


@aliases
def test_pipes_both_ways_through_a_half_closed_connection(forwards: ForwardSet, echo: int) -> None:
    opened = forwards.open("10.20.0.3", 5432, ("127.0.0.1", echo))
    assert opened.exact
    assert opened.port == 5432
    assert opened.host.startswith("127.")
    data = b"word " * 200_000
    assert _ask(opened.host, opened.port, data) == data.upper()


@aliases
def test_two_servers_of_one_port_have_two_addresses_and_sets_share_none(loop: ForwardLoop, echo: int) -> None:
    sets = [ForwardSet(loop), ForwardSet(loop)]
    try:
        opened = [one.open(name, 5432, ("127.0.0.1", echo)) for one in sets for name in ("10.0.0.1", "10.0.0.2")]
        assert len({found.host for found in opened}) == 4
        other_port = sets[0].open("10.0.0.1", 6378, ("127.0.0.1", echo))
        assert other_port.host == opened[0].host
        assert all(_ask(found.host, found.port, b"x") == b"X" for found in [*opened, other_port])
    finally:
        for one in sets:
            one.close()


@aliases
def test_nothing_listens_after_close_and_open_connections_are_cut(forwards: ForwardSet, echo: int) -> None:
    opened = forwards.open("10.20.0.3", 5432, ("127.0.0.1", echo))
    with socket.create_connection((opened.host, opened.port), timeout=5) as client:
        client.sendall(b"x")
        forwards.close()
        with pytest.raises(ConnectionError):
            while not client.recv(1):
                raise ConnectionResetError
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((opened.host, opened.port), timeout=5)
    forwards.close()
    with pytest.raises(RuntimeError, match="closed"):
        forwards.open("10.20.0.3", 5432, ("127.0.0.1", echo))


@aliases
def test_unreachable_address_refuses(forwards: ForwardSet) -> None:
    opened = forwards.unreachable("10.20.0.3")
    assert opened.exact
    for port in (5432, 6378):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((opened.host, port), timeout=5)


def test_target_that_is_gone_cuts_the_client(forwards: ForwardSet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    opened = forwards.open("10.20.0.3", 6378, ("127.0.0.1", port))
    with socket.create_connection((opened.host, opened.port), timeout=5) as client:
        try:
            assert client.recv(1) == b""
        except ConnectionResetError:
            return


@aliases
def test_port_held_on_all_addresses_falls_back_and_says_so(forwards: ForwardSet, echo: int) -> None:
    with socket.create_server(("0.0.0.0", 0)) as wide:
        held = wide.getsockname()[1]
        opened = forwards.open("10.20.0.3", held, ("127.0.0.1", echo))
        assert not opened.exact
        assert (opened.host, opened.port != held) == ("127.0.0.1", True)
        assert _ask(opened.host, opened.port, b"x") == b"X"
        assert forwards.substitute("10.20.0.3") == "127.0.0.1"
        assert not forwards.unreachable("10.20.0.4", [held]).exact


def test_substitute_replaces_whole_addresses_only(forwards: ForwardSet) -> None:
    host = forwards.unreachable("10.20.0.3").host
    assert forwards.substitute("postgres://u@10.20.0.3:5432/d") == f"postgres://u@{host}:5432/d"
    assert forwards.substitute("at 10.20.0.3.") == f"at {host}."
    for other in ("10.20.0.34", "110.20.0.3", "10.20.0.3.4", "1.10.20.0.3"):
        assert forwards.substitute(other) == other
