"""Templates of Cloud Run revisions: what the server fills in, and what it refuses at once (services, worker pools)."""

from __future__ import annotations

import re

from plantctl.sandbox import errors
from plantctl.sandbox.service import Body, Call
from plantctl.sandbox.services.run import check_account

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
PROBE_DEFAULTS = {"failureThreshold": 3, "periodSeconds": 10, "timeoutSeconds": 1}
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
LARGEST_GI = {1: 4, 2: 8, 4: 16, 6: 24, 8: 32}
"""Memory by CPU (Cloud Run documentation, "memory limits"; hazards U12)."""
LONGEST_S = 3600.0
MAX_CONCURRENCY = 1000
VIOLATION = "Violation in {request}.{path}: {words}"


def filled(call: Call, given: Body, *, serves: bool) -> Body:
    """The template with the defaults that recordings show: 1 CPU, 512 MiB, GEN2, 80 requests at once, 300 s."""
    number = call.world.project_number(call.project)
    template: Body = {"serviceAccount": f"{number}-compute@developer.gserviceaccount.com", **given}
    template["containers"] = [_container(container) for container in template.get("containers", [])]
    if serves:
        template = {"executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2", "timeout": "300s", **template}
        if not template.get("maxInstanceRequestConcurrency"):
            cpu = _cpu(template["containers"][0]) if template["containers"] else 1.0
            template["maxInstanceRequestConcurrency"] = 80 if cpu >= 1 else 1
    return template


def _container(given: Body) -> Body:
    limits = {"cpu": "1000m", "memory": "512Mi", **given.get("resources", {}).get("limits", {})}
    container = {**given, "resources": {**given.get("resources", {}), "limits": limits}}
    for probe in PROBES:
        if given.get(probe):
            # a null action is none at all (recorded exchanges)
            container[probe] = PROBE_DEFAULTS | {k: v for k, v in given[probe].items() if v is not None}
    return container


def check(call: Call, template: Body, *, kind: str, serves: bool) -> None:
    """400, 403 or 404 for what Cloud Run does not even try; `kind` is `service` or `worker_pool`."""
    if not template["containers"]:
        raise violation(kind, "template.containers", "must contain at least one container.")
    for index, container in enumerate(template["containers"]):
        at = f"template.containers[{index}]"
        if not container.get("image"):
            raise violation(kind, f"{at}.image", "must not be empty.")
        _check_resources(kind, at, container)
        for probe in PROBES:
            one = container.get(probe, PROBE_DEFAULTS)
            # equal is taken (recorded exchange), whatever the discovery document says
            if one["timeoutSeconds"] > one["periodSeconds"]:
                raise violation(kind, f"{at}.{probe}.timeoutSeconds", "must not be larger than periodSeconds.")
    if serves:
        _check_serving(kind, template)
    check_account(call, template["serviceAccount"])


def violation(kind: str, path: str, words: str) -> errors.ApiError:
    """400 INVALID_ARGUMENT about a field of the request's resource."""
    request = f"Create{kind.title().replace('_', '')}Request"
    return errors.invalid(VIOLATION.format(request=request, path=f"{kind}.{path}", words=words), f"{kind}.{path}")


def _check_serving(kind: str, template: Body) -> None:
    if not 0 < seconds(template["timeout"]) <= LONGEST_S:
        raise violation(kind, "template.timeout", "must be between 1s and 3600s.")
    concurrency = template["maxInstanceRequestConcurrency"]
    if not 0 < concurrency <= MAX_CONCURRENCY:
        raise violation(kind, "template.maxInstanceRequestConcurrency", "must be between 1 and 1000.")
    if concurrency > 1 and _cpu(template["containers"][0]) < 1:  # hazards U12
        words = "must be 1 when the container has less than 1 CPU."
        raise violation(kind, "template.maxInstanceRequestConcurrency", words)
    scaling = template.get("scaling") or {}
    if scaling.get("minInstanceCount", 0) > (scaling.get("maxInstanceCount") or 100):
        words = "min_instance_count must not be larger than max_instance_count."
        raise violation(kind, "template.scaling", words)


def _check_resources(kind: str, at: str, container: Body) -> None:
    limits = container["resources"]["limits"]
    cpu, memory = _cpu(container), quantity(limits["memory"])
    largest = LARGEST_GI.get(max(1, int(cpu)), 32)
    if memory > largest * 2**30:
        words = f"must be at most {largest}Gi with {limits['cpu']} CPU."
        raise violation(kind, f"{at}.resources.limits.memory", words)


def _cpu(container: Body) -> float:
    return quantity(container["resources"]["limits"]["cpu"])


def quantity(text: str) -> float:
    """`1000m`, `2`, `4Gi`, `512Mi` as a number."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(m|k|M|G|Ki|Mi|Gi)?", str(text))
    if found is None:
        raise errors.invalid(f"Invalid value for resource quantity: {text}", "resources.limits")
    number, unit = float(found.group(1)), found.group(2) or ""
    return number / 1000 if unit == "m" else number * UNITS[unit]


def seconds(text: str) -> float:
    """A duration as JSON writes it, `300s`."""
    return float(str(text).rstrip("s"))
