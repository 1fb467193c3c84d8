from __future__ import annotations

from speed.job.jvm import flink_configuration
from speed.job.settings import JobSettings, TopicNames
from speed.job.start import Start


def configured(parallelism: int) -> dict[str, str]:
    topics = TopicNames("interactions", "visitor-states", "item-states", "dead-letters")
    settings = JobSettings(
        bootstrap="127.0.0.1:9092",
        topics=topics,
        checkpoint_dir="/state",
        rest_port=8081,
        jars=("/jars/a.jar",),
        parallelism=parallelism,
    )
    return flink_configuration(settings, Start(state=None, is_savepoint=False, at_ms=None))


def test_visitors_and_items_have_slots_of_their_own_for_every_subtask() -> None:
    assert [configured(parallelism)["taskmanager.numberOfTaskSlots"] for parallelism in (1, 3)] == ["2", "6"]


def test_flinks_counters_are_read_at_most_a_second_old() -> None:
    assert configured(1)["metrics.fetcher.update-interval"] == "1000"
