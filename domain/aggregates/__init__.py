"""The aggregate algebra: mergeable states per bucket, folded over buckets, finished only when read."""

from domain.aggregates.algebra import Aggregate, Column, ColumnType
from domain.aggregates.bucket_rate import BucketRate
from domain.aggregates.decay import DecayedSum
from domain.aggregates.distinct import KMinValues
from domain.aggregates.extremes import MinMax
from domain.aggregates.histogram import Histogram
from domain.aggregates.last import LastN
from domain.aggregates.sums import Sum
from domain.aggregates.windowed import Windowed

__all__ = [
    "Aggregate",
    "BucketRate",
    "Column",
    "ColumnType",
    "DecayedSum",
    "Histogram",
    "KMinValues",
    "LastN",
    "MinMax",
    "Sum",
    "Windowed",
]
