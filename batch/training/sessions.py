"""Every visitor's sessions in native Spark columns: `domain.timeline.opens_session` over the whole log."""

from __future__ import annotations

from typing import Final

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from domain.policies import SessionPolicy

DISLIKES: Final = ("dislike", "hide")
"""Kinds that belong to a session but say nothing of what goes with its other items."""


def sessions_of(facts: DataFrame, policy: SessionPolicy) -> DataFrame:
    """[visitor_id, session, started_at_ms, ended_at_ms, items, kinds, values_micros, moves], oldest item first.

    `facts` are admitted facts, partitioned by visitor. An item that is repeated at once is taken once, and dislikes are
    left out, after the sessions have been cut: what a session is, does not depend on what is learnt from it. Sessions
    of one item are left out. `kinds` and `values_micros` are of every act, and `moves` says which of them begins the
    next of `items`.
    """
    visits = facts.where("personalise").select(
        "visitor_id", "occurred_at_ms", "event_id", "item_id", "kind", "session_id", "value_micros"
    )
    in_order = Window.partitionBy("visitor_id").orderBy("occurred_at_ms", "event_id", "item_id", "kind")
    opens = _opens_session(policy, in_order).cast("int")
    so_far = in_order.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    cut = visits.withColumn("_opens", opens).withColumn("session", F.sum("_opens").over(so_far))
    visit = F.struct("occurred_at_ms", "event_id", "item_id", "kind", "value_micros")
    return (
        cut.where(~F.col("kind").isin(*DISLIKES))
        .groupBy("visitor_id", "session")
        .agg(F.array_sort(F.collect_list(visit)).alias("_acts"), *_bounds())
        .withColumn("items", F.filter(F.col("_acts.item_id"), _moves))
        .where(F.size("items") > 1)
        .withColumns(
            {
                "kinds": F.col("_acts.kind"),
                "values_micros": F.col("_acts.value_micros"),
                "moves": F.transform(F.col("_acts.item_id"), _moves),
            }
        )
        .drop("_acts")
    )


def _moves(item: Column, at: Column) -> Column:
    """Whether it is another item than that of the act before."""
    return ~item.eqNullSafe(F.get("_acts.item_id", at - 1))


def _opens_session(policy: SessionPolicy, in_order: WindowSpec) -> Column:
    gap_ms = F.col("occurred_at_ms") - F.lag("occurred_at_ms").over(in_order)
    earlier = F.lag("session_id").over(in_order)
    changes = (earlier != "") & (F.col("session_id") != "") & (earlier != F.col("session_id"))
    return F.coalesce((gap_ms > policy.gap_ms) | changes, F.lit(col=True))


def _bounds() -> tuple[Column, Column]:
    return F.min("occurred_at_ms").alias("started_at_ms"), F.max("occurred_at_ms").alias("ended_at_ms")
