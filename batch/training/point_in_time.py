"""Training sets: each interaction with what was known of its visitor and its item before it, and nothing later.

What was known are the rows of `visitor_history` and `item_profile` as of the start of the interaction's bucket: all
that had been received before that instant, as a server has it from the last daily run. What the stream adds within the
bucket is left out, so a model learns from a little less than it will be given, never from more. The counts that need
impressions are left out too.

One file of snapshots a view (a row for each entity and cutoff, which Feast joins by `get_historical_features`), and one
file of interactions joined with them, `training_set.parquet`, sorted by where they stand in the log. Its bytes are a
function of the records below its cutoff: a past cut gives the same file again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batch.features.plan import view_rows
from batch.parquet import write_file
from domain.features import JOIN_KEYS, Entity, features_of
from domain.policies import BucketPolicy
from feature_repo.offline import offline_path
from feature_repo.views import ITEM_PROFILE, VISITOR_HISTORY, View

VIEWS: Final[dict[Entity, View]] = {"visitor": VISITOR_HISTORY, "item": ITEM_PROFILE}
KNOWN_TO: Final = "known_to_ms"
"""Nothing that was received at this instant or later is in the row."""

POSITION: Final = ("partition", "offset")
FILE: Final = "training_set.parquet"

ASKED: Final = (
    "event_id", "visitor_id", "item_id", "kind", "value_micros", "occurred_at_ms", "received_at_ms", *POSITION,
)  # fmt: skip
"""What the training set says of the interaction itself."""


def known_columns(entity: Entity) -> list[str]:
    """The columns that tell what was known of an entity; null where nothing was."""
    return [name for feature in features_of(entity) for name in feature.total_names]


def newest_cutoffs(cutoff_ms: int, buckets: int, policy: BucketPolicy) -> list[int]:
    """The starts of the newest buckets below a cutoff, ascending: those whose interactions are asked about."""
    return [cutoff_ms - ahead * policy.period_ms for ahead in range(buckets, 0, -1)]


def write_snapshots(facts: DataFrame, folder: Path, cutoffs: Sequence[int], policy: BucketPolicy) -> dict[str, int]:
    """Write the rows of each view as of each cutoff, for the entities of that bucket's interactions; counts by view.

    `facts` are admitted facts; what is admitted of a bucket depends on it and earlier ones only.
    """
    rows = {}
    for entity, view in VIEWS.items():
        parts = [_as_of(entity, facts, cutoff_ms, policy) for cutoff_ms in cutoffs]
        rows[view.name] = write_file(reduce(DataFrame.unionByName, parts), Path(offline_path(folder, view.name)))
    return rows


def _as_of(entity: Entity, facts: DataFrame, cutoff_ms: int, policy: BucketPolicy) -> DataFrame:
    """The view's rows at a cutoff, of the entities that somebody asks about in the bucket that begins there."""
    key, counted = JOIN_KEYS[entity], facts.where("personalise")
    wanted = counted.where(F.col("bucket_ms") == cutoff_ms).select(key).distinct()
    before = facts.where(F.col("bucket_ms") < cutoff_ms).join(wanted, key, "left_semi")
    return view_rows(entity, before.repartition("visitor_id"), policy, cutoff_ms=cutoff_ms)


def write_training_set(facts: DataFrame, folder: Path, cutoffs: Sequence[int]) -> int:
    """Join the interactions of the cutoffs' buckets with the snapshots in `folder`; returns how many there are.

    Those that must not personalise are no training.
    """
    asked = facts.where("personalise").where(F.col("bucket_ms").isin(list(cutoffs)))
    joined = asked.select(*ASKED, F.col("bucket_ms").alias(KNOWN_TO))
    for entity, view in VIEWS.items():
        snapshots = facts.sparkSession.read.parquet(offline_path(folder, view.name))
        known = snapshots.select(JOIN_KEYS[entity], F.col("cutoff_ms").alias(KNOWN_TO), *known_columns(entity))
        joined = joined.join(known, [JOIN_KEYS[entity], KNOWN_TO], "left")
    columns = [*ASKED, KNOWN_TO, *(name for entity in VIEWS for name in known_columns(entity))]
    in_order = joined.select(*columns).repartition(1).sortWithinPartitions(*POSITION)
    return write_file(in_order, folder / FILE)
