"""The real gcloud, unchanged, through the sandbox's CONNECT proxy: no endpoint override, Google's own hosts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from plantctl.sandbox.app import App
from tests.sandbox import plane_kit as kit
from tests.sandbox import run_kit
from tests.sandbox.conftest import PROJECT, Sandbox

GCLOUD = shutil.which("gcloud")
pytestmark = [
    pytest.mark.gcloud,
    pytest.mark.dataplane,
    pytest.mark.skipif(GCLOUD is None, reason="gcloud is not installed"),
]
REGION = "us-central1"
Gcloud = Callable[..., Any]


@pytest.fixture(scope="module")
def box(plane_app: App) -> Iterator[Sandbox]:
    """One world for all tests of this file."""
    box = Sandbox(plane_app)
    box.reset()
    yield box
    box.close()


@pytest.fixture(scope="module")
def gcloud(box: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Gcloud:
    """Runs a command and gives what it printed, read as JSON; the command fails the test when it fails."""
    folder = tmp_path_factory.mktemp("gcloud")
    (folder / "token").write_text("any")
    proxy = urlsplit(box.app.endpoints["proxy"])
    own = {
        "CLOUDSDK_CONFIG": str(folder),
        "CLOUDSDK_PROXY_TYPE": "http",
        "CLOUDSDK_PROXY_ADDRESS": str(proxy.hostname),
        "CLOUDSDK_PROXY_PORT": str(proxy.port),
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": box.app.endpoints["ca"],
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(folder / "token"),
        "CLOUDSDK_CORE_PROJECT": PROJECT,
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
    }
    env = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()} | own

    def run(words: str, *more: str, parse: bool = True) -> Any:
        argv = [str(GCLOUD), *words.split(), *more, *(["--format", "json"] if parse else [])]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, f"{' '.join(argv[1:])}: {done.stderr[-2000:]}"
        return json.loads(done.stdout or "null") if parse else done.stdout

    return run


@pytest.fixture(scope="module")
def image(box: Sandbox) -> str:
    """The toy image by digest."""
    return kit.prepare(box)


def together(gcloud: Gcloud, *commands: str) -> list[Any]:
    """Several commands that do not need each other, two at a time: most of their time is gcloud's own start."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(gcloud, commands))


def names(items: list[dict[str, Any]]) -> set[str]:
    """Last words of the names."""
    return {item["name"].rsplit("/", 1)[-1] for item in items}


def test_project_accounts_and_policy(gcloud: Gcloud) -> None:
    email = f"gcloud-sa@{PROJECT}.iam.gserviceaccount.com"
    create = "iam service-accounts create gcloud-sa --display-name made"
    enabled, created = together(gcloud, "services list --enabled", create)
    assert {"run.googleapis.com", "sqladmin.googleapis.com"} <= {s["config"]["name"] for s in enabled}
    assert created["email"] == email
    binding = f"{PROJECT} --member serviceAccount:{email} --role roles/run.viewer --condition=None"
    added, accounts = together(gcloud, f"projects add-iam-policy-binding {binding}", "iam service-accounts list")
    assert email in {account["email"] for account in accounts}
    assert {"role": "roles/run.viewer", "members": [f"serviceAccount:{email}"]} in added["bindings"]
    gcloud(f"projects remove-iam-policy-binding {binding}")
    left = gcloud(f"projects get-iam-policy {PROJECT}")
    assert "roles/run.viewer" not in {b["role"] for b in left.get("bindings", [])}


def test_secrets(gcloud: Gcloud, tmp_path: Path) -> None:
    (tmp_path / "value").write_text("hush")
    gcloud("secrets create GCLOUD_SECRET --replication-policy automatic")
    added = gcloud("secrets versions add GCLOUD_SECRET --data-file", str(tmp_path / "value"))
    assert added["name"].endswith("/secrets/GCLOUD_SECRET/versions/1")
    access = "secrets versions access latest --secret GCLOUD_SECRET"
    listed, _ = together(gcloud, "secrets list", f"{access} --out-file {tmp_path / 'read'}")
    assert "GCLOUD_SECRET" in names(listed)
    assert (tmp_path / "read").read_text() == "hush"


def test_network(gcloud: Gcloud) -> None:
    gcloud("compute networks create gnet --subnet-mode custom")
    nat = "gnat --router grouter --auto-allocate-nat-external-ips --nat-all-subnet-ip-ranges"
    connector = "gconn --network gnet --range 10.8.0.0/28 --min-instances 2 --max-instances 3"
    together(
        gcloud,
        f"compute routers create grouter --network gnet --region {REGION}",
        "compute addresses create gpsa --global --purpose VPC_PEERING --prefix-length 16 --network gnet",
        f"compute networks subnets create gsub --network gnet --range 10.20.0.0/24 --region {REGION}",
        "compute firewall-rules create gfw --network gnet --allow tcp:22,icmp --source-ranges 10.0.0.0/8",
        f"compute networks vpc-access connectors create {connector} --region {REGION}",
    )
    together(
        gcloud,
        f"compute routers nats create {nat} --region {REGION}",
        "services vpc-peerings connect --service servicenetworking.googleapis.com --ranges gpsa --network gnet",
    )
    network, described, networks, rules, subnets, connectors = together(
        gcloud,
        "compute networks describe gnet",
        f"compute routers nats describe gnat --router grouter --region {REGION}",
        "compute networks list",
        "compute firewall-rules list",
        "compute networks subnets list --filter name=gsub",
        f"compute networks vpc-access connectors list --region {REGION}",
    )
    assert [p["state"] for p in network["peerings"]] == ["ACTIVE"]
    assert described["natIpAllocateOption"] == "AUTO_ONLY"
    assert "gnet" in names(networks)
    assert "gfw" in names(rules)
    assert [subnet["ipCidrRange"] for subnet in subnets] == ["10.20.0.0/24"]
    assert [(one["state"], one["maxThroughput"]) for one in connectors] == [("READY", 300)]


def test_storage(gcloud: Gcloud, tmp_path: Path) -> None:
    bucket = f"gs://{PROJECT}-gcloud"
    gcloud(f"storage buckets create {bucket} --location {REGION} --uniform-bucket-level-access", parse=False)
    assert f"{PROJECT}-gcloud" in names(gcloud("storage buckets list"))
    (tmp_path / "file").write_text("bytes")
    gcloud("storage cp", str(tmp_path / "file"), f"{bucket}/a/file", parse=False)
    assert gcloud(f"storage cat {bucket}/a/file", parse=False) == "bytes"


def test_images_jobs_builds_and_logs(box: Sandbox, gcloud: Gcloud, image: str) -> None:
    kit.make_job(box, "toy", image)
    described, images, jobs, job, builds, execution = together(
        gcloud,
        f"artifacts repositories describe plant --location {REGION}",
        f"artifacts docker images list {REGION}-docker.pkg.dev/{PROJECT}/plant --include-tags",
        "run jobs list",
        f"run jobs describe toy --region {REGION}",
        f"builds list --region {REGION}",
        f"run jobs execute toy --region {REGION} --wait",
    )
    assert described["registryUri"] == f"{REGION}-docker.pkg.dev/{PROJECT}/plant"
    assert [f"{found['package']}@{found['version']}" for found in images] == [image]
    assert [one["metadata"]["name"] for one in jobs] == ["toy"]
    assert job["spec"]["template"]["spec"]["template"]["spec"]["containers"][0]["image"] == image
    assert [build["status"] for build in builds] == ["SUCCESS"]
    assert execution["status"]["succeededCount"] == 1
    listed, entries = together(
        gcloud,
        f"run jobs executions list --job toy --region {REGION}",
        "logging read resource.type=cloud_run_job",
    )
    assert [one["metadata"]["name"] for one in listed] == [execution["metadata"]["name"]]
    assert "plain line" in {entry.get("textPayload") for entry in entries}
    with pytest.raises(AssertionError, match="The execution failed"):
        gcloud(f"run jobs execute toy --region {REGION} --args fail --wait")


def test_services_and_their_traffic(box: Sandbox, gcloud: Gcloud, image: str) -> None:
    server = run_kit.image(box)
    first = run_kit.made(box, "shown", run_kit.template(server))
    second = run_kit.made(box, "shown", run_kit.template(server, env=[{"name": "GREETING", "value": "again"}]))
    old, new = (one["latestReadyRevision"].rsplit("/", 1)[1] for one in (first, second))
    described, listed, revisions, revision = together(
        gcloud,
        f"run services describe shown --region {REGION}",
        "run services list",
        f"run revisions list --service shown --region {REGION}",
        f"run revisions describe {old} --region {REGION}",
    )
    assert described["status"]["url"] == second["uri"]
    assert {c["type"]: c["status"] for c in described["status"]["conditions"]} == {
        "Ready": "True",
        "ConfigurationsReady": "True",
        "RoutesReady": "True",
    }
    assert described["spec"]["template"]["spec"]["containers"][0]["image"] == server
    assert "shown" in {one["metadata"]["name"] for one in listed}
    assert [one["metadata"]["name"] for one in revisions] == [new, old]
    assert revision["metadata"]["name"] == old
    traffic = gcloud(f"run services update-traffic shown --region {REGION} --to-revisions {old}=100")
    assert [target["revisionName"] for target in traffic] == [old]
    with run_kit.caller(box) as session:
        answer = session.get(second["uri"], timeout=30).json()
        assert answer["env"]["K_REVISION"] == old
    invoker = "--member allUsers --role roles/run.invoker"
    policy = gcloud(f"run services add-iam-policy-binding shown --region {REGION} {invoker}")
    assert policy["bindings"] == [{"role": "roles/run.invoker", "members": ["allUsers"]}]
    gcloud(f"run services delete shown --region {REGION}", parse=False)
    assert box.call("GET", f"{run_kit.SERVICES}/shown").status_code == 404


def test_scheduler_and_alerts(box: Sandbox, gcloud: Gcloud, tmp_path: Path) -> None:
    email = f"gcloud-cron@{PROJECT}.iam.gserviceaccount.com"
    box.ok("POST", f"iam/v1/projects/{PROJECT}/serviceAccounts", {"accountId": "gcloud-cron"})
    uri = f"https://pubsub.googleapis.com/v1/projects/{PROJECT}/topics/nightly"
    made = gcloud(
        f"scheduler jobs create http nightly --location {REGION} --http-method put --uri {uri} --message-body {{}}"
        f" --time-zone Asia/Kolkata --oauth-service-account-email {email}",
        "--schedule=0 3 * * *",
    )
    assert made["scheduleTime"].endswith("T21:30:00.000000Z")
    gcloud(f"scheduler jobs run nightly --location {REGION}")
    run_kit.until(lambda: "status" in box.ok("GET", f"cloudscheduler/v1/{made['name']}"))
    condition = {
        "displayName": "c",
        "conditionThreshold": {
            "filter": 'metric.type="run.googleapis.com/request_count" AND resource.type="cloud_run_revision"',
            "comparison": "COMPARISON_GT",
            "duration": "0s",
        },
    }
    (tmp_path / "policy.json").write_text(json.dumps({"displayName": "p", "combiner": "OR", "conditions": [condition]}))
    listed, described, channel, policy = together(
        gcloud,
        f"scheduler jobs list --location {REGION}",
        f"scheduler jobs describe nightly --location {REGION}",
        "beta monitoring channels create --type=email --display-name=mail --channel-labels=email_address=a@example.com",
        f"alpha monitoring policies create --policy-from-file {tmp_path / 'policy.json'}",
    )
    assert [one["name"] for one in listed] == [made["name"]]
    # the account may nothing yet
    assert described["status"] == {"code": 7}
    assert described["lastAttemptTime"]
    assert channel["labels"] == {"email_address": "a@example.com"}
    assert policy["enabled"] is True


def test_memorystore(box: Sandbox, gcloud: Gcloud) -> None:
    gcloud(f"redis instances create gcache --region {REGION} --tier standard --size 1 --enable-auth")
    listed, described, auth = together(
        gcloud,
        f"redis instances list --region {REGION}",
        f"redis instances describe gcache --region {REGION}",
        f"redis instances get-auth-string gcache --region {REGION}",
    )
    assert [(one["name"].rsplit("/", 1)[-1], one["state"]) for one in listed] == [("gcache", "READY")]
    assert (described["port"], described["redisVersion"], described["tier"]) == (6379, "REDIS_7_0", "STANDARD_HA")
    assert len(auth["authString"]) == 36
    gcloud(f"redis instances failover gcache --region {REGION} --data-protection-mode limited-data-loss")
    policy = "--update-redis-config maxmemory-policy=volatile-ttl"
    changed = gcloud(f"redis instances update gcache --region {REGION} {policy}")
    assert changed["currentLocationId"] != described["currentLocationId"]
    assert changed["redisConfigs"] == {"maxmemory-policy": "volatile-ttl"}
    gcloud(f"redis instances delete gcache --region {REGION}")
    assert gcloud(f"redis instances list --region {REGION}") == []
