"""A Cloud Run of one service in memory: revisions come up or fail, traffic moves, addresses answer. For release tests.

It knows what services.patch and revisions mean (run v2 discovery), nothing of how plantctl uses them.
"""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from typing import Any

from plantctl.errors import ApiFailure
from plantctl.gcp.bundle import Gcp
from plantctl.gcp.target import Target
from plantctl.model.step import Body
from tests.steps.world import Clock, Past, Recorder

SERVICE = "projects/waooaw-prod/locations/us-central1/services/plant-backend"
URI = "https://plant-backend-x.a.run.app"
IMAGE = "us-central1-docker.pkg.dev/waooaw-prod/plant/plant-backend"
LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"


def digest(version: str) -> str:
    """The digest that a version's image has here."""
    return "sha256:" + version.replace(".", "").replace("v", "0").ljust(64, "0")


class Run(Gcp):
    """The seam to Google with that service behind it. `versions` are pushed; those in `broken` do not start.

    `sick` versions start and answer 503; `critical` ones have a finding with a fix; `errors` are lines of the newest
    revision. `schema` is the database's. `writes` are the masks that were sent. `races` is how often a write loses a
    race first.
    """

    def __init__(self, *versions: str) -> None:
        self.target = RunTarget(
            kind="sandbox", project="waooaw-prod", region="us-central1", poll_s=(1.0, 1.0), run=self
        )
        self.recorder: Any = Recorder()
        self.memory = Past({})
        self.clock = Clock()
        self.versions = set(versions)
        self.broken: set[str] = set()
        self.sick: set[str] = set()
        self.critical: set[str] = set()
        self.errors: list[str] = []
        self.races = 0
        self.schema = "0010"
        self.writes: list[str] = []
        self.revisions: list[Body] = []
        self.service: Body = {"name": SERVICE, "uri": URI, "etag": "0", "traffic": [], "template": {}}

    def begin(self, version: str) -> None:
        """The service serves this version, as `phase run` leaves it."""
        container = {"image": f"{IMAGE}@{digest(version)}", "env": [{"name": "A", "value": "1"}]}
        self._patch({"template": {"containers": [container], "serviceAccount": "s"}})

    def call(self, method_id: str, body: Body | None = None, **params: Any) -> Body:
        """Answers what a release asks."""
        words = method_id.split(".")
        if method_id == "run.projects.locations.services.get":
            return copy.deepcopy(self.service)
        if method_id == "run.projects.locations.services.patch":
            return self._written(body or {}, str(params["updateMask"]))
        if words[-2] == "revisions":
            found = [one for one in self.revisions if words[-1] == "list" or one["name"] == params["name"]]
            if words[-1] == "list":
                return {"revisions": found}
            if not found:
                raise ApiFailure("Not found", code=404, method_id=method_id)
            return dict(found[0])
        if words[-2] == "tags":
            return self._tags(words[-1], str(params.get("name") or params["parent"]))
        if method_id == "containeranalysis.projects.occurrences.list":
            return self._scan(str(params["filter"]))
        assert method_id == "logging.entries.list", method_id
        return {"entries": [{"severity": "ERROR", "textPayload": line} for line in self.errors]}

    def answered(self, host: str, path: str) -> tuple[int, Body]:
        """Who answers at an address, and what."""
        tags = {status.get("tag"): status for status in self.service["trafficStatuses"]}
        if host == URI.removeprefix("https://"):
            shares = [status for status in self.service["trafficStatuses"] if status.get("percent")]
            name = max(shares, key=lambda status: int(status["percent"]))["revision"]
        else:
            name = tags[host.split("---")[0]]["revision"]
        revision = next(one for one in self.revisions if one["name"].endswith(f"/{name}"))
        sick = any(digest(version) in revision["containers"][0]["image"] for version in self.sick)
        checks = {"migrations": {"current": self.schema, "head": "0010"}}
        return (503 if sick and path != "/version" else 200), {"revision": name, "version": "0.1.0", "checks": checks}

    def _written(self, body: Body, mask: str) -> Body:
        if self.races:
            self.races -= 1
            self.service["etag"] += "x"
        if body["etag"] != self.service["etag"]:
            raise ApiFailure("Conflict", code=409, status="ABORTED", reference="conflict-retry")
        self.writes.append(mask)
        assert sorted(mask.split(",")) == sorted(set(body) - {"etag"})
        failed = self._patch({field: body[field] for field in mask.split(",")})
        done: Body = {"name": "projects/p/locations/l/operations/o", "done": True}
        return {**done, "error": {"code": 9, "message": "not ready"}} if failed else done

    def _patch(self, fields: Body) -> bool:
        """True when a revision was made that does not start."""
        anew = "template" in fields and fields["template"] != self.service["template"]
        self.service |= copy.deepcopy(fields)
        self.service["etag"] += "1"
        failed = False
        if anew:
            failed = self._revision(fields["template"])
        latest = self.service["latestReadyRevision"].rsplit("/", 1)[1]
        self.service["trafficStatuses"] = [
            {
                **target,
                "revision": target.get("revision", latest),
                **({"uri": f"https://{target['tag']}---x.a.run.app"} if "tag" in target else {}),
            }
            for target in self.service["traffic"] or [{"type": LATEST, "percent": 100}]
        ]
        return failed

    def _revision(self, template: Body) -> bool:
        name = f"{SERVICE}/revisions/plant-backend-{len(self.revisions) + 1:05d}"
        failed = any(digest(version) in template["containers"][0]["image"] for version in self.broken)
        state: Body = {"type": "Ready", "state": "CONDITION_FAILED" if failed else "CONDITION_SUCCEEDED"}
        if failed:
            state |= {"revisionReason": "HEALTH_CHECK_CONTAINER_ERROR", "message": "failed to start"}
        made = {**copy.deepcopy(template), "name": name, "conditions": [state]}
        made["createTime"] = f"2026-11-23T10:{len(self.revisions):02d}:00Z"
        self.revisions.append(made)
        self.service["latestCreatedRevision"] = name
        self.service["terminalCondition"] = state
        if not failed:
            self.service["latestReadyRevision"] = name
        return failed

    def _tags(self, verb: str, name: str) -> Body:
        if verb == "list":
            rows = [{"name": f"{name}/tags/{v}", "version": f"x/versions/{digest(v)}"} for v in sorted(self.versions)]
            return {"tags": rows}
        version = name.rsplit("/", 1)[1]
        if version not in self.versions:
            raise ApiFailure("Not found", code=404)
        return {"name": name, "version": f"x/versions/{digest(version)}"}

    def _scan(self, wanted: str) -> Body:
        if 'kind="DISCOVERY"' in wanted:
            return {"occurrences": [{"discovery": {"analysisStatus": "FINISHED_SUCCESS"}}]}
        bad = any(digest(version) in wanted for version in self.critical)
        found = {"effectiveSeverity": "CRITICAL", "fixAvailable": True, "shortDescription": "CVE-2026-0001"}
        return {"occurrences": [{"vulnerability": found}] if bad else []}


class RunTarget(Target):
    """A target whose addresses are answered by that service."""

    def __init__(self, *, run: Run, **fields: Any) -> None:
        super().__init__(**fields)
        object.__setattr__(self, "run", run)

    def web(self) -> Any:
        """A session that asks the service in memory."""
        run: Run = self.run  # type: ignore[attr-defined]

        def request(method: str, url: str, **_: Any) -> Any:
            host, path = url.removeprefix("https://").split("/", 1)
            status, body = run.answered(host, f"/{path}".split("?")[0])
            return SimpleNamespace(status_code=status, content=json.dumps(body).encode())

        return SimpleNamespace(request=request)
