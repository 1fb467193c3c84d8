"""The aggregate algebra: mergeable states per bucket, folded over buckets, finished only when read."""

from domain.aggregates.algebra import Aggregate, Column, ColumnType
from domain.aggregates.decay import DecayedSum
from domain.aggregates.histogram import Histogram
from domain.aggregates.last import LastN
from domain.aggregates.sums import Sum

__all__ = ["Aggregate", "Column", "ColumnType", "DecayedSum", "Histogram", "LastN", "Sum"]
