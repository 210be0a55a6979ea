"""One transport-free error for all handlers, and its two shapes on the wire (AIP-193 and the older `errors[]`)."""

from __future__ import annotations

from typing import Any

# google.rpc.Code names with their HTTP status (AIP-193; google/rpc/code.proto).
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "UNIMPLEMENTED": 404,  # never a 5xx that was not asked for: gcloud would retry it for half a minute
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
RPC_CODE = {
    "CANCELLED": 1,
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "OUT_OF_RANGE": 11,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "UNAUTHENTICATED": 16,
}
# APIs that send the older list as well, and those of them that leave `status` out (seen in recorded exchanges).
LEGACY = frozenset({"sqladmin", "compute", "storage", "dns", "iam"})
WITHOUT_STATUS = frozenset({"sqladmin", "compute", "storage"})
LEGACY_REASON = {
    "NOT_FOUND": "notFound",
    "ALREADY_EXISTS": "alreadyExists",
    "INVALID_ARGUMENT": "invalid",
    "FAILED_PRECONDITION": "failedPrecondition",
    "PERMISSION_DENIED": "forbidden",
    "UNAUTHENTICATED": "required",
    "ABORTED": "conflict",
    "RESOURCE_EXHAUSTED": "rateLimitExceeded",
    "UNAVAILABLE": "backendError",
    "INTERNAL": "backendError",
}


class ApiError(Exception):
    """What a handler raises; servers turn it into their own shape.

    `status` is a google.rpc.Code name; `http` overrides its HTTP status (412 for preconditions of storage and compute);
    `legacy_reason` is `errors[].reason` (sqladmin: `instanceDoesNotExist`); `details` are google.rpc messages.
    """

    def __init__(
        self,
        status: str,
        message: str,
        *,
        http: int = 0,
        legacy_reason: str = "",
        reason: str = "",
        domain: str = "",
        metadata: dict[str, str] | None = None,
        details: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.http = http or HTTP_STATUS[status]
        self.legacy_reason = legacy_reason or LEGACY_REASON.get(status, "backendError")
        self.details = list(details or [])
        if reason:
            info: dict[str, Any] = {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": reason,
                "domain": domain or "googleapis.com",
            }
            if metadata:
                info["metadata"] = metadata
            self.details.insert(0, info)

    def to_json(self, api: str) -> dict[str, Any]:
        """`{"error": {...}}` as this API writes it."""
        error: dict[str, Any] = {"code": self.http, "message": self.message}
        if api in LEGACY:
            error["errors"] = [{"message": self.message, "domain": "global", "reason": self.legacy_reason}]
        if api not in WITHOUT_STATUS or self.status == "UNIMPLEMENTED":
            error["status"] = self.status
        if self.details:
            error["details"] = self.details
        return {"error": error}

    def to_rpc(self) -> dict[str, Any]:
        """google.rpc.Status, as it stands in a long-running operation's `error`."""
        status: dict[str, Any] = {"code": RPC_CODE[self.status], "message": self.message}
        if self.details:
            status["details"] = self.details
        return status


def not_found(message: str, legacy_reason: str = "notFound") -> ApiError:
    """404 NOT_FOUND."""
    return ApiError("NOT_FOUND", message, legacy_reason=legacy_reason)


def already_exists(message: str, legacy_reason: str = "alreadyExists") -> ApiError:
    """409 ALREADY_EXISTS."""
    return ApiError("ALREADY_EXISTS", message, legacy_reason=legacy_reason)


def invalid(message: str, field: str = "", legacy_reason: str = "invalid") -> ApiError:
    """400 INVALID_ARGUMENT, with a google.rpc.BadRequest when a field is named."""
    details = []
    if field:
        violation = {"field": field, "description": message}
        details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}]
    return ApiError("INVALID_ARGUMENT", message, legacy_reason=legacy_reason, details=details)


def failed_precondition(message: str, **more: Any) -> ApiError:
    """400 FAILED_PRECONDITION."""
    return ApiError("FAILED_PRECONDITION", message, **more)


def denied(message: str, **more: Any) -> ApiError:
    """403 PERMISSION_DENIED."""
    return ApiError("PERMISSION_DENIED", message, **more)


def aborted(message: str, **more: Any) -> ApiError:
    """409 ABORTED: a concurrent change; redo the whole read-modify-write (AIP-194)."""
    return ApiError("ABORTED", message, **more)


def condition_not_met(message: str) -> ApiError:
    """412, the answer of storage and compute to a generation, metageneration or fingerprint that no longer holds."""
    return ApiError("FAILED_PRECONDITION", message, http=412, legacy_reason="conditionNotMet")


def unimplemented(method_id: str) -> ApiError:
    """404 with status UNIMPLEMENTED, naming the method: a gap of the sandbox, never mistaken for a missing resource."""
    return ApiError("UNIMPLEMENTED", f"the sandbox has no handler for {method_id}")
