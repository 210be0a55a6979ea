"""IAM policies, read-modify-write: etag and version 3 always, one write a policy, what others put there stays."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from plantctl.errors import ApiFailure
from plantctl.gcp.bundle import Gcp
from plantctl.model.step import Body

ROUNDS = 10


@dataclass(frozen=True, kw_only=True)
class Grant:
    """One role for one member on one resource.

    `kind` is project, account, bucket, secret, repository or job; `resource` the name that its API takes (project id,
    bucket name, `projects/p/serviceAccounts/e`, ...); `member` as in policies (`serviceAccount:e`).
    """

    kind: str
    resource: str
    role: str
    member: str


_METHODS = {
    "project": "cloudresourcemanager.projects",
    "account": "iam.projects.serviceAccounts",
    "secret": "secretmanager.projects.secrets",
    "repository": "artifactregistry.projects.locations.repositories",
    "bucket": "storage.buckets",
}
# getIamPolicy is a GET with a query in these APIs, a POST with a body in the others (discovery)
_BY_QUERY = {"secret": "options_requestedPolicyVersion", "repository": "options_requestedPolicyVersion",
             "account": "options_requestedPolicyVersion", "bucket": "optionsRequestedPolicyVersion"}  # fmt: skip


def read_policy(gcp: Gcp, kind: str, resource: str) -> Body:
    """The policy of a resource, asked for at version 3 so that conditions are not stripped (hazards I07)."""
    method = f"{_METHODS[kind]}.getIamPolicy"
    if kind in _BY_QUERY:
        version: dict[str, Any] = {_BY_QUERY[kind]: 3}
        return gcp.call(method, **_name(kind, resource), **version)
    return gcp.call(method, {"options": {"requestedPolicyVersion": 3}}, **_name(kind, resource))


def missing_grants(gcp: Gcp, grants: tuple[Grant, ...]) -> tuple[Grant, ...]:
    """Those grants that no unconditional binding holds; one read a policy."""
    missing: list[Grant] = []
    for (kind, resource), wanted in _by_policy(grants).items():
        policy = read_policy(gcp, kind, resource)
        missing += [grant for grant in wanted if not holds(policy, grant)]
    return tuple(missing)


def holds(policy: Body, grant: Grant) -> bool:
    """True when the member has the role without a condition."""
    return any(
        binding.get("role") == grant.role
        and grant.member in binding.get("members", [])
        and not binding.get("condition")
        for binding in policy.get("bindings", [])
    )


def add_grants(gcp: Gcp, grants: tuple[Grant, ...]) -> None:
    """Add what is missing, in one write a policy. A concurrent change starts that policy over (hazards I04)."""
    for (kind, resource), wanted in _by_policy(grants).items():
        _add(gcp, kind, resource, wanted)


def _add(gcp: Gcp, kind: str, resource: str, wanted: list[Grant]) -> None:
    for attempt in range(1, ROUNDS + 1):
        policy = read_policy(gcp, kind, resource)
        todo = [grant for grant in wanted if not holds(policy, grant)]
        if not todo:
            return
        if not policy.get("etag"):
            raise ApiFailure(f"the policy of {resource} came without an etag; it is not written blindly", code=0)
        try:
            _write(gcp, kind, resource, _with(policy, todo))
            return
        except ApiFailure as failure:
            # lost answer or lost race: either way the next round reads first
            lost = failure.code == 0 or failure.code >= 500
            if attempt == ROUNDS or not (failure.reference == "conflict-retry" or lost):
                raise
            gcp.clock.sleep(gcp.target.poll_s[0] * attempt)


def _with(policy: Body, grants: list[Grant]) -> Body:
    bindings: list[Any] = [dict(binding) for binding in policy.get("bindings", [])]
    for grant in grants:
        for binding in bindings:
            if binding.get("role") == grant.role and not binding.get("condition"):
                binding["members"] = [*binding.get("members", []), grant.member]
                break
        else:
            bindings.append({"role": grant.role, "members": [grant.member]})
    return {**policy, "version": 3, "bindings": bindings}


def _write(gcp: Gcp, kind: str, resource: str, policy: Body) -> None:
    method = f"{_METHODS[kind]}.setIamPolicy"
    body = policy if kind == "bucket" else {"policy": policy}
    gcp.call(method, body, **_name(kind, resource))


def _name(kind: str, resource: str) -> dict[str, Any]:
    if kind == "bucket":
        return {"bucket": resource}
    return {"resource": f"projects/{resource}" if kind == "project" else resource}


def _by_policy(grants: tuple[Grant, ...]) -> dict[tuple[str, str], list[Grant]]:
    found: dict[tuple[str, str], list[Grant]] = defaultdict(list)
    for grant in grants:
        found[grant.kind, grant.resource].append(grant)
    return found
