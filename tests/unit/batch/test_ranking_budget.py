"""How the time of a run is kept, and when another encoder is worth it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from batch.ranking import lineup
from batch.ranking.budget import SHARE_USABLE, Budget
from batch.ranking.history import History, Questions
from batch.ranking.lineup import Choice, Chosen, choose_trained
from domain.recommenders.lineup.queries import Queries

NOBODY = Questions(Queries.of([]), np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.int64))
NOTHING = History.of(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int64), 0)


def test_what_is_reserved_for_the_end_is_not_left_to_others() -> None:
    budget = Budget(10)
    assert budget.left_s == pytest.approx(600 * SHARE_USABLE, abs=1)
    budget.reserved_s = 500
    assert budget.left_s == pytest.approx(600 * SHARE_USABLE - 500, abs=1)
    budget.reserved_s = 700
    assert budget.left_s == 0


@pytest.mark.parametrize(
    ("first_s", "manifest", "names"),
    [
        (10.0, {}, ["gru4rec", "sasrec"]),
        (500.0, {}, ["gru4rec"]),
        (500.0, {"gru4rec": {}, "sasrec": {}}, ["gru4rec", "sasrec"]),
        (10.0, {"gru4rec": {}}, ["gru4rec"]),
    ],
)
def test_another_encoder_is_trained_when_there_is_time_or_a_manifest_names_it(
    monkeypatch: pytest.MonkeyPatch, first_s: float, manifest: dict[str, Any], names: list[str]
) -> None:
    def chosen(name: str, _: Choice) -> Chosen:
        return Chosen(name, None, None, None, {}, {"seconds": first_s})  # type: ignore[arg-type]

    monkeypatch.setattr(lineup, "choose", chosen)
    choice = Choice(NOTHING, NOBODY, "nothing", Budget(30), 1, lambda _: None, manifest)
    assert [each.name for each in choose_trained(("gru4rec", "sasrec"), choice)] == names
