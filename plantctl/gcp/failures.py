"""One unsuccessful answer of Google's, or none at all, read from either of its error shapes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

NOT_SENT = "not-sent"
NO_ANSWER = "no-answer"
GARBLED = "garbled"
CREDENTIALS = "credentials"


@dataclass(kw_only=True, eq=False)
class Failure(Exception):
    """One unsuccessful answer.

    `code` is the HTTP status, 0 without a whole answer; then `trouble` says what happened: `not-sent` (it certainly
    never left), `no-answer`, `garbled` (a success that was cut or is no JSON, hazards T04 and T05), `credentials`
    (no token, so not sent either).
    """

    method_id: str
    code: int
    status: str = ""
    reason: str = ""
    message: str = ""
    retry_after_s: float = 0.0
    details: tuple[dict[str, Any], ...] = field(default_factory=tuple)
    trouble: str = ""

    def __str__(self) -> str:
        return f"{self.method_id}: {self.code or self.trouble} {self.reason or self.status} {self.message}"

    @property
    def sent(self) -> bool:
        """False when the request certainly never left."""
        return self.trouble not in (NOT_SENT, CREDENTIALS)

    @property
    def violations(self) -> list[dict[str, Any]]:
        """Violations of PreconditionFailure, QuotaFailure and BadRequest details (AIP-193)."""
        found = [v for d in self.details for v in (*d.get("violations", []), *d.get("fieldViolations", []))]
        return [violation for violation in found if isinstance(violation, dict)]

    def metadata(self, key: str) -> str:
        """A value of ErrorInfo's metadata, or empty."""
        return next((str(d["metadata"][key]) for d in self.details if key in (d.get("metadata") or {})), "")


def parse(method_id: str, code: int, headers: Any, content: bytes) -> Failure:
    """A Failure from an HTTP answer in either of Google's error shapes, or in none (an HTML page of a proxy)."""
    try:
        error = json.loads(content)["error"]
        if not isinstance(error, dict):
            error = {"message": str(error)}
    except (ValueError, KeyError, TypeError):
        error = {"message": content[:200].decode(errors="replace")}
    details = tuple(d for d in error.get("details", []) if isinstance(d, dict))
    info = next((d for d in details if str(d.get("@type", "")).endswith("ErrorInfo")), {})
    legacy = (error.get("errors") or [{}])[0]
    return Failure(
        method_id=method_id,
        code=code,
        status=str(error.get("status", "")),
        reason=str(info.get("reason") or legacy.get("reason") or ""),
        message=str(error.get("message", "")),
        retry_after_s=_retry_after(headers, details),
        details=details,
    )


def _retry_after(headers: Any, details: tuple[dict[str, Any], ...]) -> float:
    value = str((headers or {}).get("retry-after", "") or "")
    if value.isdigit():
        return float(value)
    for detail in details:
        match = re.fullmatch(r"([\d.]+)s", str(detail.get("retryDelay", "")))
        if match:
            return float(match.group(1))
    return 0.0


def words_for_journal(content: bytes) -> str:
    """`status reason` of an error body; never its message, which may quote what was sent."""
    failure = parse("", 0, {}, content)
    return " ".join(dict.fromkeys(word for word in (failure.status, failure.reason) if word))[:200]
