from __future__ import annotations

import numpy as np
import pytest

from domain.recommenders.session_log import SessionLog


def test_sessions_lie_one_after_the_other() -> None:
    log = SessionLog.of([(10, [1, 2]), (20, []), (30, [3])])
    assert log.offsets.tolist() == [0, 2, 2, 3]
    assert log.items.tolist() == [1, 2, 3]
    assert log.ended_at_ms.tolist() == [10, 20, 30]
    assert len(log) == 3


@pytest.mark.parametrize(
    ("offsets", "items", "ended_at_ms"),
    [([0, 2], [1], [10]), ([0, 1], [1], [10, 20]), ([0, 2, 1], [1], [10, 20]), ([], [], []), ([0, 1], [-1], [10])],
)
def test_arrays_that_do_not_fit_together_are_refused(
    offsets: list[int], items: list[int], ended_at_ms: list[int]
) -> None:
    with pytest.raises(ValueError, match="session"):
        SessionLog(np.array(offsets, np.int64), np.array(items, np.int32), np.array(ended_at_ms, np.int64))
