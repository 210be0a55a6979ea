"""A port that leads nowhere until it is opened: a store that comes later than the process which needs it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Forwarder:
    """Holds a port of loopback; refuses until `open`, then copies bytes to and from `target`."""

    def __init__(self) -> None:
        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))  # bound and not listening: the kernel refuses
        self.port = int(self._server.getsockname()[1])
        self._pairs: list[socket.socket] = []

    def open(self, target: int) -> None:
        """Begins to listen."""
        self._server.listen()
        threading.Thread(target=self._accept, args=(target,), daemon=True).start()

    def close(self) -> None:
        """Ends every connection."""
        for end in (self._server, *self._pairs):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self, target: int) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", target))
                self._pairs += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
