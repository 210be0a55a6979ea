"""Database flags of Cloud SQL for PostgreSQL: what `flags.list` answers, and what an instance's settings may hold."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from plantctl.sandbox.store import Body

# One line a flag: name (! = needs a restart), type, range or values. Names from Google's page on PostgreSQL flags;
# ranges and values as PostgreSQL 15's pg_settings has them. Other versions: a few more, a few less.
TABLE = """
auto_explain.log_analyze bool
auto_explain.log_buffers bool
auto_explain.log_format enum text,xml,json,yaml
auto_explain.log_min_duration integer -1..2147483647
auto_explain.log_nested_statements bool
auto_explain.log_timing bool
auto_explain.log_triggers bool
auto_explain.log_verbose bool
auto_explain.sample_rate float 0..1
autovacuum bool
autovacuum_analyze_scale_factor float 0..100
autovacuum_analyze_threshold integer 0..2147483647
autovacuum_freeze_max_age! integer 100000..2000000000
autovacuum_max_workers! integer 1..262143
autovacuum_multixact_freeze_max_age! integer 10000..2000000000
autovacuum_naptime integer 1..2147483
autovacuum_vacuum_cost_delay float -1..100
autovacuum_vacuum_cost_limit integer -1..10000
autovacuum_vacuum_insert_scale_factor float 0..100
autovacuum_vacuum_insert_threshold integer -1..2147483647
autovacuum_vacuum_scale_factor float 0..100
autovacuum_vacuum_threshold integer 0..2147483647
autovacuum_work_mem integer -1..2147483647
backend_flush_after integer 0..256
bgwriter_delay integer 10..10000
bgwriter_flush_after integer 0..256
bgwriter_lru_maxpages integer 0..1073741823
bgwriter_lru_multiplier float 0..10
checkpoint_completion_target float 0..1
checkpoint_timeout integer 30..86400
checkpoint_warning integer 0..2147483647
client_connection_check_interval integer 0..2147483647
cloudsql.allow_passwordless_local_connections bool
cloudsql.enable_anon! bool
cloudsql.enable_auto_explain! bool
cloudsql.enable_google_ml_integration bool
cloudsql.enable_index_advisor! bool
cloudsql.enable_maintain_on_role_members bool
cloudsql.enable_pg_bigm! bool
cloudsql.enable_pg_cron! bool
cloudsql.enable_pg_hint_plan! bool
cloudsql.enable_pg_wait_sampling! bool
cloudsql.enable_pgaudit! bool
cloudsql.enable_pglogical! bool
cloudsql.iam_authentication bool
cloudsql.logical_decoding! bool
cloudsql.pg_authid_select_role string
commit_delay integer 0..100000
commit_siblings integer 0..1000
constraint_exclusion enum partition,on,off
cpu_index_tuple_cost float 0..1.79769e+308
cpu_operator_cost float 0..1.79769e+308
cpu_tuple_cost float 0..1.79769e+308
cron.database_name! string
cron.log_run! bool
cron.log_statement! bool
cron.max_running_jobs! integer 0..100
cursor_tuple_fraction float 0..1
deadlock_timeout integer 1..2147483647
debug_pretty_print bool
default_statistics_target integer 1..10000
default_tablespace string
default_transaction_deferrable bool
default_transaction_isolation enum serializable,repeatable read,read committed,read uncommitted
effective_cache_size integer 1..2147483647
effective_io_concurrency integer 0..1000
enable_async_append bool
enable_bitmapscan bool
enable_gathermerge bool
enable_hashagg bool
enable_hashjoin bool
enable_incremental_sort bool
enable_indexonlyscan bool
enable_indexscan bool
enable_material bool
enable_memoize bool
enable_mergejoin bool
enable_nestloop bool
enable_parallel_append bool
enable_parallel_hash bool
enable_partition_pruning bool
enable_partitionwise_aggregate bool
enable_partitionwise_join bool
enable_seqscan bool
enable_sort bool
enable_tidscan bool
force_parallel_mode enum off,on,regress
from_collapse_limit integer 1..2147483647
geqo bool
geqo_effort integer 1..10
geqo_generations integer 0..2147483647
geqo_pool_size integer 0..2147483647
geqo_seed float 0..1
geqo_selection_bias float 1.5..2
geqo_threshold integer 2..2147483647
gin_fuzzy_search_limit integer 0..2147483647
gin_pending_list_limit integer 64..2147483647
hash_mem_multiplier float 1..1000
hot_standby_feedback bool
huge_pages! enum off,on,try
idle_in_transaction_session_timeout integer 0..2147483647
idle_session_timeout integer 0..2147483647
jit bool
join_collapse_limit integer 1..2147483647
lock_timeout integer 0..2147483647
log_autovacuum_min_duration integer -1..2147483647
log_checkpoints bool
log_connections bool
log_disconnections bool
log_duration bool
log_error_verbosity enum terse,default,verbose
log_executor_stats bool
log_hostname bool
log_lock_waits bool
log_min_duration_sample integer -1..2147483647
log_min_duration_statement integer -1..2147483647
log_min_error_statement enum debug5,debug4,debug3,debug2,debug1,info,notice,warning,error,log,fatal,panic
log_min_messages enum debug5,debug4,debug3,debug2,debug1,info,notice,warning,error,log,fatal,panic
log_parser_stats bool
log_planner_stats bool
log_recovery_conflict_waits bool
log_replication_commands bool
log_statement enum none,ddl,mod,all
log_statement_sample_rate float 0..1
log_statement_stats bool
log_temp_files integer -1..2147483647
log_timezone string
log_transaction_sample_rate float 0..1
logical_decoding_work_mem integer 64..2147483647
maintenance_io_concurrency integer 0..1000
maintenance_work_mem integer 1024..2147483647
max_connections! integer 1..262143
max_locks_per_transaction! integer 10..2147483647
max_logical_replication_workers! integer 0..262143
max_parallel_maintenance_workers integer 0..1024
max_parallel_workers integer 0..1024
max_parallel_workers_per_gather integer 0..1024
max_pred_locks_per_page integer 0..2147483647
max_pred_locks_per_relation integer -2147483648..2147483647
max_pred_locks_per_transaction! integer 10..2147483647
max_prepared_transactions! integer 0..262143
max_replication_slots! integer 0..262143
max_stack_depth integer 100..2147483647
max_standby_archive_delay integer -1..2147483647
max_standby_streaming_delay integer -1..2147483647
max_sync_workers_per_subscription integer 0..262143
max_wal_senders! integer 0..262143
max_wal_size integer 2..2147483647
max_worker_processes! integer 0..262143
min_parallel_index_scan_size integer 0..715827882
min_parallel_table_scan_size integer 0..715827882
old_snapshot_threshold! integer -1..86400
parallel_leader_participation bool
parallel_setup_cost float 0..1.79769e+308
parallel_tuple_cost float 0..1.79769e+308
pg_stat_statements.max! integer 100..1073741823
pg_stat_statements.save bool
pg_stat_statements.track enum none,top,all
pg_stat_statements.track_planning bool
pg_stat_statements.track_utility bool
pgaudit.log string
pgaudit.log_catalog bool
pgaudit.log_client bool
pgaudit.log_level enum debug1,debug2,debug3,debug4,debug5,info,notice,warning,log
pgaudit.log_parameter bool
pgaudit.log_relation bool
pgaudit.log_statement_once bool
pgaudit.role string
plan_cache_mode enum auto,force_generic_plan,force_custom_plan
random_page_cost float 0..1.79769e+308
session_replication_role enum origin,replica,local
shared_buffers! integer 16..1073741823
standard_conforming_strings bool
statement_timeout integer 0..2147483647
synchronize_seqscans bool
synchronous_commit enum local,remote_write,remote_apply,on,off
tcp_keepalives_count integer 0..2147483647
tcp_keepalives_idle integer 0..2147483647
tcp_keepalives_interval integer 0..2147483647
temp_buffers integer 100..1073741823
temp_file_limit integer -1..2147483647
TimeZone string
track_activity_query_size! integer 100..1048576
track_commit_timestamp! bool
track_functions enum none,pl,all
track_io_timing bool
vacuum_cost_delay float 0..100
vacuum_cost_limit integer 1..10000
vacuum_cost_page_dirty integer 0..10000
vacuum_cost_page_hit integer 0..10000
vacuum_cost_page_miss integer 0..10000
vacuum_failsafe_age integer 0..2100000000
vacuum_freeze_min_age integer 0..1000000000
vacuum_freeze_table_age integer 0..2000000000
vacuum_multixact_failsafe_age integer 0..2100000000
vacuum_multixact_freeze_min_age integer 0..1000000000
vacuum_multixact_freeze_table_age integer 0..2000000000
wal_buffers! integer -1..262143
wal_compression enum pglz,lz4,zstd,on,off
wal_receiver_timeout integer 0..2147483647
wal_sender_timeout integer 0..2147483647
work_mem integer 64..2147483647
"""
MAJORS = ("12", "13", "14", "15", "16", "17", "18")


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One flag. `low` and `high` are None for types without a range."""

    name: str
    kind: str
    restart: bool
    values: tuple[str, ...] = ()
    low: Decimal | None = None
    high: Decimal | None = None

    def problem(self, value: str) -> str:
        """Why the flag cannot have this value, or nothing."""
        if self.kind == "bool" and value.lower() not in ("on", "off"):
            return f"{value} is neither on nor off"
        if self.kind == "enum" and value.lower() not in self.values:
            return f"{value} is none of {', '.join(self.values)}"
        if self.low is None or self.high is None:
            return ""
        try:
            number = Decimal(value)
        except InvalidOperation:
            return f"{value} is not a number"
        if self.kind == "integer" and number != number.to_integral_value():
            return f"{value} is not a whole number"
        return "" if self.low <= number <= self.high else f"{value} is outside {self.low} to {self.high}"

    def resource(self) -> Body:
        """The flag as `flags.list` shows it."""
        kinds = {"bool": "BOOLEAN", "enum": "STRING", "string": "STRING", "integer": "INTEGER", "float": "FLOAT"}
        body: Body = {
            "kind": "sql#flag",
            "name": self.name,
            "type": kinds[self.kind],
            "appliesTo": [f"POSTGRES_{major}" for major in MAJORS],
            "requiresRestart": self.restart,
        }
        if self.values:
            body["allowedStringValues"] = list(self.values)
        if self.kind == "integer":
            body |= {"minValue": str(self.low), "maxValue": str(self.high)}
        return body


def _parse(line: str) -> Flag:
    name, kind, *rest = line.split(maxsplit=2)
    words = rest[0] if rest else ""
    low, _, high = words.partition("..")
    numeric = kind in ("integer", "float")
    return Flag(
        name=name.rstrip("!"),
        kind=kind,
        restart=name.endswith("!"),
        values=tuple(words.split(",")) if kind == "enum" else (),
        low=Decimal(low) if numeric else None,
        high=Decimal(high) if numeric else None,
    )


FLAGS = {flag.name.lower(): flag for flag in map(_parse, TABLE.strip().splitlines())}


def restarts(old: list[Body], new: list[Body]) -> bool:
    """Whether a change of `settings.databaseFlags` restarts the server."""
    before, after = ({row["name"]: row.get("value", "") for row in rows} for rows in (old, new))
    names = {name for name in before | after if before.get(name) != after.get(name)}
    return any(FLAGS[name.lower()].restart for name in names if name.lower() in FLAGS)
