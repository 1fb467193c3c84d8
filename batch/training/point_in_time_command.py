"""`python -m batch training-set`: write the training set of the newest buckets, refused when a feature leaks."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from batch.cutoff import Cut, cut_log
from batch.features.admission import admitted
from batch.features.facts import read_log
from batch.lake.interactions import to_records
from batch.lake.layout import PARTITION_COLUMN
from batch.lake.table import Lake
from batch.parity_log import ADMISSION_COLUMNS, to_admit
from batch.spark import spark_session
from batch.training.point_in_time import FILE, newest_cutoffs, write_snapshots, write_training_set
from batch.training.point_in_time_leaks import TrainingRow, refuse_leaks
from domain.reference import LogRecord
from infra.settings import Settings
from schemas.errors import DependencyError

NOTE: Final = "training_set.json"
SEED: Final = 29

Tell = Callable[[str], None]


class NothingAsked(DependencyError):
    """There is no interaction to learn from in the buckets that were asked for."""

    def __init__(self, cutoffs: Sequence[int]) -> None:
        first, last = (datetime.fromtimestamp(at_ms / 1_000, UTC) for at_ms in (cutoffs[0], cutoffs[-1]))
        super().__init__(
            "training set",
            f"no interaction that may personalise is in the {len(cutoffs)} buckets from {first:%Y-%m-%dT%H:%M}Z "
            f"to the one of {last:%Y-%m-%dT%H:%M}Z",
            "ask for more of them (--buckets) or for older ones (--until)",
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of how many buckets, where to, and how many rows are checked for leaks."""

    folder: Path
    buckets: int = 7
    sample: int = 100
    cutoff_ms: int | None = None  # the newest closed one unless given


def write(settings: Settings, wanted: Wanted, tell: Tell) -> dict[str, Any]:
    """Write snapshots, training set and a note of what it is; returns the note.

    Raises:
        LeakedFeature: a sampled row knows what had not happened yet; the training set is removed.
        NothingAsked: there are no interactions in these buckets.
    """
    cut = cut_log(settings, wanted.cutoff_ms)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    cutoffs = newest_cutoffs(cut.cutoff_ms, wanted.buckets, settings.policies.bucket)
    with spark_session(settings, cut.records) as spark:
        log = read_log(spark, settings.lake_dir, cut.lake_version, cut.cutoff_ms)
        facts = admitted(log, settings.policies)
        snapshots = write_snapshots(facts, wanted.folder, cutoffs, settings.policies.bucket)
        tell(f"training-set: {', '.join(f'{rows:,} rows of {view}' for view, rows in snapshots.items())}")
        rows = write_training_set(facts, wanted.folder, cutoffs)
    if not rows:
        raise NothingAsked(cutoffs)
    tell(f"training-set: {rows:,} interactions of {wanted.buckets} buckets")
    path = wanted.folder / FILE
    compared = check(settings, path, cut, wanted.sample)
    note = {
        "cutoff_ms": cut.cutoff_ms,
        "lake_version": cut.lake_version,
        "interactions": rows,
        "snapshots": snapshots,
        "cells_checked": compared,
        "sha256": _digest(path),
    }
    (wanted.folder / NOTE).write_text(json.dumps(note, indent=1) + "\n")
    return note


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(settings: Settings, path: Path, cut: Cut, sample: int) -> int:
    """Refuse a training set of which a sampled row leaks, and remove it; returns how many cells were compared."""
    rows = sampled_rows(path, sample)
    try:
        return refuse_leaks(rows, records_around(settings, rows, cut.cutoff_ms), settings.policies)
    except Exception:
        path.unlink()
        raise


def sampled_rows(path: Path, sample: int) -> list[TrainingRow]:
    """Rows drawn evenly, always the same of the same file."""
    table = pq.read_table(path)
    places = sorted(random.Random(SEED).sample(range(len(table)), min(sample, len(table))))
    rows: list[TrainingRow] = table.take(pa.array(places, pa.int64())).to_pylist()
    return rows


def records_around(settings: Settings, rows: list[TrainingRow], cutoff_ms: int) -> list[LogRecord]:
    """The records of the rows' visitors and items, and all others that decide which of these are admitted."""
    lake = Lake.open(settings.lake_dir, settings.policies.bucket)
    below = ds.field(PARTITION_COLUMN) < cutoff_ms
    visitors, items = (pa.array(sorted({row[key] for row in rows}), pa.string()) for key in ("visitor_id", "item_id"))
    is_wanted = ds.field("visitor_id").isin(visitors) | ds.field("item_id").isin(items)
    whole = lake.read(where=below & is_wanted)
    fans = pc.unique(whole["visitor_id"])
    others = lake.read(ADMISSION_COLUMNS, below & ds.field("visitor_id").isin(fans) & ~is_wanted)
    return [*to_records(whole), *to_admit(others)]
