"""JSON lines on standard output in Cloud Logging's field names (severity, message, time)."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from datetime import UTC, datetime

from backend.context import REQUEST

_SEVERITIES = {"WARN": "WARNING", "FATAL": "CRITICAL", "NOTSET": "DEFAULT"}


def emit(severity: str, message: str, **fields: object) -> None:
    """Writes one line at once, so that it is out before a container is killed. `fields` adds to the three names."""
    line: dict[str, object] = {"severity": severity, "message": message, "time": _now()}
    request = REQUEST.get()
    if request is not None:
        line |= request.trace | {"request_id": request.request_id}
    line |= fields
    sys.stdout.write(json.dumps(line, default=str, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonLines(logging.Handler):
    """Carries the standard library's log records (uvicorn's, alembic's, ours) to the same lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Error Reporting finds the trace in `stack_trace` and the service in `serviceContext`."""
        fields: dict[str, object] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields |= error_fields(record.exc_info[1])
        emit(_SEVERITIES.get(record.levelname, record.levelname), record.getMessage(), **fields)


def error_fields(error: BaseException) -> dict[str, object]:
    """What makes a line an entry of Error Reporting (its "Format errors in logs" page)."""
    return {
        "@type": "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent",
        "stack_trace": "".join(traceback.format_exception(error)),
        "serviceContext": {
            "service": os.environ.get("K_SERVICE", "plant-backend"),
            "version": os.environ.get("K_REVISION", ""),
        },
    }


def configure(level: str) -> None:
    """Sends every logger of the process to `JsonLines`. `level` is a name of the standard library (INFO, ...)."""
    root = logging.getLogger()
    root.handlers = [JsonLines()]
    root.setLevel(level)
    logging.getLogger("alembic").setLevel(max(logging.WARNING, root.level))  # `migrate` says what was applied itself
