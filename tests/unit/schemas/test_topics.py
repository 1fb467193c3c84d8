from __future__ import annotations

from domain.policies import BucketPolicy
from schemas.topics import ALL_TOPICS, INTERACTIONS


def test_interactions_are_kept_long_enough_to_rebuild_the_stream() -> None:
    policy = BucketPolicy()
    assert INTERACTIONS.retention_ms is not None
    assert INTERACTIONS.retention_ms >= (policy.kept + policy.dedup + 2) * policy.period_ms


def test_a_compacted_topic_has_no_retention_and_a_deleted_one_has() -> None:
    assert all((topic.retention_ms is None) == (topic.cleanup == "compact") for topic in ALL_TOPICS)


def test_a_prefix_goes_before_the_name() -> None:
    assert INTERACTIONS.named("test-").name == "test-interactions"
