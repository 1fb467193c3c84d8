"""The keyed operators as Flink runs them: a step of `speed.job.steps` with Flink's state under it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueStateDescriptor

from speed.job.steps import ItemStep, KeyedBytes, VisitorStep


def keyed_bytes(context: RuntimeContext, name: str) -> KeyedBytes:
    """The state of the current key as plain bytes.

    PyFlink has no type for plain bytes in state: PICKLED_BYTE_ARRAY is `byte[]` in the JVM and pickles in Python. The
    state under its wrapper takes the bytes as they are, without pickling each; its name is private to PyFlink, and a
    test holds it in place.
    """
    state = context.get_state(ValueStateDescriptor(name, Types.PICKLED_BYTE_ARRAY()))
    return cast(KeyedBytes, state._state)


class _StepFunction(KeyedProcessFunction):
    """Runs a step per element. The result must be a generator, or thread mode does not pass it on."""

    state_name: str

    def __init__(self, step: VisitorStep | ItemStep) -> None:
        self._step = step
        self._state: KeyedBytes | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Bind the state; called once per attempt."""
        self._state = keyed_bytes(runtime_context, self.state_name)

    def process_element(self, value: bytes, ctx: Any) -> Iterator[bytes]:
        """One packed record in, one frame out."""
        assert self._state is not None
        yield self._step.take(value, self._state)


class VisitorFunction(_StepFunction):
    """Keyed by the key of the Kafka record."""

    state_name = "visitor"


class ItemFunction(_StepFunction):
    """Keyed by item."""

    state_name = "item"
