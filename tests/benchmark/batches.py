"""Kafka's record batches, made ahead: what is sent while something is measured then costs next to nothing.

A KafkaProducer spends 30 to 70 µs on a record. On a machine that also runs what is measured, that would count too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final

from kafka.partitioner.default import murmur2
from kafka.record.default_records import DefaultRecordBatchBuilder

from schemas.topics import INTERACTIONS
from tests.benchmark.shop import Sent, visitor_id

BATCH_BYTES_MAX: Final = 900_000
_MAGIC: Final = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition, as they stand on the wire. `watched` are those that somebody wants to see again: how
    far behind the batch's first, and the event."""

    partition: int
    count: int
    raw: bytes
    watched: list[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent at once: at most one batch a partition."""

    count: int
    batches: list[Batch]


def requests(events: Iterable[Sent], together: int, is_watched: Callable[[Sent], bool]) -> Iterator[Request]:
    """Requests of `together` events each, in order."""
    iterator = iter(events)
    while part := list(islice(iterator, together)):
        by_partition: dict[int, list[Sent]] = {}
        for sent in part:
            by_partition.setdefault(_partition(sent.visitor), []).append(sent)
        yield Request(len(part), [_batch(number, own, is_watched) for number, own in sorted(by_partition.items())])


def _batch(partition: int, events: list[Sent], is_watched: Callable[[Sent], bool]) -> Batch:
    builder = DefaultRecordBatchBuilder(
        magic=_MAGIC,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=BATCH_BYTES_MAX,
    )
    watched = []
    for at, sent in enumerate(events):
        if builder.append(at, 0, visitor_id(sent.visitor).encode(), sent.raw, ()) is None:
            raise ValueError(f"{len(events)} events are too many for one batch of {BATCH_BYTES_MAX} bytes")
        if is_watched(sent):
            watched.append((at, sent.raw))
    return Batch(partition, len(events), bytes(builder.build()), watched)


@lru_cache(maxsize=1 << 20)
def _partition(visitor: int) -> int:
    """Where every Kafka client puts this key."""
    return int((murmur2(visitor_id(visitor).encode()) & 0x7FFFFFFF) % INTERACTIONS.partitions)
