"""The job on one screen: interactions in, visitor states, item states and dead letters out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pyflink.common import Types
from pyflink.datastream import DataStream, KeyedStream, StreamExecutionEnvironment
from pyflink.datastream.connectors.base import DeliveryGuarantee
from pyflink.datastream.connectors.kafka import KafkaSink
from pyflink.datastream.data_stream import _get_one_input_stream_operator
from pyflink.fn_execution.flink_fn_execution_pb2 import UserDefinedDataStreamFunction
from pyflink.java_gateway import get_gateway

from schemas.topics import STATE_BYTES_MAX
from speed.job.beginning import offsets_before
from speed.job.coalescing import Coalescing
from speed.job.functions import BatchFunction
from speed.job.jvm import new_object
from speed.job.lifetime import Lifetime
from speed.job.operators import KeyedOperator
from speed.job.records import DEAD_LETTER, ITEM_HOP, ITEM_ROW, VISITOR_ROW, Tag
from speed.job.settings import JobSettings
from speed.job.sources import read_interactions
from speed.job.start import Start
from speed.job.steps import ItemStep, VisitorStep
from speed.tombstones import HEADER

BYTES: Final = Types.PRIMITIVE_ARRAY(Types.BYTE())
"""The only type at the border to Python: bytes pass it as they are."""

ROWS: Final = Types.ROW([Types.STRING(), BYTES])
"""Key and bytes."""

ITEM_SLOTS: Final = "item"


def build(environment: StreamExecutionEnvironment, settings: JobSettings, start: Start) -> None:
    """Wire the whole job; without a state it starts at the instant `start.at_ms` of the log.

    Names are the identity of the operators in a checkpoint: renaming one forgets its state. The item operator has a
    slot of its own, so that it can run in a process of its own: in one process two Python operators share one
    interpreter lock.
    """
    environment.get_config().enable_object_reuse()  # no operator changes what it is given, or keeps it
    topics, before = settings.topics, offsets_before(settings, start)
    visitors = frames_of(read_interactions(environment, settings, before), visitor_operator(settings), "visitor")
    write_topic(records_of(visitors, VISITOR_ROW), settings, topics.visitor_states)
    write_topic(records_of(visitors, DEAD_LETTER), settings, topics.dead_letters)
    hops = bundled(visitors, ITEM_HOP, settings)
    items = frames_of(hops, item_operator(settings, before), "item").slot_sharing_group(ITEM_SLOTS)
    write_topic(records_of(items, ITEM_ROW), settings, topics.item_states)


def visitor_operator(settings: JobSettings) -> KeyedOperator:
    """Keyed by the key of the Kafka record. A row is held back only while the job is behind."""
    policies = settings.policies
    coalescing = Coalescing(settings.visitor_period_ms, settings.fresh_ms)
    return KeyedOperator(VisitorStep(policies, settings.topics.interactions), coalescing, Lifetime(policies.bucket))


def item_operator(settings: JobSettings, before: Mapping[int, int]) -> KeyedOperator:
    """Keyed by item. A popular item would write its whole row with every click of anybody: so its hops are bundled."""
    policies = settings.policies
    return KeyedOperator(ItemStep(policies, before), None, Lifetime(policies.bucket))


def frames_of(rows: DataStream, operator: KeyedOperator, name: str) -> DataStream:
    """The frames with which an operator answers to the second fields of rows, which are keyed by their first.

    The operator is called for a batch of rows at a time: PyFlink makes its own for us, and ours takes its place.
    """
    keyed = by_key(rows)
    kind = UserDefinedDataStreamFunction.KEYED_PROCESS
    made, frame_type = _get_one_input_stream_operator(keyed, BatchFunction(operator), kind, BYTES)
    batching = new_object("firth.BatchingOperator", made, name)
    return DataStream(keyed._j_data_stream.transform(name, frame_type, batching)).name(name).uid(name)


def bundled(frames: DataStream, tag: Tag, settings: JobSettings) -> DataStream:
    """Row(key, bundle) of the records with one tag: all of a key within a period in one bundle."""
    periods_ms = (settings.item_period_ms, settings.item_behind_period_ms, settings.fresh_ms)
    bundler = new_object("firth.HopBundler", str(tag), *map(str, periods_ms))
    bundles = frames._j_data_stream.transform("bundles", ROWS.get_java_type_info(), bundler)
    return DataStream(bundles).name("bundles").uid("bundles")


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
    builder.setRecordSerializer(new_object("firth.RecordSerializer", topic, HEADER))
    builder.setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE._to_j_delivery_guarantee())
    builder.setProperty("linger.ms", "2")
    builder.setProperty("max.request.size", str(STATE_BYTES_MAX))
    rows._j_data_stream.sinkTo(builder.build()).name(topic).uid(f"sink-{topic}")
