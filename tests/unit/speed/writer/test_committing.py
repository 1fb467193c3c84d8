"""Commits that Kafka refuses: for a while they cost nothing, for ever they end the process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import CommitFailedError

from schemas.errors import DependencyError
from speed.writer.sink import FeatureSink
from speed.writer.writing import COMMIT_REFUSALS_MAX, IDLE_COMMIT_PERIOD_S, JOIN_PATIENCE_S, FeatureWriter


class Member:
    """A consumer without partitions, whose commits the group takes or refuses."""

    refuses = True
    commits = 0

    def assignment(self) -> set[Any]:
        return set()

    def commit(self, positions: dict[Any, Any]) -> None:
        self.commits += 1
        if self.refuses:
            raise CommitFailedError("not a member")


def writer(member: Member) -> FeatureWriter:
    sink: FeatureSink | None = None
    joined = FeatureWriter(member, sink, {})  # type: ignore[arg-type]
    joined._assigned.on_partitions_assigned([])
    return joined


def test_a_group_that_does_not_take_the_writer_back_ends_the_process() -> None:
    refused = writer(Member())
    for _ in range(COMMIT_REFUSALS_MAX):
        refused._commit()
    with pytest.raises(DependencyError, match="start the writer again"):
        refused._commit()


def test_a_commit_that_is_taken_begins_the_count_anew() -> None:
    member = Member()
    patient = writer(member)
    for _ in range(2):
        member.refuses = True
        for _ in range(COMMIT_REFUSALS_MAX):
            patient._commit()
        member.refuses = False
        patient._commit()


def test_between_two_assignments_nothing_is_committed_and_what_was_written_is_not_forgotten() -> None:
    member = Member()
    member.refuses = False
    waiting = writer(member)
    waiting._dirty = True
    waiting._assigned.on_partitions_revoked([])
    waiting._commit()
    assert (member.commits, waiting._dirty) == (0, True)
    waiting._assigned.on_partitions_assigned([])
    waiting._commit()
    assert (member.commits, waiting._dirty) == (1, False)


def test_a_rebalance_that_does_not_end_ends_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    waiting = writer(Member())
    waiting._assigned.on_partitions_revoked([])
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + JOIN_PATIENCE_S + 1)
    with pytest.raises(DependencyError, match="start the writer again"):
        waiting._watch(tmp_path / "heartbeat")


def test_what_is_idle_commits_again_so_that_a_group_that_has_forgotten_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    member = Member()
    idle = writer(member)
    monkeypatch.setattr(member, "poll", lambda **_: {}, raising=False)
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + IDLE_COMMIT_PERIOD_S)
    idle._committed_at_s = now_s
    idle.step()
    assert (member.commits, idle._dirty) == (1, True)
