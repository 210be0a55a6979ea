"""Every error that plantctl raises on purpose; imports nothing of ours.

PlantctlError                 message, cause, hint; exit 1
  UsageError                  unknown phase, item, key or value; exit 2
    ConfigError               plant.toml or an environment variable
  ChecklistError              a checklist page does not parse
  JournalError                the journal cannot be read or written
  LockHeld                    another process writes to this plant; exit 5
  TargetError                 no credentials, wrong project, sandbox down
  ApiFailure                  an answer of Google's that ends the item (see gcp/advice.py)
    UnknownOutcome            no answer to a write, and reading back did not settle it
    OperationFailed           a long-running operation ended with an error
    DeadlineExceeded          a wait ran out of time; the work goes on in the cloud
  StepConflict                immutable drift, foreign resource, dropped data; exit 4
  StepBlocked                 a change that needs a flag (`--allow-restart`, `--recreate`); exit 4
  ProbeFailed                 the data plane contradicts the control plane
  GateFailed                  SLO, scan or policy; exit 6
  Interrupted                 SIGINT or SIGTERM; exit 130 or 143
"""

from __future__ import annotations


class PlantctlError(Exception):
    """What failed, why, and what to type.

    `reference` is kebab-case and has a heading in docs/troubleshooting.md; `message` names things and numbers;
    `cause` is what is known of the reason; `hint` is the next command to type.
    """

    reference = "plantctl-error"
    exit_code = 1

    def __init__(self, message: str, *, cause: str = "", hint: str = "", reference: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.hint = hint
        if reference:
            self.reference = reference


class UsageError(PlantctlError):
    """A word that plantctl does not know, with the ones it does."""

    reference = "usage"
    exit_code = 2


class ConfigError(UsageError):
    """A key or value in plant.toml or the environment that cannot be used."""

    reference = "configuration"


class ChecklistError(PlantctlError):
    """A checklist page that does not parse; names file and line."""

    reference = "checklist-unreadable"


class JournalError(PlantctlError):
    """The journal cannot be opened, read or written (damaged, newer schema, disk full)."""

    reference = "journal-unusable"


class LockHeld(PlantctlError):
    """Another process writes to this plant."""

    reference = "lock-held"
    exit_code = 5


class TargetError(PlantctlError):
    """Calls cannot be made at all: no credentials, wrong project, sandbox down."""

    reference = "target-unusable"


class ApiFailure(PlantctlError):
    """An answer of Google's that ends the item.

    `code` is the HTTP status (0: no answer), `status` the google.rpc code name, `reason` ErrorInfo's or the legacy
    `errors[].reason`, `method_id` Google's discovery id.
    """

    reference = "api-failure"

    def __init__(
        self,
        message: str,
        *,
        cause: str = "",
        hint: str = "",
        reference: str = "",
        code: int = 0,
        status: str = "",
        reason: str = "",
        method_id: str = "",
    ) -> None:
        super().__init__(message, cause=cause, hint=hint, reference=reference)
        self.code = code
        self.status = status
        self.reason = reason
        self.method_id = method_id


class UnknownOutcome(ApiFailure):
    """No answer to a write, and reading back did not settle whether it happened."""

    reference = "unknown-outcome"


class OperationFailed(ApiFailure):
    """A long-running operation ended with an error."""

    reference = "operation-failed"


class DeadlineExceeded(ApiFailure):
    """A wait ran out of time; the operation goes on in the cloud."""

    reference = "deadline-exceeded"


class StepConflict(PlantctlError):
    """Immutable drift, a foreign resource, or data that was there and is gone: a person decides."""

    reference = "conflict"


class StepBlocked(PlantctlError):
    """A change that is made only with a typed flag."""

    reference = "blocked"
    exit_code = 4


class ProbeFailed(PlantctlError):
    """The data plane contradicts what the control plane says."""

    reference = "probe-failed"


class GateFailed(PlantctlError):
    """A gate (SLO, scan, policy) did not pass."""

    reference = "gate-failed"
    exit_code = 6


class Interrupted(PlantctlError):
    """SIGINT (130) or SIGTERM (143) stopped the run; the journal knows where."""

    reference = "interrupted"
    exit_code = 130
