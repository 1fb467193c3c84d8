"""The log as a source: all of it from an instant on, or a part of it that a replay asks for."""

from __future__ import annotations

from collections.abc import Mapping

from pyflink.common import WatermarkStrategy
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.datastream.connectors.kafka import (
    KafkaOffsetResetStrategy,
    KafkaOffsetsInitializer,
    KafkaSource,
    KafkaSourceBuilder,
    KafkaTopicPartition,
)

from schemas.topics import INTERACTIONS, ISOLATION_LEVEL
from speed.job.jvm import new_object
from speed.job.settings import JobSettings, LogRange


def read_interactions(
    environment: StreamExecutionEnvironment, settings: JobSettings, before: Mapping[int, int]
) -> DataStream:
    """Row(key, packed record): from the state's offsets; without a state from behind the offsets `before` the job.

    Where the log has let go of an offset, reading goes on at the oldest record that is left: a start by timestamp
    would go on at the end, for as long as the job lives. A replay reads its part and then waits beside an empty topic,
    because Flink drops the timers of a job whose input has ended, and with them the last rows.
    """
    topic = settings.topics.interactions
    if settings.replay is not None:
        part = _of_part(_reading(settings, topic), topic, settings.replay)
        idle = _reading(settings, settings.idle_topic or topic).set_starting_offsets(KafkaOffsetsInitializer.latest())
        return _source(environment, part, topic, "interactions").union(_source(environment, idle, "idle", "idle"))
    first = {number: before.get(number, -1) + 1 for number in range(INTERACTIONS.partitions)}
    builder = _reading(settings, topic).set_starting_offsets(_at(topic, first))
    return _source(environment, builder, topic, "interactions")


def _reading(settings: JobSettings, topic: str) -> KafkaSourceBuilder:
    builder = (
        KafkaSource.builder()
        .set_bootstrap_servers(settings.bootstrap)
        .set_topics(topic)
        .set_group_id(settings.group_id)
        .set_property("isolation.level", ISOLATION_LEVEL)
        .set_property("fetch.max.wait.ms", "10")
        .set_property("partition.discovery.interval.ms", "30000")
    )
    builder._j_builder.setDeserializer(new_object("firth.RecordDeserializer"))
    return builder


def _of_part(builder: KafkaSourceBuilder, topic: str, part: LogRange) -> KafkaSourceBuilder:
    return builder.set_starting_offsets(_at(topic, part.first)).set_bounded(_at(topic, part.until))


def _at(topic: str, offsets: Mapping[int, int]) -> KafkaOffsetsInitializer:
    return KafkaOffsetsInitializer.offsets(
        {KafkaTopicPartition(topic, number): offset for number, offset in offsets.items()},
        KafkaOffsetResetStrategy.EARLIEST,
    )


def _source(
    environment: StreamExecutionEnvironment, builder: KafkaSourceBuilder, name: str, identity: str
) -> DataStream:
    return environment.from_source(builder.build(), WatermarkStrategy.no_watermarks(), name).uid(identity)
