"""`python -m batch daily`: recompute every feature and model from the log up to a closed bucket, and publish them.

pin → admission → features → sessions → models → evaluate → artifact → publish. Each step is skipped when it is done,
so a run that was killed goes on where it stopped, and one by the same log and catalogue finds everything done.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from batch import run as runs
from batch.cutoff import Cut, cut_log, end_of
from batch.evaluation import POLICIES, choose_policy, evaluate_models
from batch.features.admission import admitted
from batch.features.facts import read_log
from batch.features.impressions import impression_counts, read_impressions, with_impressions
from batch.features.plan import view_rows
from batch.parquet import write_file
from batch.publish import BATCH_VIEWS, is_published, publish, refuse_older
from batch.run import Found, Run, Tell, only_run, pin_of
from batch.spark import spark_session
from batch.training import artifact
from batch.training.models import Models, vocabulary_of
from batch.training.session_log import DatedSessions
from batch.training.sessions import sessions_of
from domain.recommenders.vocabulary import Vocabulary
from infra import logs
from infra.settings import Settings, load_settings

OpenSpark = Callable[[Settings, int], AbstractContextManager[SparkSession]]


def main(arguments: Sequence[str]) -> int:
    """The command line; the last line on standard output is JSON."""
    options = _parser().parse_args(arguments)
    logs.configure("daily")
    wanted_ms = end_of(options.date) if options.date else options.cutoff_ms
    summary = run_daily(load_settings(), wanted_ms, tell=_say, fresh=options.fresh)
    _say(json.dumps(summary))
    return 0


def run_daily(
    settings: Settings,
    wanted_ms: int | None = None,
    *,
    tell: Tell,
    fresh: bool = False,
    open_spark: OpenSpark = spark_session,
) -> Found:
    """Do all steps up to the wanted cutoff, or the newest closed one; returns the summary."""
    folder = settings.state_dir / "daily"
    with only_run(folder):
        cut = cut_log(settings, wanted_ms)
        refuse_older(settings.artifacts_dir, cut.cutoff_ms)
        tell(
            f"daily: {cut.records:,} records and {cut.impressions:,} impressions below {cut.cutoff_ms}, "
            f"version {cut.lake_version} of the lake"
        )
        pin = pin_of(cut, settings.policies)
        run = Run.open(folder / str(cut.cutoff_ms), pin, cut.lake_version, tell, fresh=fresh)
        steps = Steps(settings, cut, run.folder, open_spark)
        steps.compute(run)
        policy = run.step("tune", steps.tune)["policy"]
        run.step("models", partial(steps.build_models, policy))
        metrics = run.step("evaluate", partial(steps.evaluate, policy))
        packed = run.step("artifact", partial(steps.pack, run.record, metrics))
        if run.is_done("publish") and not is_published(settings, steps.view_files, packed["version"]):
            run.undo("publish")
        run.step("publish", partial(steps.publish, packed["version"]))
        artifact.prune(settings.artifacts_dir, packed["version"])
        runs.prune(folder)
        return _summary(run, metrics, packed)


@dataclass(frozen=True, slots=True)
class Steps:
    """What each step does. Files are complete or absent: each is written beside its place and then renamed."""

    settings: Settings
    cut: Cut
    folder: Path
    open_spark: OpenSpark

    @property
    def view_files(self) -> dict[str, Path]:
        """The Parquet file of each batch view."""
        return {view.name: self.folder / f"{view.name}.parquet" for view in BATCH_VIEWS}

    def compute(self, run: Run) -> None:
        """All that Spark does, in one session that is only started when something is left to do."""
        if run.is_done("features") and run.is_done("sessions"):
            return
        started_s = time.monotonic()
        with self.open_spark(self.settings, self.cut.records + self.cut.impressions) as spark:
            run.note("spark", {"cores": self.settings.batch.spark_cores}, started_s)
            started_s = time.monotonic()
            facts = self._admitted(spark)
            run.note("admission", {"admitted": facts.count()}, started_s)
            run.step("features", partial(self.compute_features, spark, facts))
            run.step("sessions", partial(self.cut_sessions, facts))

    def _admitted(self, spark: SparkSession) -> DataFrame:
        """The admitted facts, kept in the session for all that is computed from them."""
        log = read_log(spark, self.settings.lake_dir, self.cut.lake_version, self.cut.cutoff_ms)
        return admitted(log, self.settings.policies)

    def compute_features(self, spark: SparkSession, facts: DataFrame) -> Found:
        """The rows of every batch view."""
        rows = {}
        for view in BATCH_VIEWS:
            frame = view_rows(
                view.entity,
                facts,
                self.settings.policies.bucket,
                first_bucket_ms=self.cut.first_bucket_ms,
                cutoff_ms=self.cut.cutoff_ms,
            )
            if view.entity == "item":
                frame = with_impressions(frame, self._impression_counts(spark, facts), self.cut.cutoff_ms)
            rows[f"{view.entity}s"] = write_file(frame, self.view_files[view.name])
        return rows

    def _impression_counts(self, spark: SparkSession, facts: DataFrame) -> DataFrame:
        """What became of every item that was shown."""
        cut = self.cut
        shown = read_impressions(spark, self.settings.impressions_dir, cut.impressions_version, cut.cutoff_ms)
        return impression_counts(shown, facts)

    def cut_sessions(self, facts: DataFrame) -> Found:
        """Every visitor's sessions."""
        sessions = sessions_of(facts, self.settings.policies.session)
        return {"sessions": write_file(sessions, self.folder / "sessions.parquet")}

    def tune(self) -> Found:
        """Which of the declared policies suits this log, by a slice that no figure is reported on."""
        sessions, vocabulary = self._sessions()
        policy, hit_rates = choose_policy(sessions, len(vocabulary))
        return {"policy": policy, "validation_hr20": hit_rates}

    def build_models(self, policy: str) -> Found:
        """The index and the popularity, over every item with a profile."""
        sessions, vocabulary = self._sessions()
        unfinished = self.folder / "models.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        models = Models.build(
            self.view_files["item_profile"],
            sessions,
            vocabulary,
            cutoff_ms=self.cut.cutoff_ms,
            policy=POLICIES[policy],
        )
        models.save(unfinished)
        shutil.rmtree(self.folder / "models", ignore_errors=True)
        unfinished.rename(self.folder / "models")
        return {"items": len(vocabulary), "sessions": len(sessions)}

    def evaluate(self, policy: str) -> Found:
        """How good the models are, asked about the newest sessions."""
        sessions, vocabulary = self._sessions()
        return evaluate_models(sessions, len(vocabulary), policy)

    def _sessions(self) -> tuple[DatedSessions, Vocabulary]:
        vocabulary = vocabulary_of(self.view_files["item_profile"])
        return DatedSessions.read(self.folder / "sessions.parquet", vocabulary), vocabulary

    def pack(self, record: runs.Record, metrics: Found) -> Found:
        """The models as an artifact."""
        steps = record.steps
        manifest = artifact.pack(
            self.folder / "models",
            self.settings.artifacts_dir,
            cutoff_ms=self.cut.cutoff_ms,
            lake_version=record.lake_version,
            created_at_ms=time.time_ns() // 1_000_000,
            metrics=metrics,
            counts={**steps["features"].found, **steps["sessions"].found, "records": record.pin.records},
        )
        return {"version": manifest.version}

    def publish(self, version: str) -> Found:
        """Rows first, then the pointer."""
        return dict(publish(self.settings, self.view_files, self.cut.cutoff_ms, version).rows)


def _summary(run: Run, metrics: Found, packed: Found) -> Found:
    steps = run.record.steps
    return {
        "cutoff_ms": run.record.pin.cutoff_ms,
        "lake_version": run.record.lake_version,
        "version": packed["version"],
        **steps["features"].found,
        **steps["sessions"].found,
        "policy": steps["tune"].found["policy"],
        "hr20": metrics.get("session_knn_hr20"),
        "mrr20": metrics.get("session_knn_mrr20"),
        "popularity_hr20": metrics.get("popularity_hr20"),
        "seconds": run.seconds,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m batch daily", description=__doc__)
    until = parser.add_mutually_exclusive_group()
    until.add_argument("--date", type=date.fromisoformat, metavar="YYYY-MM-DD", help="cut at the end of this UTC day")
    until.add_argument("--cutoff-ms", type=int, metavar="MS", help="cut at this instant, the end of a closed bucket")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--fresh", action="store_true", help="do every step again")
    start.add_argument("--resume", action="store_true", help="go on where the last run stopped (the default)")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
