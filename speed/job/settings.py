"""What the job is told: one JSON file, because its environment has no settings tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from domain.policies import Policies
from schemas.errors import ConfigurationError

StateBackend = Literal["hashmap", "rocksdb"]


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The topics of this instance, prefix included."""

    interactions: str
    visitor_states: str
    item_states: str
    dead_letters: str


@dataclass(frozen=True, slots=True)
class LogRange:
    """A part of the interactions topic: per partition the first offset, and the first one behind it."""

    first: dict[int, int]
    until: dict[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """The whole file; the fields without a default must be there.

    `checkpoint_dir` and `savepoint_dir` are absolute folders that outlive the process; `artifacts_dir` tells the
    published cutoff. `jars` are the Kafka connector and our own classes. `heartbeat` is touched every second while the
    job runs. With a `replay` the job reads that part of the log and then waits; `idle_topic` is one that stays empty.

    A visitor's row leaves at once when its record is at most `fresh_ms` old; when the job is behind, at most one row
    leaves per visitor and `visitor_period_ms`. What an item is told within `item_period_ms` is one row, when the job is
    behind within `item_behind_period_ms`, if that is longer. 0: all leave.

    With `taskmanagers` 0 the job runs inside the JVM beside it; else in so many processes of its own, and `heap_mb` and
    `managed_memory_mb` are of each. Managed memory is what RocksDB caches and collects writes in. Flink shows its
    metrics from `metrics_port` on, a port a process, on every interface; 0: not at all.
    """

    bootstrap: str
    topics: TopicNames
    checkpoint_dir: str
    rest_port: Annotated[int, Meta(ge=1, le=65_535)]
    jars: Annotated[tuple[str, ...], Meta(min_length=1)]
    savepoint_dir: str | None = None
    artifacts_dir: str | None = None
    replay: LogRange | None = None
    idle_topic: str | None = None
    group_id: str = "firth-speed"
    metrics_port: Annotated[int, Meta(ge=0, le=65_519)] = 0
    checkpoint_interval_ms: Annotated[int, Meta(ge=100)] = 5_000
    state_backend: StateBackend = "hashmap"
    taskmanagers: Annotated[int, Meta(ge=0, le=16)] = 0
    parallelism: Annotated[int, Meta(ge=1, le=64)] = 1
    buffer_timeout_ms: Annotated[int, Meta(ge=0)] = 5
    managed_memory_mb: Annotated[int, Meta(ge=64)] = 256
    heap_mb: Annotated[int, Meta(ge=256)] = 768
    fresh_ms: Annotated[int, Meta(ge=0)] = 1_000
    visitor_period_ms: Annotated[int, Meta(ge=0, le=60_000)] = 500
    item_period_ms: Annotated[int, Meta(ge=0, le=60_000)] = 250
    item_behind_period_ms: Annotated[int, Meta(ge=0, le=60_000)] = 2_000
    heartbeat: str | None = None
    policies: Policies = field(default_factory=Policies)


def read_settings(path: Path) -> JobSettings:
    """The settings in a JSON file.

    Raises:
        ConfigurationError: it cannot be read, or it is not what the job needs.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=JobSettings)
    except OSError as error:
        raise ConfigurationError(str(path), f"cannot be read: {error}", "name a readable file") from error
    except msgspec.MsgspecError as error:
        raise ConfigurationError(str(path), str(error), "correct the field") from error
