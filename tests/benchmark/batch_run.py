"""One size of the batch benchmark, in a process of its own: `python -m tests.benchmark.batch_run FOLDER EVENTS ITEMS`.

The steps are the daily run's own functions on a lake in its own layout. The last line on standard output is JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec
import numpy as np
from pyspark.sql import SparkSession

from batch.cutoff import Cut
from batch.daily_steps import Steps
from batch.features.admission import admitted
from batch.features.facts import read_log
from batch.spark import spark_session
from batch.training.models import vocabulary_of
from batch.training.session_log import DatedSessions
from domain.recommenders.covisitation import Covisitation, CovisitationPolicy
from domain.recommenders.covisitation_kernel import FORWARD
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.session_log import SessionLog
from infra.settings import BatchSettings, Settings
from tests.benchmark.lake_maker import Shop, make_lake
from tests.benchmark.stage_watch import Watch

CORES: Final = 2
STEPS_MAX: Final = 19
PARTNERS: Final = 100
PLAIN: Final = CovisitationPolicy(
    steps_max=STEPS_MAX, neighbours_max=PARTNERS, step_decay=1e12, recency_decay_days=1e12, backward_weight=1.0
)
"""Every pair within the last twenty items weighs one, so that its sums are counts, which SQL can be asked for too."""

APART: Final = ("spark_start", "compile", "duckdb")
"""What is measured and does not belong to the day's work."""

PAIRS: Final = f"""
CREATE OR REPLACE TABLE pairs AS
WITH numbered AS (SELECT row_number() OVER () AS session, items FROM read_parquet($sessions)),
placed AS (SELECT session, unnest(items) AS item, generate_subscripts(items, 1) AS place FROM numbered)
SELECT earlier.item AS earlier, later.item AS later, count(*) AS together
FROM placed earlier JOIN placed later ON earlier.session = later.session
 AND later.place > earlier.place AND later.place - earlier.place <= {STEPS_MAX} AND earlier.item <> later.item
GROUP BY ALL
"""


def main() -> None:
    """Make the lake unless it is there, run, and print."""
    folder, events, items = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    settings = Settings(state_dir=folder, batch=BatchSettings(spark_memory=sys.argv[4], spark_cores=CORES))
    with Watch() as watch:
        with watch.step("generate"):
            cut = lake_in(folder, settings, Shop(events, items))
        found = run(settings, cut, watch)
    made = watch.steps.pop("generate")
    total_s = round(sum(watch.steps[name]["s"] for name in watch.steps if name not in APART), 1)
    told = {"events": events, "records": cut.records, "items": items, "load": round(os.getloadavg()[0], 1)}
    peak_gb = max(step["peak_gb"] for name, step in watch.steps.items() if name != "duckdb")
    duckdb_s = watch.steps["duckdb"]["s"]
    print(
        json.dumps(
            told
            | {"total_s": total_s, "peak_gb": peak_gb, "duckdb_covisitation_s": duckdb_s}
            | found
            | {"steps": watch.steps, "generate": made}
        )
    )


def lake_in(folder: Path, settings: Settings, shop: Shop) -> Cut:
    """The cut of the lake in a folder, which is made unless it was before."""
    made = folder / "cut.json"
    if not made.exists():
        made.write_bytes(msgspec.json.encode(make_lake(settings, shop)))
    return msgspec.json.decode(made.read_bytes(), type=Cut)


def run(settings: Settings, cut: Cut, watch: Watch) -> dict[str, Any]:
    """All steps of a day but the evaluation and the publishing."""
    steps = Steps(settings, cut, settings.state_dir / "run", spark_session)
    steps.folder.mkdir(exist_ok=True)
    with watch.step("spark_start"):
        session = spark_session(settings, cut.records + cut.impressions)
        spark = session.__enter__()
    try:
        rows = compute(spark, settings, steps, watch)
    finally:
        session.__exit__(None, None, None)
    return rows | learn(steps, watch)


def compute(spark: SparkSession, settings: Settings, steps: Steps, watch: Watch) -> dict[str, Any]:
    """What Spark does."""
    cut = steps.cut
    with watch.step("admission", spark) as told:
        log = read_log(spark, settings.lake_dir, cut.lake_version, cut.cutoff_ms)
        facts = admitted(log, settings.policies)
        told["admitted"] = facts.count()
    with watch.step("features", spark):
        rows = steps.compute_features(spark, facts)
    with watch.step("sessions", spark):
        rows |= steps.cut_sessions(facts)
    return rows


def learn(steps: Steps, watch: Watch) -> dict[str, Any]:
    """Co-visitation and the kNN index, from the sessions; and the same co-visitation by DuckDB, from the same file."""
    path = steps.folder / "sessions.parquet"
    with watch.step("read_sessions"):
        vocabulary = vocabulary_of(steps.view_files["item_profile"])
        sessions = DatedSessions.read(path, vocabulary)
    with watch.step("knn_index"):
        SessionKnn.build(sessions.log, len(vocabulary)).save(steps.folder)
    with watch.step("compile"):  # once an installation; afterwards it is loaded from numba's cache
        Covisitation.build(SessionLog.of([(0, [0, 1])]), 2, PLAIN)
    with watch.step("covisitation"):
        model = Covisitation.build(sessions.log, len(vocabulary), PLAIN, threads=CORES)
        model.save(steps.folder)
    with watch.step("duckdb"), duckdb.connect(str(steps.folder / "pairs.duckdb")) as sql:
        sql.execute(f"SET threads = {CORES}")
        sql.execute(PAIRS, {"sessions": str(path)})
    with duckdb.connect(str(steps.folder / "pairs.duckdb")) as sql:
        wrong = disagreements(sql, model, np.array(vocabulary.item_ids))
    kept = len(model.rows[1])
    return {"interactions": len(sessions.log.items), "pairs_kept": kept, "pairs_wrong": wrong}


def disagreements(sql: duckdb.DuckDBPyConnection, model: Covisitation, item_ids: np.ndarray[Any, Any]) -> int:
    """Of the pairs that the model keeps, how many DuckDB has counted otherwise."""
    offsets, partners, weights = model.rows
    every = slice(None, None, max(1, len(partners) // 1_000_000))
    kept = {
        "earlier": item_ids[np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[every]],
        "later": item_ids[partners[every]],
        "together": weights[every, FORWARD].astype(np.int64),
    }
    sql.register("kept", kept)
    [(wrong,)] = sql.execute(
        "SELECT count(*) FROM kept LEFT JOIN pairs USING (earlier, later) "
        "WHERE kept.together <> coalesce(pairs.together, 0)"
    ).fetchall()
    return int(wrong)


if __name__ == "__main__":
    main()
