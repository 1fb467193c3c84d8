"""Commits that Kafka refuses: for a while they cost nothing, for ever they end the process."""

from __future__ import annotations

from typing import Any

import pytest
from kafka.errors import CommitFailedError

from schemas.errors import DependencyError
from speed.writer.sink import FeatureSink
from speed.writer.writing import COMMIT_REFUSALS_MAX, FeatureWriter


class Member:
    """A consumer without partitions, whose commits the group takes or refuses."""

    refuses = True

    def assignment(self) -> set[Any]:
        return set()

    def commit(self, positions: dict[Any, Any]) -> None:
        if self.refuses:
            raise CommitFailedError("not a member")


def writer(member: Member) -> FeatureWriter:
    sink: FeatureSink | None = None
    return FeatureWriter(member, sink, {})  # type: ignore[arg-type]


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
