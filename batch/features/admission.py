"""Rule 1 over a partition of the log: which records count, equal to `domain.reference.admitted`."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.storagelevel import StorageLevel

from batch.features.arrays import Flags, Groups, by_partition, codes_of, column_of, ints_of
from domain.facts import Stamp
from domain.policies import Policies
from domain.reference import LogRecord
from domain.reference import admitted as admitted_by_reference
from schemas.events import InteractionEvent


def admitted(facts: DataFrame, policies: Policies) -> DataFrame:
    """The facts that count, partitioned by visitor and kept in the session."""
    by_visitor = facts.repartition("visitor_id")
    return by_partition(by_visitor, partial(screened, policies), facts.schema).persist(StorageLevel.MEMORY_AND_DISK)


def screened(policies: Policies, facts: pa.Table) -> pa.Table:
    """The facts of all records of some visitors that count.

    An event that came once, of a visitor without a flood, is admitted whatever else there is. The others are judged by
    the reference itself: a flooded record is not remembered, so the rules of floods and of repeats meet there.
    """
    doubtful = np.flatnonzero(_is_doubtful(facts, policies))
    of_doubt = facts.take(pa.array(doubtful))
    places = list(zip(of_doubt["partition"].to_pylist(), of_doubt["offset"].to_pylist(), strict=True))
    records = [
        LogRecord(_skeleton(visitor_id, event_id), Stamp(received_at_ms, *place))
        for visitor_id, event_id, received_at_ms, place in zip(
            *(of_doubt[name].to_pylist() for name in ("visitor_id", "event_id", "received_at_ms")), places, strict=True
        )
    ]
    kept = {(one.stamp.partition, one.stamp.offset) for one in admitted_by_reference(records, policies)}
    counts = np.ones(facts.num_rows, np.bool_)
    counts[doubtful] = [place in kept for place in places]
    return facts.filter(pa.array(counts))


def _is_doubtful(facts: pa.Table, policies: Policies) -> Flags:
    """Which records share their event with another one, or their visitor with too many of one bucket."""
    visitor, event = (codes_of(column_of(facts, name)) for name in ("visitor_id", "event_id"))
    partition, bucket = (ints - ints.min() for ints in (ints_of(facts, "partition"), ints_of(facts, "bucket_ms")))
    repeated = Groups.by(visitor, partition, event).row_counts() > 1
    flood = Groups.by(visitor, partition, bucket // policies.bucket.period_ms).row_counts()
    flooded = np.zeros(visitor.max() + 1, np.bool_)
    flooded[visitor[flood > policies.admission.admitted_max]] = True
    doubtful: Flags = repeated | flooded[visitor]
    return doubtful


def _skeleton(visitor_id: str, event_id: str) -> InteractionEvent:
    """An event with what admission looks at."""
    return InteractionEvent(event_id=event_id, visitor_id=visitor_id, item_id="-", kind="view", occurred_at_ms=0)
