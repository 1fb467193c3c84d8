"""A daily run on the real Spark, Cassandra and Feast: killed, resumed, repeated, published anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq
import pytest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import DCAwareRoundRobinPolicy
from feast import FeatureStore
from feast.feature_view import FeatureViewState
from msgspec.structs import replace
from pyspark.sql import SparkSession

from batch.daily import plan_run, run_daily
from batch.lake.archiver import now_ms
from batch.lake.impressions import IMPRESSIONS
from batch.lake.interactions import INTERACTIONS
from batch.lake.table import open_table, through_mark
from batch.publish import NewerRunPublished
from batch.quarantine import quarantine_file
from domain import reference
from domain.artifacts import Artifact
from domain.features import GENERATION, JOIN_KEYS, Entity, column_names, features_of
from domain.impressions import ImpressionCounts, ImpressionRecord, impression_counts
from domain.reference import LogRecord
from feature_repo.layout.keys import table_name
from feature_repo.store import close_store, open_store
from feature_repo.views import ITEM_PROFILE, VISITOR_HISTORY, View
from infra.settings import BatchSettings, CassandraSettings, RedisSettings, Settings
from schemas import topics
from tests.builders import START_MS, impression, record
from tests.integration.generated_log import PERIOD_MS, POLICIES, generated_log, lake_of

CUTOFF_MS = START_MS + 44 * PERIOD_MS
FIRST_RUN_DEADLINE_S = 400


@contextmanager
def no_spark(settings: Settings, records: int) -> Iterator[SparkSession]:
    """For runs that must find everything computed."""
    raise AssertionError("Spark was started")
    yield


@dataclass(frozen=True)
class Outcome:
    """What the module's tests look at: a run that was killed once and then went on."""

    settings: Settings
    log: list[LogRecord]
    shown: list[ImpressionRecord]
    killed_after: list[str]
    told: list[str]
    summary: dict[str, Any]


@pytest.fixture(scope="module")
def outcome(module_settings: Settings, redis_server: RedisSettings, cassandra: CassandraSettings) -> Outcome:
    settings = module_settings.model_copy(
        update={
            "policies": POLICIES,
            "batch": BatchSettings(spark_memory="1g", spark_cores=2, quarantine_share_max=0.01, training_minutes=0.1),
        }
    )
    log, shown = shown_before(generated_log(3))
    lake = lake_of(settings.lake_dir, log)
    lake.append([INTERACTIONS.to_rows(impossible_records(), POLICIES.bucket)], {})
    lake.append([], {through_mark(topics.INTERACTIONS.named(settings.kafka.topic_prefix).name): now_ms()})
    mark = through_mark(topics.IMPRESSIONS.named(settings.kafka.topic_prefix).name)
    open_table(settings, IMPRESSIONS).append([IMPRESSIONS.to_rows(shown, POLICIES.bucket)], {mark: now_ms()})
    killed_after = run_and_kill(settings, "features")
    told: list[str] = []
    summary = run_daily(settings, CUTOFF_MS, tell=told.append)
    return Outcome(settings, log, shown, killed_after, told, summary)


def impossible_records() -> list[LogRecord]:
    """What no producer can have sent: another program wrote it into the table."""
    return [
        record(f"broken{number}", item="", received_at_ms=CUTOFF_MS - 1, partition=5, offset=number)
        for number in range(2)
    ]


def shown_before(log: list[LogRecord]) -> tuple[list[LogRecord], list[ImpressionRecord]]:
    """The log with every third interaction out of a slate, and these slates, which show an unloved item too."""
    followed, shown = [], []
    for number, one in enumerate(log):
        if number % 3 == 0:
            slate = impression(f"s{number}", visitor=one.event.visitor_id, items=(one.event.item_id, "unloved"))
            shown.append(ImpressionRecord(slate, replace(one.stamp, partition=0, offset=number)))
            one = LogRecord(replace(one.event, slate_id=slate.slate_id), one.stamp)
        followed.append(one)
    return followed, shown


def run_and_kill(settings: Settings, step: str) -> list[str]:
    """Run the command, kill -9 its process when it says that a step is done; returns the lines that it said."""
    file = settings.state_dir / "settings.json"
    file.write_text(settings.model_dump_json())
    command = [sys.executable, "-m", "tests.integration.daily_command", str(file), str(CUTOFF_MS)]
    said = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            said.append(line)
            if line.startswith(f"daily: {step}:"):
                os.kill(run.pid, signal.SIGKILL)
                break
    return said


def stored(settings: Settings, view: View, keys: list[str]) -> dict[str, dict[str, Any]]:
    store = open_store(settings)
    try:
        names = column_names(list(view.columns))
        rows = [{view.join_key: key} for key in keys]
        answer = store.get_online_features([f"{view.name}:{name}" for name in names], rows).to_dict()
    finally:
        close_store(store)
    return {key: {name: answer[name][at] for name in names} for at, key in enumerate(answer[view.join_key])}


def expected(entity: Entity, outcome: Outcome) -> dict[str, dict[str, Any]]:
    facts_of = reference.facts_by_key(entity, below_cutoff(outcome.log), POLICIES)
    counts_of: dict[str, ImpressionCounts] = {}
    if entity == "item":
        counts_of = impression_counts(outcome.shown, reference.admitted(outcome.log, POLICIES), CUTOFF_MS)
        assert min(sum(counts) for counts in zip(*counts_of.values(), strict=True)) > 5
    rows = {}
    for key in facts_of.keys() | counts_of.keys():
        totals = reference.totals(entity, facts_of.get(key, []), POLICIES)
        rows[key] = {"cutoff_ms": CUTOFF_MS, "history_generation": GENERATION}
        for feature in features_of(entity):
            rows[key] |= zip(feature.total_names, feature.aggregate.pack_total(totals[feature.name]), strict=True)
        if entity == "item":
            counts = counts_of.get(key, ImpressionCounts())
            rows[key] |= {f"history_{name}": count for name, count in counts._asdict().items()}
    return rows


@pytest.mark.parametrize("view", [VISITOR_HISTORY, ITEM_PROFILE], ids=lambda view: view.name)
def test_feast_reads_what_the_reference_says_for_every_key(outcome: Outcome, view: View) -> None:
    rows = expected(view.entity, outcome)
    assert stored(outcome.settings, view, list(rows)) == rows
    assert outcome.summary[f"{view.entity}s"] == len(rows)
    assert ("unloved" in rows) == (view is ITEM_PROFILE)


def test_a_killed_run_goes_on_after_the_step_that_was_done(outcome: Outcome) -> None:
    assert outcome.killed_after[-1].startswith("daily: features:")
    assert "daily: going on after quarantine, catalogue, spark, admission, features" in outcome.told
    assert not any(line.startswith("daily: features:") for line in outcome.told)
    assert any(line.startswith("daily: sessions:") for line in outcome.told)


def test_the_published_artifact_is_the_run_that_was_told(outcome: Outcome) -> None:
    artifact = Artifact.current(outcome.settings.artifacts_dir)
    assert artifact is not None
    assert artifact.version == outcome.summary["version"]
    assert artifact.manifest.cutoff_ms == CUTOFF_MS
    assert set(artifact.vocabulary.item_ids) == set(expected("item", outcome))
    assert artifact.model.knn.index.sessions_count == outcome.summary["sessions"] > 10
    assert artifact.manifest.metrics["line_up_hr20"] == outcome.summary["hr20"]
    best = artifact.vocabulary.item_id(int(artifact.popularity.counts.argmax()))
    popular = {
        key: reference.merged_values("item", facts, CUTOFF_MS, POLICIES)["popularity"]
        for key, facts in reference.facts_by_key("item", below_cutoff(outcome.log), POLICIES).items()
    }
    assert popular[best] == max(popular.values())


def test_rows_that_break_the_contract_are_kept_out_and_told(outcome: Outcome) -> None:
    assert outcome.summary["interactions_quarantined"] == 2
    assert outcome.summary["impressions_quarantined"] == 0
    folder = outcome.settings.state_dir / "daily" / str(CUTOFF_MS)
    told = pq.read_table(quarantine_file(folder, INTERACTIONS)).to_pylist()
    assert [(one["partition"], one["offset"], one["reason"]) for one in told] == [(5, 0, "item_id"), (5, 1, "item_id")]


def test_a_dry_run_of_what_is_done_finds_nothing_to_do(outcome: Outcome) -> None:
    plan = plan_run(outcome.settings, CUTOFF_MS)
    assert plan["to_do"] == []
    assert plan["published"] == {"version": outcome.summary["version"], "cutoff_ms": CUTOFF_MS}


def below_cutoff(log: list[LogRecord]) -> list[LogRecord]:
    return [one for one in log if one.stamp.received_at_ms < CUTOFF_MS]


def test_the_same_run_again_finds_everything_done(outcome: Outcome) -> None:
    again = run_daily(outcome.settings, CUTOFF_MS, tell=lambda _: None, open_spark=no_spark)
    assert again == outcome.summary


def test_a_wiped_store_is_filled_again_and_opened_where_a_killed_materialize_had_closed_it(outcome: Outcome) -> None:
    settings = outcome.settings
    wipe(settings, VISITOR_HISTORY)
    leave_materializing(settings, VISITOR_HISTORY)
    told: list[str] = []
    run_daily(settings, CUTOFF_MS, tell=told.append, open_spark=no_spark)
    assert any(line.startswith("daily: publish:") for line in told)
    rows = expected("visitor", outcome)
    assert stored(settings, VISITOR_HISTORY, list(rows)) == rows


def wipe(settings: Settings, view: View) -> None:
    profile = ExecutionProfile(DCAwareRoundRobinPolicy(settings.cassandra.local_datacentre))
    server = {"port": settings.cassandra.port, "execution_profiles": {EXEC_PROFILE_DEFAULT: profile}}
    with Cluster([settings.cassandra.host], protocol_version=5, **server) as cluster:
        table = table_name(settings.feast.project, view.name)
        cluster.connect(settings.cassandra.keyspace).execute(f'TRUNCATE "{table}"')


def leave_materializing(settings: Settings, view: View) -> None:
    store: FeatureStore = open_store(settings)
    found = store.get_feature_view(view.name)
    found.state = FeatureViewState.MATERIALIZING
    store.registry.apply_feature_view(found, store.project, commit=True)


def test_an_older_run_does_not_replace_a_newer_one(outcome: Outcome) -> None:
    with pytest.raises(NewerRunPublished):
        run_daily(outcome.settings, CUTOFF_MS - PERIOD_MS, tell=lambda _: None, open_spark=no_spark)


def test_every_entity_has_a_batch_view() -> None:
    assert {view.entity for view in (VISITOR_HISTORY, ITEM_PROFILE)} == set(JOIN_KEYS)
