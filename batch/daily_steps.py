"""What each step of a daily run does.

Files are complete or absent: each is written beside its place and then renamed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from batch import run as runs
from batch.cutoff import Cut
from batch.features.admission import admitted
from batch.features.facts import ORDER, read_log
from batch.features.impressions import impression_counts, read_impressions, with_impressions
from batch.features.plan import view_rows
from batch.lake.archiver import TABLES
from batch.lake.impressions import IMPRESSIONS
from batch.lake.interactions import INTERACTIONS
from batch.lake.layout import Layout
from batch.lake.table import Lake
from batch.parquet import write_file
from batch.publish import BATCH_VIEWS, publish
from batch.quarantine import quarantine, quarantine_file
from batch.registry import daily_steps as registry
from batch.run import Found, Run, Tell
from batch.training import als, artifact, catalogue
from batch.training.catalogue import ids_of_snapshot, read_catalogue, read_snapshot, write_snapshot
from batch.training.content import StoredEmbeddings, content_of, embedded_content_of
from batch.training.line_up import LineUp
from batch.training.models import Models, popularity_of, vocabulary_of
from batch.training.session_log import DatedSessions
from batch.training.sessions import sessions_of
from domain.manifests import read_manifest
from domain.objectives import Objectives, kind_gains
from domain.recommenders.long_term_taste import FILE as FACTORS
from domain.recommenders.long_term_taste import LongTermTaste
from domain.recommenders.popularity import Popularity
from domain.recommenders.vocabulary import Vocabulary
from infra.metrics import DAILY_STEPS
from infra.settings import Settings
from schemas.errors import DependencyError
from schemas.events import ItemEvent

OpenSpark = Callable[[Settings, int], AbstractContextManager[SparkSession]]

STEPS: Final = DAILY_STEPS
"""In their order."""

TASTE: Final = "taste"
HISTORIES: Final = "histories.parquet"
"""The folder of the factors, and in it what they are learnt from."""

SERVED: Final = frozenset({"gate", "publish", "promote", "track"})
"""Those that only a run has whose rows are published."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of one run, over the versions of the tables that its cut names."""

    settings: Settings
    cut: Cut
    folder: Path
    open_spark: OpenSpark

    @property
    def view_files(self) -> dict[str, Path]:
        """The Parquet file of each batch view."""
        return {view.name: self.folder / f"{view.name}.parquet" for view in BATCH_VIEWS}

    def quarantine(self) -> Found:
        """Look for rows that break the contract; how many there are of each table."""
        return {f"{layout.name}_quarantined": self._quarantine(layout) for layout in TABLES}

    def _quarantine(self, layout: Layout[Any]) -> int:
        versions = {INTERACTIONS.name: self.cut.lake_version, IMPRESSIONS.name: self.cut.impressions_version}
        done = quarantine(
            Lake.at_version(self.settings, layout, versions[layout.name]),
            layout,
            self.settings.policies.bucket,
            cutoff_ms=self.cut.cutoff_ms,
            folder=self.folder,
            share_max=self.settings.batch.quarantine_share_max,
        )
        return done.quarantined

    def keep_catalogue(self) -> Found:
        """What the catalogue says now; where it cannot be read, the models do without what items are about."""
        path = self.folder / catalogue.FILE
        try:
            return {"in_catalogue": write_snapshot(path, read_catalogue(self.settings.kafka))}
        except DependencyError as error:
            return {"in_catalogue": write_snapshot(path, {}), "without_catalogue": str(error)}

    @property
    def catalogue(self) -> dict[str, ItemEvent]:
        """The catalogue that the run has kept."""
        return read_snapshot(self.folder / catalogue.FILE)

    def vocabulary(self) -> Vocabulary:
        """Every item with a profile or a place in the catalogue: also those on which nobody has acted yet."""
        return vocabulary_of(self.view_files["item_profile"], ids_of_snapshot(self.folder / catalogue.FILE))

    def compute(self, run: Run) -> None:
        """All that Spark does, in one session that is only started when something is left to do."""
        if all(run.is_done(step) for step in ("features", "sessions", "histories")):
            return
        started_s = time.monotonic()
        with self.open_spark(self.settings, self.cut.records + self.cut.impressions) as spark:
            run.note("spark", {"cores": self.settings.batch.spark_cores}, started_s)
            started_s = time.monotonic()
            facts = self._admitted(spark)
            run.note("admission", {"admitted": facts.count()}, started_s)
            run.step("features", partial(self.compute_features, spark, facts))
            run.step("sessions", partial(self.cut_sessions, facts))
            run.step("histories", partial(self.count_histories, facts))

    def _admitted(self, spark: SparkSession) -> DataFrame:
        """The admitted facts, kept in the session for all that is computed from them."""
        log = read_log(spark, self.settings.lake_dir, self.cut.lake_version, self.cut.cutoff_ms)
        return admitted(self._sound(spark, log, INTERACTIONS), self.settings.policies)

    def _sound(self, spark: SparkSession, rows: DataFrame, layout: Layout[Any]) -> DataFrame:
        """The rows that are not in quarantine; where none is, that costs nothing."""
        path = quarantine_file(self.folder, layout)
        if not path.exists():
            return rows
        broken = spark.read.parquet(str(path)).select(*ORDER).distinct()
        return rows.join(broken, list(ORDER), "left_anti")

    def compute_features(self, spark: SparkSession, facts: DataFrame) -> Found:
        """The rows of every batch view."""
        rows = {}
        for view in BATCH_VIEWS:
            frame = view_rows(view.entity, facts, self.settings.policies.bucket, cutoff_ms=self.cut.cutoff_ms)
            if view.entity == "item":
                frame = with_impressions(frame, self._impression_counts(spark, facts), self.cut.cutoff_ms)
            rows[f"{view.entity}s"] = write_file(frame, self.view_files[view.name])
        return rows

    def _impression_counts(self, spark: SparkSession, facts: DataFrame) -> DataFrame:
        """What became of every item that was shown."""
        cut = self.cut
        shown = read_impressions(spark, self.settings.impressions_dir, cut.impressions_version, cut.cutoff_ms)
        return impression_counts(self._sound(spark, shown, IMPRESSIONS), facts)

    def cut_sessions(self, facts: DataFrame) -> Found:
        """Every visitor's sessions."""
        sessions = sessions_of(facts, self.settings.policies.session)
        return {"sessions": write_file(sessions, self.folder / "sessions.parquet")}

    def count_histories(self, facts: DataFrame) -> Found:
        """Who acted on what, and how much that says."""
        folder = self.folder / TASTE
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        counts = als.counts_of_facts(facts, kind_gains(self.settings.objectives), self.vocabulary(), folder)
        pq.write_table(counts, folder / HISTORIES)
        return {"pairs": counts.num_rows}

    def learn_taste(self) -> Found:
        """The factors of items by who acted on them, if there are histories enough."""
        counts, policy = pq.read_table(self.folder / TASTE / HISTORIES), als.AlsPolicy()
        if not als.has_enough(counts):
            return {"tastes": 0}
        als.train_apart(counts, len(self.vocabulary()), policy, self.settings).save(self.folder / TASTE)
        return {"tastes": len(pc.unique(counts["visitor"])), "policy": asdict(policy)}

    def line_up(self, run: Run, like: str | None = None) -> LineUp:
        """The models of the run's sessions; by the manifest of its own learning when that was done before a kill.

        Else, when told to be `like` an artifact, by what that one was trained by; raises `BrokenArtifact` without it.
        """
        vocabulary = self.vocabulary()
        sessions = DatedSessions.read(self.folder / "sessions.parquet", vocabulary, with_acts=True)
        manifest = {} if like is None else read_manifest(self.settings.artifacts_dir / like).training
        if run.is_done("tune"):
            manifest = run.record.steps["tune"].found["manifest"]
        objectives = Objectives(**manifest.get("objectives", asdict(self.settings.objectives)))
        minutes = self.settings.batch.training_minutes
        dense = ((vocabulary.dense(item_id), item) for item_id, item in self.catalogue.items())
        items = {number: item for number, item in dense if number is not None}
        return LineUp(
            sessions,
            len(vocabulary),
            minutes,
            lambda line: run.tell(f"daily: {line}"),
            manifest,
            objectives,
            items,
            self.settings.batch.with_mlp,
        )

    def build_models(self, line_up: LineUp) -> Found:
        """The line-up, the popularity, what items are about and who likes what, over one vocabulary."""
        vocabulary, items = self.vocabulary(), self.catalogue
        model, found = line_up.build()
        popular = popularity_of(self.view_files["item_profile"], vocabulary, self.cut.cutoff_ms)
        unfinished = self.folder / "models.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        embeddings = self.settings.batch.embeddings_file
        content = content_of(items, vocabulary) if items else None
        if embeddings is not None:
            content = embedded_content_of(items, vocabulary, StoredEmbeddings(embeddings))
        taste = LongTermTaste.load(self.folder / TASTE) if (self.folder / TASTE / FACTORS).exists() else None
        Models(vocabulary, model, Popularity(popular), content, taste).save(unfinished)
        shutil.rmtree(self.folder / "models", ignore_errors=True)
        unfinished.rename(self.folder / "models")
        return {"items": len(vocabulary), "sessions": len(line_up.sessions), **found}

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
            training=steps["models"].found["manifest"],
            counts={**steps["features"].found, **steps["sessions"].found, "records": record.pin.records},
        )
        return {"version": manifest.version}

    def gate(self, version: str, line_up: LineUp, tell: Tell) -> Found:
        """Whether the artifact may take the place of the one that is served."""
        return registry.gate(self.settings, version, line_up.sessions, line_up.twin, tell)

    def publish(self) -> Found:
        """The rows of every batch view; the artifact is promoted afterwards, or not."""
        return dict(publish(self.settings, self.view_files, self.cut.cutoff_ms).rows)
