"""Item factors for long-term taste: alternating least squares over implicit feedback, by Spark ML.

What is learnt from are weights of (visitor, item) pairs: from a session log, or from admitted facts, where a purchase
may say more than a view. Only item factors are kept; `domain.recommenders.long_term_taste` folds a visitor in.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from domain.recommenders.long_term_taste import LongTermTaste, TastePolicy
from domain.recommenders.session_log import SessionLog
from domain.recommenders.vocabulary import Vocabulary
from infra.settings import Settings, load_settings
from schemas.errors import DependencyError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COUNTS: Final = "counts.parquet"
FACTORS: Final = "factors.parquet"
LINES_TOLD: Final = 5
HISTORY_LEAST: Final = 5
"""Different items that make a visitor a history."""
HISTORIES_LEAST: Final = 200
"""With fewer of them no taste is learnt that co-visitation does not know."""


class FactorisationFailed(DependencyError):
    """Spark, or its JVM, ended before the factors were there; tells the last lines of its log, which goes with it."""

    def __init__(self, log: Path) -> None:
        said = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        problem = " | ".join(said[-LINES_TOLD:]) or "it left no word"
        super().__init__("spark", problem, "give it more memory (FIRTH_BATCH__SPARK_MEMORY), or look what ended it")


@dataclass(frozen=True, slots=True)
class AlsPolicy:
    """Frozen parameters of one training: the same policy and counts give the same factors.

    `blocks` decides how sums are split, so it is part of what makes a training repeatable; the cores are not.
    """

    width: int = 64
    iterations: int = 12
    confidence: float = 2.0
    regularisation: float = 0.05
    decay_positions: float = 20.0  # when a visitor is folded in: see `TastePolicy`
    seed: int = 20
    blocks: int = 2

    def __post_init__(self) -> None:
        if min(self.width, self.iterations, self.blocks) < 1:
            raise ValueError(f"{self} has a size below 1")
        self.taste()

    def taste(self) -> TastePolicy:
        """How visitors are folded in; raises `ValueError` where that is not defined."""
        return TastePolicy(self.confidence, self.regularisation, decay_positions=self.decay_positions)


def counts_of_log(log: SessionLog, visitors: npt.NDArray[np.int64] | None = None) -> pa.Table:
    """[visitor, item, weight], one row a pair in their order: how often the visitor acted on the item.

    `visitors` [sessions] numbers whose session each is; without it every session is a visitor of its own.
    """
    owners = np.arange(len(log)) if visitors is None else visitors
    acted = np.repeat(owners, np.diff(log.offsets))
    rows = pa.table({"visitor": acted.astype(np.int32), "item": log.items, "weight": np.ones(len(acted), np.float32)})
    return _summed(rows)


def counts_of_facts(facts: DataFrame, gains: Mapping[str, float], vocabulary: Vocabulary, folder: Path) -> pa.Table:
    """The same of admitted facts: each counts the gain of its kind; kinds without one, and what sums up to no more
    than 0, say nothing. Spark sums the pairs; `folder` holds them on the way.
    """
    from pyspark.sql import functions as F

    from batch.parquet import write_file

    counted = {kind: gain for kind, gain in gains.items() if gain}
    gain_of = F.create_map(*(F.lit(part) for pair in counted.items() for part in pair))
    heard = facts.where("personalise").where(F.col("kind").isin(list(counted)))
    pairs = heard.groupBy("visitor_id", "item_id").agg(F.sum(gain_of[F.col("kind")]).alias("weight"))
    path = folder / COUNTS
    write_file(pairs.where("weight > 0"), path)
    table = pq.read_table(path).sort_by([("visitor_id", "ascending"), ("item_id", "ascending")]).combine_chunks()
    known = pa.array(vocabulary.item_ids, pa.string())
    item = pc.index_in(table["item_id"], value_set=known)
    visitor = table["visitor_id"].combine_chunks().dictionary_encode().indices
    weight = table["weight"].cast(pa.float32())
    rows = pa.table({"visitor": visitor, "item": item, "weight": weight}).filter(pc.is_valid(item))
    return _summed(rows)


def train(spark: SparkSession, counts: pa.Table, items_count: int, policy: AlsPolicy, folder: Path) -> LongTermTaste:
    """Factors of every item that somebody acted on, zeros for others; `folder` holds what goes to Spark and back."""
    from pyspark.ml.recommendation import ALS

    from batch.parquet import write_file

    factors = np.zeros((items_count, policy.width), np.float32)
    if not counts.num_rows:
        return LongTermTaste(factors, policy.taste())
    pq.write_table(counts, folder / COUNTS)
    model = ALS(
        rank=policy.width,
        maxIter=policy.iterations,
        regParam=policy.regularisation,
        alpha=policy.confidence,
        implicitPrefs=True,
        numUserBlocks=policy.blocks,
        numItemBlocks=policy.blocks,
        seed=policy.seed,
        userCol="visitor",
        itemCol="item",
        ratingCol="weight",
        intermediateStorageLevel="MEMORY_AND_DISK",
    ).fit(spark.read.parquet(str(folder / COUNTS)))
    write_file(model.itemFactors, folder / FACTORS)
    found = pq.read_table(folder / FACTORS).combine_chunks()
    values = found["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    factors[found["id"].to_numpy()] = values.reshape(-1, policy.width)
    return LongTermTaste(factors, policy.taste())


def has_enough(counts: pa.Table) -> bool:
    """Whether so many visitors have histories that their tastes can be told apart."""
    lengths = counts.group_by("visitor").aggregate([("item", "count")])["item_count"]
    return int((lengths.to_numpy() >= HISTORY_LEAST).sum()) >= HISTORIES_LEAST


def train_apart(
    counts: pa.Table, items_count: int, policy: AlsPolicy | None = None, settings: Settings | None = None
) -> LongTermTaste:
    """`train` in a Spark session of its own, whose files are gone afterwards; without settings those of this machine.

    However small the log, Java's optimising compiler is at work: without it the vector instructions that Spark's
    algebra is made of are calls that make garbage, and adding 64 numbers to others takes 7 microseconds instead of 0.2.

    Raises:
        ConfigurationError: Spark does not start.
        FactorisationFailed: Spark ended in the midst of it.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    from batch.spark import FEW_RECORDS, spark_session

    with tempfile.TemporaryDirectory(prefix="firth-als-") as scratch:
        folder = Path(scratch)
        own = (settings or load_settings()).model_copy(update={"state_dir": folder})
        try:
            with spark_session(own, records=max(counts.num_rows, FEW_RECORDS)) as spark:
                return train(spark, counts, items_count, policy or AlsPolicy(), folder)
        except (Py4JError, PySparkException, OSError) as error:
            raise FactorisationFailed(own.logs_dir / "spark.log") from error


def _summed(rows: pa.Table) -> pa.Table:
    """One row a pair, in the order of pairs, so that Spark reads the same file whoever wrote it."""
    summed: Any = rows.group_by(["visitor", "item"], use_threads=False).aggregate([("weight", "sum")])
    summed = summed.rename_columns(["visitor", "item", "weight"])
    summed = summed.set_column(2, "weight", summed["weight"].cast(pa.float32()))
    return summed.sort_by([("visitor", "ascending"), ("item", "ascending")])
