"""From which state or instant the job starts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from domain import manifests
from domain.manifests import Manifest, write_manifest
from domain.policies import AdmissionPolicy, BucketPolicy, Policies, TimelinePolicy
from schemas.errors import ConfigurationError
from speed.job.checkpoints import StateFolders
from speed.job.identity import StateIdentity, read_identity, write_identity
from speed.job.settings import JobSettings, StateBackend, TopicNames
from speed.job.start import SWITCH_MAX_MS, Start, decide, needed_from_ms, rebuild_from_ms

POLICY = BucketPolicy(period_ms=1_000, kept=8, dedup=1)
POLICIES = Policies(
    bucket=POLICY,
    timeline=TimelinePolicy(horizon_ms=6_500, visits_max=50),
    admission=AdmissionPolicy(future_max_ms=2_000, admitted_max=60),
)
NOW_MS = 1_750_000_000_500
BUCKET_MS = 1_750_000_000_000


def job(folder: Path, policy: BucketPolicy = POLICY, state_backend: StateBackend = "hashmap") -> JobSettings:
    return JobSettings(
        bootstrap="",
        topics=TopicNames("i", "v", "s", "d"),
        checkpoint_dir=str(folder / "checkpoints"),
        savepoint_dir=str(folder / "savepoints"),
        artifacts_dir=str(folder / "artifacts"),
        rest_port=1,
        jars=("x",),
        policies=Policies(bucket=policy),
        state_backend=state_backend,
    )


def checkpoint(folder: Path, *, at_ms: int = NOW_MS, name: str = "checkpoints/run/chk-1") -> Path:
    path = folder / name
    path.mkdir(parents=True)
    (path / "_metadata").touch()
    os.utime(path / "_metadata", (at_ms / 1000, at_ms / 1000))
    return path


def publish(folder: Path, cutoff_ms: int) -> None:
    (folder / "artifacts" / "v1").mkdir(parents=True)
    write_manifest(folder / "artifacts" / "v1", Manifest("v1", 1, cutoff_ms, 1, "", {}, {}, {}))
    manifests.point_to(folder / "artifacts", "v1")


def started(settings: JobSettings) -> Start:
    return decide(settings, lambda _: True, NOW_MS)


@pytest.mark.parametrize(
    ("cutoff_ms", "from_ms"),
    [
        (None, None),
        (BUCKET_MS, BUCKET_MS - 11_000 - 9_000),  # the horizon before the oldest state that lives
        (BUCKET_MS - 18_000, BUCKET_MS - 11_000 - 9_000),
        (BUCKET_MS - 30_000, BUCKET_MS - 31_000),  # the ids that the first bucket above the cutoff must know
        (500, 0),
    ],
)
def test_a_rebuild_reads_what_a_state_keeps_and_what_the_published_cutoff_leaves(
    cutoff_ms: int | None, from_ms: int | None
) -> None:
    assert rebuild_from_ms(POLICIES, cutoff_ms, NOW_MS) == from_ms


def test_without_a_cutoff_all_of_the_log_is_needed() -> None:
    assert needed_from_ms(POLICY, None) == 0
    assert needed_from_ms(POLICY, BUCKET_MS) == BUCKET_MS - 1_000


def test_without_state_and_without_a_published_cutoff_the_log_is_read_from_its_beginning(tmp_path: Path) -> None:
    assert started(job(tmp_path)) == Start(None, None)


def test_without_state_the_log_is_read_from_the_instant_that_the_published_cutoff_asks_for(tmp_path: Path) -> None:
    publish(tmp_path, BUCKET_MS - 600_000_000)
    assert started(job(tmp_path)) == Start(None, BUCKET_MS - 600_001_000)


def test_a_published_artifact_that_cannot_be_read_is_no_reason_to_read_less(tmp_path: Path) -> None:
    publish(tmp_path, BUCKET_MS)
    (tmp_path / "artifacts" / "v1" / "manifest.json").write_text("{")
    assert started(job(tmp_path)).at_ms is None


def test_a_state_of_the_same_rules_is_resumed(tmp_path: Path) -> None:
    started(job(tmp_path))
    state = checkpoint(tmp_path)
    assert started(job(tmp_path)).state == state


def test_a_savepoint_is_told_from_a_checkpoint(tmp_path: Path) -> None:
    started(job(tmp_path))
    state = checkpoint(tmp_path, name="savepoints/savepoint-1")
    assert started(job(tmp_path)) == Start(state, None, is_savepoint=True)


def test_a_state_of_another_bucket_period_is_refused_and_the_remedy_named(tmp_path: Path) -> None:
    started(job(tmp_path))
    checkpoint(tmp_path)
    with pytest.raises(ConfigurationError, match=r"is 2000, but .* made for 1000.*python -m speed rebuild"):
        started(job(tmp_path, BucketPolicy(period_ms=2_000, kept=8, dedup=1)))


def test_a_state_that_remembers_ids_for_fewer_buckets_is_refused(tmp_path: Path) -> None:
    started(job(tmp_path))
    checkpoint(tmp_path)
    with pytest.raises(ConfigurationError, match="dedup"):
        started(job(tmp_path, BucketPolicy(period_ms=1_000, kept=8, dedup=2)))


def test_another_number_of_kept_buckets_is_accepted(tmp_path: Path) -> None:
    started(job(tmp_path))
    state = checkpoint(tmp_path)
    assert started(job(tmp_path, BucketPolicy(period_ms=1_000, kept=4, dedup=1))).state == state


def test_a_checkpoint_of_another_state_backend_is_refused_and_the_remedy_named(tmp_path: Path) -> None:
    started(job(tmp_path))
    state = checkpoint(tmp_path)
    with pytest.raises(ConfigurationError, match=r"is rocksdb, but .* written by hashmap; .*python -m speed savepoint"):
        started(job(tmp_path, state_backend="rocksdb"))
    assert started(job(tmp_path)).state == state


def test_with_a_savepoint_the_state_backend_is_changed_and_the_checkpoints_put_aside(tmp_path: Path) -> None:
    started(job(tmp_path))
    savepoint = checkpoint(tmp_path, at_ms=NOW_MS - SWITCH_MAX_MS, name="savepoints/savepoint-1")
    checkpoint(tmp_path)
    assert started(job(tmp_path, state_backend="rocksdb")) == Start(savepoint, None, is_savepoint=True)
    assert list(tmp_path.glob("checkpoints/*/chk-*")) == []
    assert list(tmp_path.glob("aside-*/checkpoints/run/chk-1/_metadata"))
    assert started(job(tmp_path, state_backend="rocksdb")).state == savepoint


def test_a_savepoint_of_long_before_the_last_checkpoint_is_not_fallen_back_to(tmp_path: Path) -> None:
    started(job(tmp_path))
    checkpoint(tmp_path, at_ms=NOW_MS - SWITCH_MAX_MS - 1, name="savepoints/savepoint-1")
    checkpoint(tmp_path)
    with pytest.raises(ConfigurationError, match="STATE_BACKEND"):
        started(job(tmp_path, state_backend="rocksdb"))


def test_the_state_backend_may_be_changed_while_there_is_no_state(tmp_path: Path) -> None:
    started(job(tmp_path))
    assert started(job(tmp_path, state_backend="rocksdb")).state is None
    assert not list(tmp_path.glob("aside-*"))


def test_a_state_from_before_there_was_a_choice_is_one_of_hashmap(tmp_path: Path) -> None:
    started(job(tmp_path))
    identity = tmp_path / "checkpoints" / "identity.json"
    found = json.loads(identity.read_text())
    del found["state_backend"]
    identity.write_text(json.dumps(found))
    state = checkpoint(tmp_path)
    assert started(job(tmp_path)).state == state


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    identity = StateIdentity(1_000, 1, -1)
    write_identity(tmp_path / "checkpoints", identity)
    checkpoint(tmp_path)
    with pytest.raises(ConfigurationError, match=r"version -1.*run the release that made it"):
        started(job(tmp_path))


@pytest.mark.parametrize("content", [None, "{", json.dumps({"period_ms": 1_000})])
def test_a_state_of_unknown_rules_is_refused(tmp_path: Path, content: Any) -> None:
    checkpoint(tmp_path)
    if content is not None:
        (tmp_path / "checkpoints" / "identity.json").write_text(content)
    with pytest.raises(ConfigurationError, match="not known"):
        started(job(tmp_path))


def test_other_rules_without_any_state_are_fine(tmp_path: Path) -> None:
    started(job(tmp_path))
    other = BucketPolicy(period_ms=2_000, kept=8, dedup=1)
    assert started(job(tmp_path, other)).state is None
    assert read_identity(StateFolders.of(job(tmp_path)).checkpoints) == StateIdentity.of(other)


def test_a_state_older_than_all_that_it_kept_is_passed_over_once_a_cutoff_is_published(tmp_path: Path) -> None:
    started(job(tmp_path))
    state = checkpoint(tmp_path, at_ms=BUCKET_MS - 11_001)
    assert started(job(tmp_path)).state == state
    publish(tmp_path, BUCKET_MS)
    assert started(job(tmp_path)).state is None
