"""`python -m batch evaluate`: how good the models are on the newest daily run's sessions: JSON, a page, MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from batch.evaluation import POLICIES, choose_policy, cut_newest, queries_of
from batch.quality.circumstances import read_circumstances
from batch.quality.contestants import Contestant, Lesson
from batch.quality.examination import SEED, Exam, Figures, Tell, examine, figures_of, groups_of
from batch.training.models import vocabulary_of
from batch.training.session_log import DatedSessions
from domain.evaluation import Protocol
from domain.recommenders.vocabulary import Vocabulary
from infra.settings import Settings
from schemas.errors import DependencyError

FIGURES: Final = "evaluation.json"
PAGE: Final = "evaluation.html"
SESSIONS: Final = "sessions.parquet"


class NothingToEvaluate(DependencyError):
    """There is no daily run, or too few sessions to ask about."""

    def __init__(self, folder: Path, problem: str) -> None:
        super().__init__("evaluation", f"{folder}: {problem}", "import or stream more, and run `python -m batch daily`")


class _RunNote(msgspec.Struct):
    """What an evaluation takes from the record of a daily run."""

    lake_version: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to evaluate, and where to."""

    models: Mapping[str, Contestant]
    folder: Path | None = None  # beside the run's files unless given
    k: int = 20
    queries_max: int = 20_000
    minutes_max: float = 5.0
    tracked: bool = True  # in MLflow


def evaluate_lake(settings: Settings, wanted: Wanted, tell: Tell) -> Figures:
    """Evaluate, write JSON and page into the folder, record both in MLflow, and return the figures.

    Raises:
        NothingToEvaluate: see there.
    """
    from batch.quality.page import write_page  # brings matplotlib

    run = newest_run(settings.state_dir / "daily")
    figures = figures_of_run(settings, run, wanted, tell)
    folder = wanted.folder or run / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / name for name in (FIGURES, PAGE)}
    files[FIGURES].write_text(json.dumps(figures, indent=1) + "\n")
    write_page(files[PAGE], figures)
    tell(f"evaluate: wrote {files[PAGE]}")
    if wanted.tracked:
        from batch.quality.tracking import track  # brings MLflow

        tell(f"evaluate: MLflow has it as run {track(settings, figures, files)}")
    return figures


def summary_of(figures: Figures) -> Figures:
    """A line to print: the measures of the next item of each model."""
    k = figures["k"]
    models = {
        name: {f"{measure}@{k}": one["metrics"][f"{measure}@{k}"] for measure in ("HR", "MRR", "NDCG")}
        for name, one in figures["models"].items()
    }
    return {"cutoff_ms": figures["cutoff_ms"], "queries": figures["queries"], "models": models, **_failed(figures)}


def _failed(figures: Figures) -> Figures:
    return {"failed": figures["failed"]} if figures.get("failed") else {}


def newest_run(folder: Path) -> Path:
    """The folder of the newest daily run that has cut sessions; raises NothingToEvaluate."""
    runs = [path for path in folder.glob("*") if path.name.isdigit() and (path / SESSIONS).exists()]
    if not runs:
        raise NothingToEvaluate(folder, "there is no daily run with sessions")
    return max(runs, key=lambda path: int(path.name))


def figures_of_run(settings: Settings, run: Path, wanted: Wanted, tell: Tell) -> Figures:
    """All figures; of the run's sessions the newest tenth is asked about, what had ended before is learnt from."""
    vocabulary = vocabulary_of(run / "item_profile.parquet")
    sessions = DatedSessions.read(run / SESSIONS, vocabulary, with_visitors=True)
    if len(sessions) < 2:
        raise NothingToEvaluate(run, f"{len(sessions)} sessions of two items or more")
    cut = cut_newest(sessions)
    protocol = Protocol(wanted.k)
    queries = protocol.asked(queries_of(cut.asked, np.random.default_rng(SEED), wanted.queries_max))
    if not queries or not len(cut.known):
        raise NothingToEvaluate(run, f"{len(cut.known)} sessions ended before the newest tenth began")
    policy, _ = choose_policy(sessions, len(vocabulary))
    tell(
        f"evaluate: {len(queries):,} queries of {len(cut.asked):,} sessions, {len(cut.known):,} known, policy {policy}"
    )
    around = read_circumstances(settings, run / SESSIONS, vocabulary, int(run.name))
    counts = np.bincount(cut.known.log.items, minlength=len(vocabulary))
    asked = np.flatnonzero(sessions.started_at_ms >= cut.at_ms)
    groups = groups_of(queries, counts, [around.device_of[number] for number in asked])
    exam = Exam(queries, counts, around.categories, groups, protocol)
    lesson = Lesson(cut.known, len(vocabulary), cut.at_ms, POLICIES[policy], wanted.minutes_max)
    examined, failed = examine(wanted.models, lesson, exam, tell)
    about = {**_about(run, vocabulary, lesson, exam, len(cut.asked)), "policy": policy}
    return {**about, **figures_of(examined, exam), "failed": failed}


def _about(run: Path, vocabulary: Vocabulary, lesson: Lesson, exam: Exam, asked: int) -> dict[str, Any]:
    """What the figures are about."""
    lake_version = msgspec.json.decode((run / "run.json").read_bytes(), type=_RunNote).lake_version
    return {
        "cutoff_ms": int(run.name),
        "lake_version": lake_version,
        "evaluated_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "vocabulary": vocabulary.fingerprint(),
        "k": exam.protocol.k,
        "split_at_ms": lesson.at_ms,
        "sessions_known": len(lesson.known),
        "sessions_asked": asked,
        "queries": len(exam.queries),
        "items": lesson.items_count,
        "items_known": int((exam.counts > 0).sum()),
        "items_with_categories": len(exam.categories),
        "interactions_known": int(exam.counts.sum()),
        "seed": SEED,
    }
