"""What the job uses of PyFlink that is private to it, on PyFlink's own classes but without its JVM.

A new release of PyFlink that moves one of these names fails here, in seconds, and not in a running job.
"""

from __future__ import annotations

import importlib
import inspect
import os
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from pyflink.common import Types
from pyflink.datastream import DataStream, KeyedProcessFunction, KeyedStream
from pyflink.datastream.connectors.base import DeliveryGuarantee
from pyflink.datastream.connectors.kafka import KafkaSinkBuilder, KafkaSourceBuilder
from pyflink.datastream.data_stream import _get_one_input_stream_operator
from pyflink.pyflink_gateway_server import (
    construct_flink_classpath,
    find_java_executable,
    get_jvm_opts,
    prepare_environment_variables,
)

from speed.job.batches import NO_TIMER, Batch, Entry, pack_batch
from speed.job.coalescing import Coalescing
from speed.job.functions import BatchFunction
from speed.job.lifetime import Lifetime
from speed.job.operators import KeyedOperator
from speed.job.records import SourceRecord, pack_source
from speed.job.steps import VisitorStep
from tests.builders import MINUTE_BUCKETS, stamp


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Thread mode's runtime context; only the JVM's classes, which pemja finds inside a JVM alone, are stand-ins."""
    monkeypatch.setattr(importlib.import_module("pemja"), "findClass", MagicMock(), raising=False)
    from pyflink.fn_execution.datastream.embedded.runtime_context import StreamingRuntimeContext

    return StreamingRuntimeContext.of(MagicMock(), {})


def test_thread_mode_counts_on_flinks_own_counters_once_a_batch(embedded: Any) -> None:
    function = BatchFunction(visitor_operator())
    function.open(embedded)
    refused = [Entry(0, NO_TIMER, pack_source(SourceRecord(stamp(), b"ada", b"{"))) for _ in range(3)]
    list(function.process_element(pack_batch(Batch([None], refused)), None))
    reason = embedded._runtime_context.getMetricGroup().addGroup("reason", "malformed")
    reason.counter("numRejectedEvents").inc.assert_called_once_with(3)


def test_an_operator_can_be_asked_for_without_a_stream() -> None:
    names = inspect.signature(_get_one_input_stream_operator).parameters
    assert list(names) == ["data_stream", "func", "func_type", "output_type"]


@pytest.mark.usefixtures("embedded")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_java_code_takes_from_pyflinks_operator_is_still_called_so() -> None:
    """`firth.BatchingOperator` calls `process_element` of the interpreter's `operation`, and reads an iterator."""
    from pyflink.fn_execution.embedded.operations import OneInputFunctionOperation

    assert inspect.isgeneratorfunction(OneInputFunctionOperation.process_element)


def test_a_python_stream_is_a_wrapper_of_a_java_stream() -> None:
    java = object()
    assert DataStream(java)._j_data_stream is java
    assert KeyedStream(java, Types.STRING(), DataStream(object()))._j_data_stream is java


@pytest.mark.parametrize("builder", [KafkaSourceBuilder, KafkaSinkBuilder])
def test_a_kafka_builder_is_a_wrapper_of_a_java_builder(builder: type) -> None:
    assert "_j_builder" in builder.__init__.__code__.co_names  # type: ignore[misc]


def test_a_delivery_guarantee_can_be_handed_to_a_java_builder() -> None:
    assert callable(DeliveryGuarantee.AT_LEAST_ONCE._to_j_delivery_guarantee)


def test_a_jvm_is_started_with_the_class_path_and_flags_of_pyflinks_own() -> None:
    environment = dict(os.environ)
    prepare_environment_variables(environment)
    names = [Path(jar).name for jar in construct_flink_classpath(environment).split(os.pathsep)]
    assert any(name.startswith("flink-dist-") for name in names)
    assert any(name.startswith("flink-python-") for name in names)
    assert "--add-opens=java.base/java.lang=ALL-UNNAMED" in get_jvm_opts(environment)
    assert find_java_executable().endswith("java")


def test_the_callback_is_a_generator_or_thread_mode_would_not_pass_its_answer_on() -> None:
    function: KeyedProcessFunction = BatchFunction(visitor_operator())
    assert inspect.isgeneratorfunction(function.process_element)


def visitor_operator() -> KeyedOperator:
    policies = MINUTE_BUCKETS
    return KeyedOperator(VisitorStep(policies, "interactions"), Coalescing(0, 0), Lifetime(policies.bucket))
