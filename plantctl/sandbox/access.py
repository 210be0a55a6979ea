"""Who may do what: tokens of the metadata servers, IAM policies in the store, the three IAM methods of a service."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Callable
from typing import Any

from plantctl.sandbox import errors, standard
from plantctl.sandbox.durations import DURATIONS
from plantctl.sandbox.roles import ROLES
from plantctl.sandbox.service import OWNER, Call, Service, World
from plantctl.sandbox.store import Body

TOKEN_SECONDS = 3599
ANYBODY = "allUsers"
"""A caller who shows no token; only a binding of `allUsers` lets him in."""
EMPTY_ETAG = "ACAB"
"""The etag of a policy that was never set (recorded exchanges: a policy with nothing but an etag)."""

ACCOUNT = re.compile(r"^[^@]+@([a-z][a-z0-9-]+)\.iam\.gserviceaccount\.com$")
AGENT = re.compile(r"^service-(\d+)@([a-z0-9-]+)\.iam\.gserviceaccount\.com$")
# service agents that exist only after generateServiceIdentity (recorded exchanges call it first for these)
ON_DEMAND_AGENTS = frozenset({"gcp-sa-secretmanager", "gcp-sa-pubsub", "gcp-sa-cloud-sql"})

# first word of a method id -> first word of its permissions (IAM permissions reference)
PERMISSION_SERVICE = {"sql": "cloudsql", "cloudresourcemanager": "resourcemanager", "cloudbilling": "billing"}
PERMISSION_VERB = {"insert": "create", "patch": "update", "aggregatedList": "list", "addVersion": "add"}
PERMISSION_OF = {
    "logging.entries.write": "logging.logEntries.create",
    "logging.entries.list": "logging.logEntries.list",
    "secretmanager.projects.secrets.addVersion": "secretmanager.versions.add",
}


class Access:
    """Tokens and decisions. Tokens live as long as the sandbox process, as the processes that hold them do."""

    def __init__(self, world_of: Callable[[], World]) -> None:
        self._world_of = world_of
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[str, str, str, float]] = {}

    def mint(self, service_account: str, kind: str, audience: str = "") -> tuple[str, int]:
        """A token for a service account's e-mail, and the seconds it is good for; `kind` is access or identity."""
        now = self._world_of().clock.wall()
        if kind == "identity":
            token = _identity_token(service_account, audience, int(now))
        else:
            token = f"ya29.c.sandbox-{secrets.token_urlsafe(24)}"
        with self._lock:
            self._tokens[token] = (service_account, kind, audience, now + TOKEN_SECONDS)
        return token, TOKEN_SECONDS

    def principal_of(self, token: str) -> str:
        """`serviceAccount:<email>` of a minted token (401 when it has expired); the owner for any other or none."""
        with self._lock:
            found = self._tokens.get(token)
        if found is None:
            return OWNER
        if found[3] < self._world_of().clock.wall():
            raise errors.ApiError("UNAUTHENTICATED", "Request had invalid authentication credentials.")
        return f"serviceAccount:{found[0]}"

    def audience_of(self, token: str) -> str:
        """Audience of a minted identity token, empty for anything else."""
        with self._lock:
            found = self._tokens.get(token)
        return found[2] if found and found[1] == "identity" else ""

    def forget(self) -> None:
        """Drop all tokens."""
        with self._lock:
            self._tokens.clear()

    def allows(self, principal: str, permission: str, resource_key: str) -> bool:
        """Whether a policy on the resource, on a parent of it or on its project grants the permission.

        Bindings with a condition grant nothing here: the sandbox does not evaluate conditions.
        """
        if principal == OWNER:
            return True
        return any(
            self._grants(binding, principal, permission)
            for key in self._chain(resource_key)
            for binding in (self._world_of().store.get(f"iam-policy/{key}") or {}).get("bindings", [])
        )

    def require(self, principal: str, permission: str, resource_key: str) -> None:
        """403 in Google's words where `allows` says no."""
        if not self.allows(principal, permission, resource_key):
            api, _, name = resource_key.partition("/")
            raise errors.denied(
                f"Permission '{permission}' denied on resource '//{api}.googleapis.com/{name}' (or it may not exist).",
                reason="IAM_PERMISSION_DENIED",
                domain="iam.googleapis.com",
                metadata={"permission": permission, "resource": name},
            )

    def account_exists(self, email: str) -> bool:
        """Whether a policy may name this service account now: it exists and other services can see it (hazards I03).

        Accounts of projects that the sandbox does not have, and Google's own agents, are taken as existing.
        """
        world = self._world_of()
        agent = AGENT.match(email)
        if agent and agent.group(2) in ON_DEMAND_AGENTS:
            known = world.project_id(agent.group(1)) != agent.group(1)
            return not known or f"service-agent/{email}" in world.store
        found = ACCOUNT.match(email)
        if found is None or f"cloudresourcemanager/projects/{found.group(1)}" not in world.store:
            return True
        if f"iam/projects/{found.group(1)}/serviceAccounts/{email}" not in world.store:
            return False
        created = world.store.get(f"iam-created/{email}")
        delay = world.clock.real_seconds(DURATIONS["iam.serviceAccount.visible"])
        return created is None or world.clock.wall() >= float(created["wall"]) + delay

    def _chain(self, key: str) -> list[str]:
        parts = key.split("/")
        chain = ["/".join(parts[:n]) for n in range(len(parts), 1, -1)]
        found = re.search(r"/projects/([^/]+)", f"/{key}")
        project = found.group(1) if found else ""
        if not project or project == "_":
            bodies = (self._world_of().store.get(one) for one in chain)
            numbers = (str(body["projectNumber"]) for body in bodies if body and "projectNumber" in body)
            project = next(numbers, "")
        if project:
            chain.append(f"cloudresourcemanager/projects/{self._world_of().project_id(project)}")
        return chain

    def _grants(self, binding: Body, principal: str, permission: str) -> bool:
        if binding.get("condition") or not _names(binding.get("members", []), principal):
            return False
        role = str(binding.get("role", ""))
        if role not in ROLES and role.startswith(("projects/", "organizations/")):
            custom = self._world_of().store.get(f"iam/{role}") or {}
            return not custom.get("deleted") and permission in custom.get("includedPermissions", [])
        allowed, withheld = ROLES.get(role, ((), ()))
        return any(fnmatch.fnmatchcase(permission, p) for p in allowed) and not any(
            fnmatch.fnmatchcase(permission, p) for p in withheld
        )


def permission_of(method_id: str) -> str:
    """The permission that a method needs: `secretmanager.versions.access` for `...secrets.versions.access`."""
    if method_id in PERMISSION_OF:
        return PERMISSION_OF[method_id]
    service, *middle, verb = method_id.split(".")
    collection = middle[-1] if middle else ""
    return f"{PERMISSION_SERVICE.get(service, service)}.{collection}.{PERMISSION_VERB.get(verb, verb)}"


def get_policy(world: World, key: str, requested_version: int = 3) -> Body:
    """The policy on a resource's canonical key; never set: an etag alone. Conditions are hidden below version 3."""
    policy = world.store.get(f"iam-policy/{key}")
    if policy is None:
        return {"etag": EMPTY_ETAG}
    if requested_version < 3 and policy.get("version") == 3:
        policy["version"] = 1
        for binding in policy["bindings"]:
            condition = binding.pop("condition", None)
            if condition:  # as IAM shows them to callers that do not know conditions (IAM policy reference)
                digest = hashlib.sha256(json.dumps(condition, sort_keys=True).encode()).hexdigest()[:20]
                binding["role"] = f"{binding['role']}_withcond_{digest}"
    return policy


def set_policy(world: World, key: str, given: Body, mask: str = "", *, replace: bool = False) -> Body:
    """Replace the policy; 409 ABORTED on a stale etag (hazards I04), 412 for storage; without etag: last one wins.

    `replace`: whatever stands there and whatever etag is given (a policy that the service itself sets).
    """
    current = get_policy(world, key)
    etag = given.get("etag")
    if etag and not replace and standard.stale(etag, current["etag"]):
        if key.startswith("storage/"):
            raise errors.condition_not_met("At least one of the pre-conditions you specified did not hold.")
        raise errors.aborted(
            "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff. "
            f"The request's ETag '{etag}' did not match the current policy's ETag '{current['etag']}'."
        )
    if mask and "bindings" not in mask:
        given = {**given, "bindings": current.get("bindings", [])}
    bindings = _merged(given.get("bindings") or [])
    for binding in bindings:
        _check_members(world, binding)
    conditional = any(binding.get("condition") for binding in bindings)
    if conditional and int(given.get("version") or 0) < 3:
        raise errors.invalid("Policies with conditional role bindings must specify version 3.", "policy.version")
    policy: Body = {"version": 3 if conditional else 1}
    if bindings:
        policy["bindings"] = bindings
    if given.get("auditConfigs"):
        policy["auditConfigs"] = given["auditConfigs"]
    number = world.store.next_number("iam-policy")
    policy["etag"] = base64.b64encode(b"\x07" + number.to_bytes(7, "big")).decode()
    return world.store.put(f"iam-policy/{key}", policy)


def iam_policy_handlers(
    service: Service, ids: tuple[str, str, str], key_of: Callable[[Call], str], *, versions: tuple[str, ...] = ()
) -> None:
    """Register getIamPolicy, setIamPolicy and testIamPermissions (in this order in `ids`).

    `key_of` gives the resource's canonical key, and raises what a missing resource answers.
    """

    def read(call: Call) -> Body:
        asked = call.params.get("options.requestedPolicyVersion")
        asked = asked if asked is not None else call.body.get("options", {}).get("requestedPolicyVersion")
        return get_policy(call.world, key_of(call), int(asked or 1))

    def write(call: Call) -> Body:
        key = key_of(call)
        return set_policy(call.world, key, call.body.get("policy") or {}, str(call.body.get("updateMask", "")))

    def test(call: Call) -> Body:
        key = key_of(call)
        asked = call.body.get("permissions") or call.params.get("permissions") or []
        held = [one for one in asked if call.world.access.allows(call.principal, one, key)]
        return {"permissions": held} if held else {}

    for method_id, handler in zip(ids, (read, write, test), strict=True):
        service.method(method_id, versions=versions)(handler)


def _names(members: list[str], principal: str) -> bool:
    return principal in members or ANYBODY in members or ("allAuthenticatedUsers" in members and principal != ANYBODY)


def _merged(bindings: list[Body]) -> list[Body]:
    merged: dict[str, Body] = {}
    for binding in bindings:
        members = list(dict.fromkeys(binding.get("members") or []))
        if not members:
            continue
        key = json.dumps([binding.get("role"), binding.get("condition")], sort_keys=True)
        if key in merged:
            merged[key]["members"] = list(dict.fromkeys(merged[key]["members"] + members))
        else:
            merged[key] = {**binding, "members": members}
    return list(merged.values())


def _check_members(world: World, binding: Body) -> None:
    role = str(binding.get("role", ""))
    if not re.fullmatch(r"(roles|projects/[^/]+/roles|organizations/[^/]+/roles)/[\w.]+", role):
        raise errors.invalid(f"Role {role} is not supported for this resource.")
    for member in binding["members"]:
        kind, _, who = str(member).partition(":")
        if member in ("allUsers", "allAuthenticatedUsers"):
            continue
        if not who:
            raise errors.invalid(f"The member {member} is of an unknown type. Please set a valid type prefix.")
        if kind == "serviceAccount" and not world.access.account_exists(who):
            raise errors.invalid(f"Service account {who} does not exist.")


def _identity_token(email: str, audience: str, now: int) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {
        "iss": "https://accounts.google.com",
        "aud": audience,
        "email": email,
        "email_verified": True,
        "iat": now,
        "exp": now + TOKEN_SECONDS,
    }
    # not signed by Google: only the sandbox, which keeps the token, takes it
    return f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{part(claims)}.{secrets.token_urlsafe(24)}"
