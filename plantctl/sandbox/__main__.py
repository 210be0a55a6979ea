"""`python -m plantctl.sandbox`: the sandbox as a process in the foreground; `life.py` starts it detached."""

from __future__ import annotations

import argparse
import errno
import logging
import signal
import sys
import threading
from pathlib import Path

from plantctl.sandbox.app import App
from plantctl.sandbox.console import speed_of
from plantctl.sandbox.errors import ApiError
from plantctl.sandbox.life import TakenError, claim, write_endpoint

EXIT_TAKEN = 5


def main() -> int:
    """Serve until SIGTERM or SIGINT; 0 then, 1 when it could not start, 5 when one runs here already."""
    parser = argparse.ArgumentParser(prog="python -m plantctl.sandbox", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the PLANTCTL_HOME; state goes to its sandbox/")
    parser.add_argument("--speed", default="60", help='invented seconds per real second, or "max"')
    parser.add_argument("--port", type=int, default=0, help="REST port; 0 takes a free one")
    parser.add_argument("--without-dataplane", action="store_true", help="answer only; start no servers")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    state: Path = given.home / "sandbox"
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        speed = speed_of(given.speed)
        with claim(state):
            app = App(state, speed=speed, port=given.port, plane=not given.without_dataplane)
            app.start()
            write_endpoint(state, app.status())
            logging.info("sandbox ready at %s", app.endpoints["rest"])
            stop.wait()
            logging.info("sandbox stops")
            app.stop()
            (state / "endpoint.json").unlink(missing_ok=True)
    except TakenError as error:
        return _fail(str(error), EXIT_TAKEN)
    except ApiError as error:
        return _fail(error.message, 1)
    except OSError as error:
        return _fail(_words(error, given.port), 1)
    return 0


def _words(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on 127.0.0.1 is taken; choose another or leave --port out"
    if error.errno == errno.ENOSPC:
        return f"the disk is full: {error}"
    return str(error)


def _fail(words: str, code: int) -> int:
    sys.stderr.write(f"sandbox: {words}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
