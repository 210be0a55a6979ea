"""JSON lines on standard output in Cloud Logging's field names (severity, message, time)."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime

from backend.context import REQUEST

_SEVERITIES = {"WARN": "WARNING", "FATAL": "CRITICAL", "NOTSET": "DEFAULT"}
_REPORTED = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"
_encode = json.JSONEncoder(default=str).encode  # ASCII: a lone surrogate in a message must not break the line


def emit(severity: str, message: str, **fields: object) -> None:
    """Writes one line at once, so that it is out before a container is killed. `fields` adds to the three names."""
    line: dict[str, object] = {"severity": severity, "message": message, "time": _now()}
    request = REQUEST.get()
    if request is not None:
        line |= request.trace
        line["request_id"] = request.request_id
    line |= fields
    sys.stdout.write(_encode(line) + "\n")
    sys.stdout.flush()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonLines(logging.Handler):
    """Carries the standard library's log records (uvicorn's, alembic's, ours) to the same lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Where it comes from is Cloud Logging's own field; its logger is a label."""
        where = _Where(record.pathname, record.lineno, record.funcName or "")
        fields: dict[str, object] = {
            "logging.googleapis.com/labels": {"logger": record.name},
            "logging.googleapis.com/sourceLocation": {
                "file": where.file,
                "line": str(where.line),
                "function": where.function,
            },
        }
        if record.exc_info and record.exc_info[1] is not None:
            fields |= error_fields(record.exc_info[1])
        elif record.levelno >= logging.ERROR:
            fields |= {"@type": _REPORTED, "serviceContext": _service(), "context": _context(where)}
        emit(_SEVERITIES.get(record.levelname, record.levelname), record.getMessage(), **fields)


@dataclass(frozen=True)
class _Where:
    """A place in the code."""

    file: str
    line: int
    function: str


def error_fields(error: BaseException, *, status: int | None = None) -> dict[str, object]:
    """What makes a line an entry of Error Reporting (its "Format errors in logs" page). `status` is the answer's."""
    frames = traceback.extract_tb(error.__traceback__)
    where = _Where(frames[-1].filename, frames[-1].lineno or 0, frames[-1].name) if frames else None
    return {
        "@type": _REPORTED,
        "stack_trace": "".join(traceback.format_exception(error)),
        "serviceContext": _service(),
        "context": _context(where, status),
    }


def _service() -> dict[str, str]:
    environ = os.environ
    return {"service": environ.get("K_SERVICE", "plant-backend"), "version": environ.get("K_REVISION", "")}


def _context(where: _Where | None, status: int | None = None) -> dict[str, object]:
    """ErrorContext: the request under way, its user, and the place; which one must have without a stack trace."""
    found: dict[str, object] = {}
    if where is not None:
        place = {"filePath": where.file, "lineNumber": where.line, "functionName": where.function}
        found["reportLocation"] = place
    request = REQUEST.get()
    if request is not None:
        http = {"method": request.method, "url": request.path, "userAgent": request.agent, "remoteIp": request.ip}
        found["httpRequest"] = http | ({"responseStatusCode": status} if status else {})
        if request.account_id:
            found["user"] = request.account_id
    return found


def configure(level: str) -> None:
    """Sends every logger of the process to `JsonLines`. `level` is a name of the standard library (INFO, ...)."""
    root = logging.getLogger()
    root.handlers = [JsonLines()]
    root.setLevel(level)
    logging.getLogger("alembic").setLevel(max(logging.WARNING, root.level))  # `migrate` says what was applied itself
