"""Where a daily run cuts, on a lake in a folder, with the archiver's mark but without a broker."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from batch.cutoff import EmptyLog, NotClosed, NothingClosed, cut_log, end_of
from batch.lake.archiver import now_ms
from batch.lake.impressions import IMPRESSIONS
from batch.lake.interactions import INTERACTIONS
from batch.lake.table import open_table, through_mark
from domain.impressions import ImpressionRecord
from infra.settings import KafkaSettings, Settings
from tests.builders import START_MS, impression, record, stamp

DAY_MS = 86_400_000


def settings(folder: Path) -> Settings:
    """A platform whose broker is away."""
    return Settings(state_dir=folder, kafka=KafkaSettings(port=1))


def archived(folder: Path, *days: int, through_ms: int | None) -> Settings:
    """A lake with one record on each of these days, archived up to an instant."""
    found = settings(folder)
    policy = found.policies.bucket
    lake = open_table(found, INTERACTIONS)
    if days:
        log = [record(f"e{day}", received_at_ms=START_MS + day * DAY_MS, offset=day) for day in days]
        lake.append([INTERACTIONS.to_rows(log, policy)], {})
    if through_ms is not None:
        lake.append([], {through_mark(INTERACTIONS.name): through_ms})
    return found


def test_the_newest_closed_bucket_is_cut_and_what_is_below_is_counted(tmp_path: Path) -> None:
    now = now_ms()
    today_ms = now - now % DAY_MS
    cut = cut_log(archived(tmp_path, 0, 1, 3, through_ms=now))
    assert today_ms - DAY_MS <= cut.cutoff_ms <= today_ms
    assert (cut.first_bucket_ms, cut.records) == (START_MS, 3)


def test_without_a_broker_the_cut_is_where_the_archiver_stopped(tmp_path: Path) -> None:
    cut = cut_log(archived(tmp_path, 0, 1, 3, through_ms=START_MS + 2 * DAY_MS + 600_000))
    assert cut.cutoff_ms == START_MS + 2 * DAY_MS
    assert cut.records == 2


def test_a_day_ends_at_the_next_midnight(tmp_path: Path) -> None:
    day = datetime.fromtimestamp(START_MS / 1000, UTC).date()
    cut = cut_log(archived(tmp_path, 0, 1, through_ms=now_ms()), end_of(day))
    assert (cut.cutoff_ms, cut.records) == (START_MS + DAY_MS, 1)


def test_what_is_not_closed_is_refused(tmp_path: Path) -> None:
    found = archived(tmp_path, 0, through_ms=now_ms())
    with pytest.raises(NotClosed, match="newest bucket to be closed"):
        cut_log(found, START_MS + 10_000 * DAY_MS)
    with pytest.raises(NotClosed, match="within a bucket"):
        cut_log(found, START_MS + 1)


def test_nothing_closed_says_how_to_archive(tmp_path: Path) -> None:
    with pytest.raises(NothingClosed, match="batch archive --once"):
        cut_log(archived(tmp_path, 0, through_ms=None))


def test_an_empty_lake_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(EmptyLog, match="batch import"):
        cut_log(archived(tmp_path, through_ms=now_ms()))


def shown(found: Settings, *days: int, through_ms: int) -> None:
    """A slate shown on each of these days, archived up to an instant."""
    log = [ImpressionRecord(impression(f"s{day}"), stamp(START_MS + day * DAY_MS, offset=day)) for day in days]
    rows = [IMPRESSIONS.to_rows(log, found.policies.bucket)]
    open_table(found, IMPRESSIONS).append(rows, {through_mark(IMPRESSIONS.name): through_ms})


def test_impressions_that_are_behind_hold_up_the_cut_and_are_counted_below_it(tmp_path: Path) -> None:
    found = archived(tmp_path, 0, 1, 3, through_ms=START_MS + 5 * DAY_MS)
    shown(found, 0, 1, 2, through_ms=START_MS + 2 * DAY_MS + 600_000)
    cut = cut_log(found)
    assert (cut.cutoff_ms, cut.records, cut.impressions) == (START_MS + 2 * DAY_MS, 2, 2)
    with pytest.raises(NotClosed, match="newest bucket to be closed"):
        cut_log(found, START_MS + 3 * DAY_MS)


def test_a_lake_from_before_impressions_were_archived_is_cut_without_them(tmp_path: Path) -> None:
    found = archived(tmp_path, 0, through_ms=START_MS + DAY_MS + 600_000)
    assert not found.impressions_dir.exists()
    for _ in range(2):
        cut = cut_log(found)
        assert (cut.cutoff_ms, cut.impressions) == (START_MS + DAY_MS, 0)
