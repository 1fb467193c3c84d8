"""The job on one screen: interactions in, visitor states, item states and dead letters out."""

from __future__ import annotations

from typing import Final

from pyflink.common import Types, WatermarkStrategy
from pyflink.datastream import DataStream, KeyedStream, StreamExecutionEnvironment
from pyflink.datastream.connectors.base import DeliveryGuarantee
from pyflink.datastream.connectors.kafka import KafkaOffsetsInitializer, KafkaSink, KafkaSource
from pyflink.java_gateway import get_gateway

from schemas.topics import DEAD_LETTER_BYTES_MAX
from speed.job.functions import ItemFunction, VisitorFunction
from speed.job.jvm import new_object
from speed.job.records import DEAD_LETTER, ITEM_HOP, ITEM_ROW, VISITOR_ROW, Tag
from speed.job.settings import JobSettings
from speed.job.steps import ItemStep, VisitorStep

BYTES: Final = Types.PRIMITIVE_ARRAY(Types.BYTE())
"""The only type at the border to Python: bytes pass it as they are."""


def build(environment: StreamExecutionEnvironment, settings: JobSettings) -> None:
    """Wire the whole job. Names are the identity of the operators in a checkpoint: renaming one forgets its state."""
    topics, policies = settings.topics, settings.policies
    interactions = read_topic(environment, settings, topics.interactions)
    visitors = by_key(interactions).process(VisitorFunction(VisitorStep(policies, topics.interactions)), BYTES)
    visitors = visitors.name("visitor").uid("visitor")
    write_topic(records_of(visitors, VISITOR_ROW), settings, topics.visitor_states)
    write_topic(records_of(visitors, DEAD_LETTER), settings, topics.dead_letters)
    items = by_key(records_of(visitors, ITEM_HOP)).process(ItemFunction(ItemStep(policies)), BYTES)
    items = items.name("item").uid("item")
    write_topic(records_of(items, ITEM_ROW), settings, topics.item_states)


def read_topic(environment: StreamExecutionEnvironment, settings: JobSettings, topic: str) -> DataStream:
    """Row(key, packed record) of a topic: from the checkpoint's offsets, without one from the earliest."""
    builder = (
        KafkaSource.builder()
        .set_bootstrap_servers(settings.bootstrap)
        .set_topics(topic)
        .set_group_id(settings.group_id)
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_property("fetch.max.wait.ms", "10")
        .set_property("partition.discovery.interval.ms", "30000")
    )
    builder._j_builder.setDeserializer(new_object("firth.RecordDeserializer"))
    return environment.from_source(builder.build(), WatermarkStrategy.no_watermarks(), topic).uid("interactions")


def by_key(rows: DataStream) -> KeyedStream:
    """Keyed by the first field, inside the JVM: a `key_by` would be a Python operator. What follows gets the second."""
    selector = get_gateway().jvm.KeyByKeySelector()
    key_type = Types.ROW([Types.STRING()]).get_java_type_info()
    return KeyedStream(rows._j_data_stream.keyBy(selector, key_type), BYTES, rows)


def records_of(frames: DataStream, tag: Tag) -> DataStream:
    """Row(key, value) of the records with one tag."""
    return DataStream(frames._j_data_stream.flatMap(new_object("firth.Frame$RecordsOf", str(tag))))


def write_topic(rows: DataStream, settings: JobSettings, topic: str) -> None:
    """Sink with at-least-once delivery: a row is an upsert by offset, so its readers pass over what they have seen."""
    builder = KafkaSink.builder()._j_builder
    builder.setBootstrapServers(settings.bootstrap)
    builder.setRecordSerializer(new_object("firth.RecordSerializer", topic))
    builder.setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE._to_j_delivery_guarantee())
    builder.setProperty("linger.ms", "2")
    builder.setProperty("max.request.size", str(DEAD_LETTER_BYTES_MAX))
    rows._j_data_stream.sinkTo(builder.build()).name(topic).uid(f"sink-{topic}")
