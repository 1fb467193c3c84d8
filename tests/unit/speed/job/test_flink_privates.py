"""What the job uses of PyFlink that is private to it, on PyFlink's own classes but without its JVM.

A new release of PyFlink that moves one of these names fails here, in seconds, and not in a running job.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any
from unittest.mock import MagicMock

import pytest
from pyflink.common import Types
from pyflink.datastream import DataStream, KeyedProcessFunction, KeyedStream
from pyflink.datastream.connectors.base import DeliveryGuarantee
from pyflink.datastream.connectors.kafka import KafkaSinkBuilder, KafkaSourceBuilder

from speed.job.coalescing import Coalescing
from speed.job.functions import KeyedFunction, keyed_bytes
from speed.job.lifetime import Lifetime
from speed.job.operators import KeyedOperator
from speed.job.steps import ItemStep
from tests.builders import MINUTE_BUCKETS
from tests.unit.speed.job.keyed_memory import Memory


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Thread mode's runtime context; only the JVM's classes, which pemja finds inside a JVM alone, are stand-ins."""
    monkeypatch.setattr(importlib.import_module("pemja"), "findClass", MagicMock(), raising=False)
    from pyflink.fn_execution.datastream.embedded.runtime_context import StreamingRuntimeContext
    from pyflink.fn_execution.embedded.state_impl import KeyedStateBackend

    java_state, java_backend = Memory(), MagicMock()
    java_backend.getPartitionedState.return_value = java_state
    context = StreamingRuntimeContext.of(MagicMock(), {})
    context.set_keyed_state_backend(KeyedStateBackend(MagicMock(), java_backend))
    return context, java_state


def test_the_state_under_pyflinks_wrapper_takes_bytes_as_they_are(embedded: Any) -> None:
    context, java_state = embedded
    assert keyed_bytes(context, "visitor") is java_state


def test_the_wrapper_itself_would_pickle(embedded: Any) -> None:
    from pyflink.datastream.state import ValueStateDescriptor

    context, java_state = embedded
    context.get_state(ValueStateDescriptor("visitor", Types.PICKLED_BYTE_ARRAY())).update(b"row")
    assert java_state.blob != b"row"


def test_thread_mode_counts_on_flinks_own_counters(embedded: Any) -> None:
    context, _ = embedded
    counter = context.get_metrics_group().counter("numLateEvents")
    counter.inc()
    context._runtime_context.getMetricGroup().counter.assert_called_with("numLateEvents")
    context._runtime_context.getMetricGroup().counter("numLateEvents").inc.assert_called_once_with(1)


def test_a_python_stream_is_a_wrapper_of_a_java_stream() -> None:
    java = object()
    assert DataStream(java)._j_data_stream is java
    assert KeyedStream(java, Types.STRING(), DataStream(object()))._j_data_stream is java


@pytest.mark.parametrize("builder", [KafkaSourceBuilder, KafkaSinkBuilder])
def test_a_kafka_builder_is_a_wrapper_of_a_java_builder(builder: type) -> None:
    assert "_j_builder" in builder.__init__.__code__.co_names  # type: ignore[misc]


def test_a_delivery_guarantee_can_be_handed_to_a_java_builder() -> None:
    assert callable(DeliveryGuarantee.AT_LEAST_ONCE._to_j_delivery_guarantee)


def test_both_callbacks_are_generators_or_thread_mode_would_not_pass_their_frames_on() -> None:
    operator = KeyedOperator(ItemStep(MINUTE_BUCKETS), Coalescing(0), Lifetime(MINUTE_BUCKETS.bucket))
    function: KeyedProcessFunction = KeyedFunction(operator, "item")
    assert inspect.isgeneratorfunction(function.process_element)
    assert inspect.isgeneratorfunction(function.on_timer)
