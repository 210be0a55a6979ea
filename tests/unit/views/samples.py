"""A plan, a checklist and a run with one of everything, titles and values as long as real ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from plantctl.errors import ApiFailure
from plantctl.model.events import (
    ApplyStarted,
    Event,
    ItemChecked,
    ItemFinished,
    ItemStarted,
    Note,
    OperationFinished,
    OperationPolled,
    OperationStarted,
    Retried,
    RunFinished,
    RunStarted,
    VerifyStarted,
)
from plantctl.model.plan import Plan, PlannedItem
from plantctl.model.secret import Secret
from plantctl.model.status import HistoryLine, ItemStatus, LockState, RunRecord, Status, StatusReport
from plantctl.model.step import Change, Evidence, Finding, Later, Outcome, Verdict

AT = datetime(2026, 11, 23, 10, 11, 12, tzinfo=UTC)
HIDDEN = "correct horse battery staple"

SQL, TIER, USER = "database.instance.create", "database.instance.tier", "database.instance.users"
PASSWORD, REVIEW, SEED = "predeploy.secret.database_password", "security.audit.review_iam", "database.init.seed"

CHANGES = (
    Change(field="settings.tier", live="db-custom-1-3840", desired="db-custom-2-8192", restarts=True),
    Change(field="settings.ipConfiguration.privateNetwork", desired=Later("predeploy.network.vpc", "selfLink")),
    Change(field="settings.databaseFlags", live=[{"name": "max_connections", "value": "100"}], desired=[]),
    Change(field="password", live=None, desired=HIDDEN, sensitive=True),
    Change(field="rootPassword", live="x", desired=Secret(HIDDEN)),
)


def finding(verdict: Verdict, *changes: Change, reason: str = "", hint: str = "") -> Finding:
    return Finding(verdict=verdict, changes=changes, reason=reason, hint=hint, facts={"token": HIDDEN})


def plan() -> Plan:
    refused = ApiFailure(
        f"{SEED}: 403 PERMISSION_DENIED on sqladmin.databases.list",
        cause="the caller lacks cloudsql.databases.list on projects/waooaw-prod",
        hint="plantctl phase run --only predeploy.project.iam",
    )
    return Plan(
        items=(
            PlannedItem(
                id=SQL, title="Create Cloud SQL PostgreSQL 15 instance", expect_s=840,
                finding=finding(Verdict.MISSING, Change(field="databaseVersion", desired="POSTGRES_15"), CHANGES[1]),
            ),
            PlannedItem(
                id=TIER, title="Configure machine type", expect_s=300, finding=finding(Verdict.DRIFTED, *CHANGES)
            ),
            PlannedItem(id=USER, title="Create roles", finding=finding(Verdict.UNKNOWN, reason=f"after {SQL}")),
            PlannedItem(
                id=PASSWORD, title="DATABASE_PASSWORD", finding=finding(Verdict.IN_PLACE), evidence=True,
                pulled_in=True,
            ),
            PlannedItem(
                id="predeploy.network.nat", title="Setup Cloud NAT", pulled_in=True, expect_s=20,
                finding=finding(Verdict.FOREIGN, Change(field="labels", live={}, desired={"managed-by": "plantctl"}),
                                reason="it is there, and plantctl did not make it"),
            ),
            PlannedItem(
                id="database.instance.database", title="Create database `plant_db`",
                finding=finding(Verdict.CONFLICT, reason="plant_db was there and is gone; it held data",
                                hint="plantctl phase run database --recreate plant_db"),
            ),
            PlannedItem(id=SEED, title="Create default seed data", error=refused),
            PlannedItem(id=REVIEW, title="Review IAM", form="attestation", question="Who reviewed the IAM bindings?"),
            PlannedItem(id="cache.instance.create", title="Create Redis", form="no-step"),
            PlannedItem(id="database.instance.dr_replica", title="Create a replica", form="not-applicable",
                        finding=finding(Verdict.UNKNOWN, reason="database.dr_replica is off")),
        ),
        requests=23,
        expect_s=1160,
        critical_path_s=1140,
        critical_path=(SQL, TIER),
    )  # fmt: skip


def report() -> StatusReport:
    def line(item: str, title: str, status: Status = Status.PENDING, note: str = "", **words: object) -> ItemStatus:
        group = item.rpartition(".")[0]
        since = None if status is Status.PENDING else AT
        return ItemStatus(
            id=item, title=title, phase=item.split(".")[0], group=group, status=status, note=note, since=since,
            by="ada" if since else "", **words,  # type: ignore[arg-type]
        )  # fmt: skip

    seen = ("PostgreSQL 15.8 answers from inside the network over TLS 1.3", "job plant-ops-x7k2p")
    return StatusReport(
        environment="production",
        target="gcp",
        items=(
            line(PASSWORD, "DATABASE_PASSWORD", Status.VERIFIED, evidence=("version 3 is enabled",)),
            line(SQL, "Create Cloud SQL PostgreSQL 15 instance", Status.VERIFIED, evidence=seen, needs=(PASSWORD,)),
            line(TIER, "Configure machine type (db-custom-2-8192)", Status.BLOCKED, "changing it interrupts service"),
            line(USER, "Create the owner and application roles", Status.STALE, "evidence is older than 30 days",
                 added=True),
            line(SEED, "Create default seed data"),
            line("cache.instance.create", "Create Cloud Memorystore Redis instance", note="no step yet"),
            line(REVIEW, "Review IAM assignments quarterly", Status.WAITING, "Who reviewed the IAM bindings?"),
        ),
    )  # fmt: skip


def history() -> tuple[HistoryLine, ...]:
    return (
        HistoryLine(seq=1, run="r", item=SQL, kind="intent", at=AT, by="ada", note="make databaseVersion"),
        HistoryLine(seq=2, run="r", item=SQL, kind="changed", at=AT + timedelta(minutes=14), by="ada",
                    evidence=("PostgreSQL 15.8 answers from inside the network over TLS 1.3",), where="job plant-ops"),
    )  # fmt: skip


def runs() -> tuple[RunRecord, ...]:
    return (
        RunRecord(id="20261123T101112-4f2a91", command="phase run all", by="ada", host="h", pid=7, started=AT),
        RunRecord(id="20261122T101112-000000", command="phase run database --allow-restart", by="ada", host="h", pid=6,
                  started=AT - timedelta(days=1), finished=AT - timedelta(hours=23), outcome="succeeded",
                  totals={"changed": 3}),
    )  # fmt: skip


def lock(held: bool) -> LockState:
    return LockState(held=held, by="ada", host="h", pid=7, since="2026-11-23T10:11:12Z", what="phase run all")


def run() -> tuple[Event, ...]:
    """The events of a run that changes one item, finds one, fails one, blocks two and waits for a person."""
    operation = "projects/waooaw-prod/operations/8a7f0e52-1f5e-4d3e-9a2e-cafe00000001"
    insert = "sql.instances.insert"

    def at(seconds: float) -> datetime:
        return AT + timedelta(seconds=seconds)

    evidence = Evidence(words=("PostgreSQL 15.8 answers from inside the network",), where="job plant-ops")
    return (
        RunStarted(at=at(0), run="r1", items=(PASSWORD, SQL, TIER, USER, SEED, REVIEW), pulled_in=(PASSWORD,),
                   target="gcp waooaw-prod"),
        ItemStarted(at=at(0), item=PASSWORD, title="DATABASE_PASSWORD", expect_s=2),
        ItemChecked(at=at(0.2), item=PASSWORD, finding=finding(Verdict.IN_PLACE)),
        ItemFinished(at=at(0.3), item=PASSWORD, outcome=Outcome.UNCHANGED, seconds=0.3, evidence=evidence),
        ItemStarted(at=at(1), item=SQL, title="Create Cloud SQL PostgreSQL 15 instance", expect_s=840),
        ItemChecked(at=at(1.2), item=SQL, finding=finding(Verdict.MISSING, *CHANGES)),
        ApplyStarted(at=at(1.3), item=SQL, changes=CHANGES[:2]),
        Retried(at=at(1.4), item=SQL, method_id=insert, why="503, read back first", delay_s=1.5),
        OperationStarted(at=at(3), item=SQL, operation=operation, method_id=insert, expect_s=840),
        OperationPolled(at=at(30), item=SQL, operation=operation, elapsed_s=27, expect_s=840),
        OperationPolled(at=at(70), item=SQL, operation=operation, elapsed_s=67, expect_s=840),
        OperationFinished(at=at(800), item=SQL, operation=operation, method_id=insert, seconds=797),
        VerifyStarted(at=at(801), item=SQL),
        ItemFinished(at=at(810), item=SQL, outcome=Outcome.CHANGED, seconds=809, evidence=evidence),
        Note(at=at(811), item=TIER, text="log lines of the job did not arrive; its exit code is the verdict"),
        ItemFinished(at=at(812), item=TIER, outcome=Outcome.FAILED, seconds=1, reference="operation-failed",
                     message=f"{TIER}: the operation ended with INTERNAL_ERROR", cause="settings.tier: a -> b",
                     hint="plantctl phase run --only " + TIER),
        ItemFinished(at=at(812), item=USER, outcome=Outcome.BLOCKED, seconds=0, reference="needs-not-in-place",
                     message=f"{USER} needs {TIER} (failed)", hint=f"settle {TIER} first"),
        ItemFinished(at=at(812), item=SEED, outcome=Outcome.BLOCKED, seconds=0, reference="needs-not-in-place",
                     message=f"{SEED} needs {USER} (blocked)", hint=f"settle {USER} first"),
        ItemFinished(at=at(812), item=REVIEW, outcome=Outcome.WAITING, seconds=0,
                     message="Who reviewed the IAM bindings, and where is the record?",
                     hint=f"plantctl item attest {REVIEW} --note '<who, where the record is>'"),
        RunFinished(at=at(813), run="r1", outcome="failed", changed=1, unchanged=1, failed=1, blocked=2, waiting=1,
                    writes=2, requests=41, duration_s=813.21, critical_path_s=797),
    )  # fmt: skip
