"""The slates of experiments and what followed them, from the lake, by the rules of `domain.impressions`.

Memory: the slates of the time that is asked for (about 1 KB each) and the interactions that name one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from batch.lake.impressions import IMPRESSIONS
from batch.lake.interactions import INTERACTIONS, to_records
from batch.lake.layout import PARTITION_COLUMN
from batch.lake.table import Lake, is_table, open_table
from domain.experiments.assigned import AssignedArm
from domain.impressions import CLICKS, CONVERSIONS
from domain.policies import Policies
from domain.reference import admitted
from infra.settings import Settings
from schemas.errors import ConfigurationError


class NothingArchived(ConfigurationError):
    """There is no lake to read."""

    def __init__(self) -> None:
        super().__init__(
            "lake", "nothing is archived yet", "start the platform, or run `python -m batch archive --once`"
        )


class Period(NamedTuple):
    """The instants from which and before which Kafka took a record."""

    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """One slate: to whom it was shown, in which arms, and how many of its items led to something.

    `explored` are its places below certainty: the propensity, and whether the item was clicked.
    """

    visitor_id: str
    received_at_ms: int
    arms: tuple[AssignedArm, ...]
    shown: int
    clicked: int
    converted: int
    explored: tuple[tuple[float, bool], ...]


def read_outcomes(settings: Settings, period: Period) -> list[Outcome]:
    """The slates of the period that belong to an experiment, in the order in which they were received.

    Raises:
        NothingArchived: there is no table of impressions, or none of interactions.
    """
    if not (is_table(settings, IMPRESSIONS) and is_table(settings, INTERACTIONS)):
        raise NothingArchived
    impressions, interactions = open_table(settings, IMPRESSIONS), open_table(settings, INTERACTIONS)
    slates = _slates(impressions, period, settings.policies)
    followed = _followed(interactions, slates, period, settings.policies)
    return [_outcome(row, followed.get(row["slate_id"], {})) for row in _rows(slates)]


_SLATE_COLUMNS: Final = (
    "partition", "offset", "received_at_ms", "slate_id", "visitor_id", "items", "propensities", "assigned",
)  # fmt: skip
_ACT_COLUMNS: Final = ("partition", "offset", "slate_id", "visitor_id", "item_id", "kind")


def _slates(impressions: Lake, period: Period, policies: Policies) -> pa.Table:
    """Of the records with one slate id, the first, if it belongs to an experiment and to the period."""
    rows = impressions.read(_SLATE_COLUMNS, _buckets(period, policies))
    order = [("received_at_ms", "ascending"), ("partition", "ascending"), ("offset", "ascending")]
    rows = rows.sort_by(order).append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    first = rows.select(["slate_id", "row"]).group_by("slate_id").aggregate([("row", "min")])["row_min"]
    rows = rows.drop_columns("row").take(first.combine_chunks().sort()) if rows.num_rows else rows
    wanted = pc.and_(
        _within(rows["received_at_ms"], period),
        pc.fill_null(pc.greater(pc.list_value_length(rows["assigned"]), 0), fill_value=False),
    )
    return rows.filter(wanted)


def _followed(
    interactions: Lake, slates: pa.Table, period: Period, policies: Policies
) -> dict[str, dict[tuple[str, str], set[str]]]:
    """By slate, then visitor and item: the kinds of the admitted interactions that named it."""
    wanted = pa.array([*CLICKS, *CONVERSIONS])
    visitors = pc.unique(slates["visitor_id"])
    mine = _buckets(period, policies) & ds.field("visitor_id").isin(visitors)
    acts = interactions.read((*_ACT_COLUMNS, "received_at_ms"), mine & ds.field("slate_id").is_valid())
    acts = acts.filter(pc.and_(pc.is_in(acts["kind"], value_set=wanted), _within(acts["received_at_ms"], period)))
    refused = _not_admitted(interactions, mine, pc.unique(acts["visitor_id"]), policies)
    found: dict[str, dict[tuple[str, str], set[str]]] = defaultdict(lambda: defaultdict(set))
    for act in _rows(acts.select(_ACT_COLUMNS)):
        if (act["partition"], act["offset"]) not in refused:
            found[act["slate_id"]][act["visitor_id"], act["item_id"]].add(act["kind"])
    return found


def _not_admitted(interactions: Lake, mine: Any, visitors: pa.Array, policies: Policies) -> Collection[tuple[int, int]]:
    """The places of their records that do not count.

    Whoever sent no event twice and had no flood has none; of the others the reference decides.
    """
    theirs = mine & ds.field("visitor_id").isin(visitors)
    rows = interactions.read(["partition", "visitor_id", PARTITION_COLUMN, "event_id"], theirs)
    repeated = rows.group_by(["partition", "visitor_id", "event_id"]).aggregate([([], "count_all")])
    repeated = repeated.filter(pc.greater(repeated["count_all"], 1))
    flooded = rows.group_by(["partition", "visitor_id", PARTITION_COLUMN]).aggregate([([], "count_all")])
    flooded = flooded.filter(pc.greater(flooded["count_all"], policies.admission.admitted_max))
    unclear = {*repeated["visitor_id"].to_pylist(), *flooded["visitor_id"].to_pylist()}
    if not unclear:
        return set()
    records = to_records(interactions.read(where=theirs & ds.field("visitor_id").isin(pa.array(sorted(unclear)))))
    kept = {(one.stamp.partition, one.stamp.offset) for one in admitted(records, policies)}
    return {(one.stamp.partition, one.stamp.offset) for one in records} - kept


def _outcome(row: dict[str, Any], followed: dict[tuple[str, str], set[str]]) -> Outcome:
    items = set(row["items"])
    kinds = {item: followed.get((row["visitor_id"], item), set()) for item in items} if followed else {}
    clicked = {item for item, those in kinds.items() if not those.isdisjoint(CLICKS)}
    places = zip(row["items"], row["propensities"], strict=False)
    return Outcome(
        visitor_id=row["visitor_id"],
        received_at_ms=row["received_at_ms"],
        arms=tuple(AssignedArm(one["experiment"], one["arm"], one["propensity"]) for one in row["assigned"]),
        shown=len(items),
        clicked=len(clicked),
        converted=sum(not those.isdisjoint(CONVERSIONS) for those in kinds.values()),
        explored=tuple((chance, item in clicked) for item, chance in places if 0 < chance < 1),
    )


def _buckets(period: Period, policies: Policies) -> Any:
    """The buckets of the period, and those before it in which an event may have been seen."""
    earliest_ms = policies.bucket.start_of(period.from_ms) - policies.bucket.dedup * policies.bucket.period_ms
    return (ds.field(PARTITION_COLUMN) >= earliest_ms) & (ds.field(PARTITION_COLUMN) < period.to_ms)


def _within(received: Any, period: Period) -> Any:
    return pc.and_(pc.greater_equal(received, period.from_ms), pc.less(received, period.to_ms))


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=10_000):
        yield from batch.to_pylist()
