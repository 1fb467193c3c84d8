"""The line-up of a daily run: what it is learnt from, what it is judged on, and that its manifest makes it again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from batch.training.line_up import LineUp, history_of
from batch.training.session_log import DatedSessions
from domain.artifacts import digest_of
from domain.recommenders.lineup.model import FusedModel
from domain.recommenders.protocol import Session
from domain.recommenders.session_log import SessionLog

HOUR_MS = 3_600_000
GROUPS, PER_GROUP = 6, 10


def sessions(*visited: tuple[int, int, tuple[int, ...]]) -> DatedSessions:
    """From (start, end, items)."""
    log = SessionLog.of((end, items) for _, end, items in visited)
    return DatedSessions(log, np.array([start for start, _, _ in visited], np.int64))


def repeated(pairs: int, items: tuple[int, ...] = (0, 1, 2)) -> DatedSessions:
    return sessions(*((at * HOUR_MS, at * HOUR_MS + 1, items) for at in range(pairs)))


def walks(count: int) -> DatedSessions:
    """Sessions within a group of items, mostly from one to the next."""
    generator = np.random.default_rng(4)
    rows = []
    for number in range(count):
        group, at = int(generator.integers(GROUPS)), int(generator.integers(PER_GROUP))
        steps = np.cumsum(generator.choice([1, 1, 1, 3], int(generator.integers(3, 6))))
        rows.append((number * HOUR_MS, number * HOUR_MS + 60_000, tuple(group * 10 + (at + steps) % PER_GROUP)))
    return sessions(*rows)


def line_up(known: DatedSessions, items_count: int, **given: object) -> LineUp:
    return LineUp(known, items_count, 0.05, lambda _: None, **given)  # type: ignore[arg-type]


def test_a_session_is_spread_from_its_start_to_its_end() -> None:
    history = history_of(sessions((100, 300, (0, 1, 2)), (50, 400, (1, 2)), (500, 500, (2, 0))), 3)
    assert history.at_ms.tolist() == [100, 200, 300, 50, 400, 500, 500]


def test_a_pattern_that_holds_is_found_and_every_figure_has_its_bounds() -> None:
    metrics = line_up(repeated(100), 3).evaluate()
    assert metrics["sessions_held_out"] + metrics["sessions_known"] == 100
    assert metrics["line_up_mrr20"] > metrics["popularity_mrr20"]
    for system in ("line_up", "session_knn", "popularity", "sequential_rules"):
        for measure in ("hr20", "mrr20", "ndcg20"):
            name = f"{system}_{measure}"
            assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]


def test_what_only_the_held_out_sessions_show_is_not_known() -> None:
    history = [(at * HOUR_MS, at * HOUR_MS + 1, (0, 1)) for at in range(90)]
    news = [(at * HOUR_MS, at * HOUR_MS + 1, (2, 3)) for at in range(90, 100)]
    assert line_up(sessions(*history, *news), 4).evaluate()["line_up_hr20"] == 0.0


def test_a_session_across_the_cut_is_neither_known_nor_asked() -> None:
    history = [(at * HOUR_MS, at * HOUR_MS + 1, (0, 1)) for at in range(19)]
    across = [(10 * HOUR_MS, 19 * HOUR_MS, (0, 1))]
    metrics = line_up(sessions(*history, *across), 2).evaluate()
    assert metrics["sessions_held_out"] + metrics["sessions_known"] == 19


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_log_of_next_to_nothing_still_gets_models(count: int) -> None:
    tiny = line_up(repeated(count), 3)
    tiny.choose()
    metrics = tiny.evaluate()
    assert metrics["queries"] == 0.0 or metrics["sessions_held_out"] == 1
    model, _ = tiny.build()
    assert model.items_count == 3


def test_the_manifest_of_a_learning_makes_the_same_files_again(tmp_path: Path) -> None:
    first = line_up(walks(150), GROUPS * PER_GROUP)
    model, found = first.build()
    again = line_up(walks(150), GROUPS * PER_GROUP, manifest=found["manifest"])
    assert answers(again.build()[0]) == answers(model)
    assert again.choose()["manifest"] == found["manifest"]
    assert files_of(again.build()[0], tmp_path / "again") == files_of(model, tmp_path / "first")


def test_a_twin_knows_nothing_of_what_came_after_its_instant() -> None:
    before, after = walks(140), repeated(14, (57, 58, 59))
    shift = 140 * HOUR_MS
    log = SessionLog(
        np.concatenate((before.log.offsets, before.log.offsets[-1] + after.log.offsets[1:])),
        np.concatenate((before.log.items, after.log.items)),
        np.concatenate((before.log.ended_at_ms, after.log.ended_at_ms + shift)),
    )
    both = DatedSessions(log, np.concatenate((before.started_at_ms, after.started_at_ms + shift)))
    for at_ms in (90 * HOUR_MS, shift):  # before and after the newest tenth begins
        twin = line_up(both, GROUPS * PER_GROUP).twin(at_ms)
        assert isinstance(twin, FusedModel)
        assert twin.knn.index.sessions_count == at_ms // HOUR_MS
        seen = np.expm1(twin.lineup.facts.facts["seen"]).round().sum()
        assert seen == before.log.offsets[at_ms // HOUR_MS]


def files_of(model: FusedModel, folder: Path) -> dict[str, str]:
    folder.mkdir()
    model.save(folder)
    return {path.name: digest_of(path) for path in folder.iterdir()}


def answers(model: FusedModel) -> list[list[int]]:
    return [model.rank(Session((item,)), 10).items.tolist() for item in range(GROUPS * PER_GROUP)]
