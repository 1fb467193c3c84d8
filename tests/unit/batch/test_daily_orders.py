"""What a daily run is asked for: days in order, a look without a change, what is published, what was left unfinished.

Without Spark: the lake is real, and whatever would compute is a fake that says what it was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch import daily
from batch.cutoff import NotClosed, NothingClosed, cut_log, end_of
from batch.daily import backfill, days_between, plan_run
from batch.lake.archiver import now_ms
from batch.lake.impressions import IMPRESSIONS
from batch.lake.interactions import INTERACTIONS
from batch.lake.table import open_table, through_mark
from batch.publish import NewerRunPublished
from batch.run import Record, Run, pin_of, pinned_versions, record_of, records, unfinished
from batch.training.models import POPULARITY
from domain.manifests import cover, current_version, published_cutoff_ms
from infra.settings import KafkaSettings, Settings
from tests.builders import START_MS, record

DAY_MS = 86_400_000
FIRST = datetime.fromtimestamp(START_MS / 1000, UTC).date()
DAYS = days_between(FIRST, date.fromordinal(FIRST.toordinal() + 2))


def archived(folder: Path, days: int = 4) -> Settings:
    """A lake with one record on each day, archived up to now; the broker is away."""
    settings = Settings(state_dir=folder, kafka=KafkaSettings(port=1))
    lake = open_table(settings, INTERACTIONS)
    log = [record(f"e{day}", received_at_ms=START_MS + day * DAY_MS, offset=day) for day in range(days)]
    lake.append([INTERACTIONS.to_rows(log, settings.policies.bucket)], {through_mark(INTERACTIONS.name): now_ms()})
    open_table(settings, IMPRESSIONS).append([], {through_mark(IMPRESSIONS.name): now_ms()})
    return settings


def begun(settings: Settings, cutoff_ms: int, *steps: str) -> Run:
    """A run that has done these steps."""
    cut = cut_log(settings, cutoff_ms)
    run = Run.open(settings.state_dir / "daily" / str(cutoff_ms), pin_of(cut, settings), cut, lambda _: None)
    for step in steps:
        run.step(step, lambda: {"rows": 1})
    return run


class Computed:
    """Stands in for `run_daily`: notes what it was asked for, and leaves a finished record."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bool]] = []

    def __call__(self, settings: Settings, wanted_ms: int, *, publishes: bool, **_: Any) -> dict[str, Any]:
        self.asked.append((wanted_ms, publishes))
        with begun(settings, wanted_ms).recorded():
            pass
        return {"version": f"v{wanted_ms}", "published": publishes}


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Computed:
    found = Computed()
    monkeypatch.setattr(daily, "run_daily", found)
    return found


def test_each_day_is_computed_in_order_and_the_last_one_published(tmp_path: Path, computed: Computed) -> None:
    done = backfill(archived(tmp_path), DAYS, tell=lambda _: None)
    assert computed.asked == [(end_of(DAYS[0]), False), (end_of(DAYS[1]), False), (end_of(DAYS[2]), True)]
    assert done["published"] == f"v{end_of(DAYS[2])}"


def test_days_below_what_is_published_are_computed_and_not_published(tmp_path: Path, computed: Computed) -> None:
    settings, told = archived(tmp_path), list[str]()
    cover(settings.artifacts_dir, end_of(DAYS[2]) + DAY_MS)
    assert backfill(settings, DAYS, tell=told.append)["published"] is None
    assert not any(publishes for _, publishes in computed.asked)
    assert any("nothing of these days is published" in line for line in told)


def test_a_backfill_that_was_killed_goes_on_with_the_first_day_that_is_not_done(
    tmp_path: Path, computed: Computed
) -> None:
    settings = archived(tmp_path)
    backfill(settings, DAYS[:2], tell=lambda _: None, publishes=False)
    begun(settings, end_of(DAYS[2]), "features")
    again = backfill(settings, DAYS, tell=lambda _: None)
    assert [asked for asked, _ in computed.asked[2:]] == [end_of(DAYS[2])]
    assert [day.get("done_before", False) for day in again["days"]] == [True, True, False]


def test_days_before_the_first_record_are_passed_over(tmp_path: Path) -> None:
    before = [date.fromordinal(FIRST.toordinal() - 1)]
    told: list[str] = []
    done = backfill(archived(tmp_path), before, tell=told.append)
    assert done == {"days": [{"day": str(before[0]), "empty": True}], "published": None}
    assert any("passed over" in line for line in told)


def test_days_go_from_the_first_to_the_last() -> None:
    assert len(DAYS) == 3
    with pytest.raises(NotClosed, match="lies before --from"):
        days_between(DAYS[1], DAYS[0])


def files_of(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_a_dry_run_tells_what_would_be_done_and_changes_nothing(tmp_path: Path) -> None:
    settings, cutoff_ms = archived(tmp_path), end_of(DAYS[1])
    begun(settings, cutoff_ms, "quarantine", "catalogue", "spark", "admission", "features")
    before = files_of(tmp_path)
    plan = plan_run(settings, cutoff_ms)
    assert plan["reads"]["interactions"] | {"version": 0} == {"version": 0, "rows": 2, "from_ms": START_MS}
    assert plan["done"] == ["quarantine", "catalogue", "spark", "admission", "features"]
    assert plan["to_do"][0] == "sessions"
    assert "publish" in plan["to_do"]
    assert files_of(tmp_path) == before


def test_a_dry_run_below_what_is_published_would_publish_nothing(tmp_path: Path) -> None:
    settings = archived(tmp_path)
    cover(settings.artifacts_dir, end_of(DAYS[2]))
    plan = plan_run(settings, end_of(DAYS[0]))
    assert (plan["would_publish"], plan["published"]["cutoff_ms"]) == (False, end_of(DAYS[2]))
    assert not {"gate", "publish", "promote", "track"} & set(plan["to_do"])


def test_a_dry_run_makes_no_lake(tmp_path: Path) -> None:
    with pytest.raises(NothingClosed):
        plan_run(Settings(state_dir=tmp_path, kafka=KafkaSettings(port=1)))
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_goes_on_reads_the_version_that_it_began_with(tmp_path: Path) -> None:
    settings, cutoff_ms = archived(tmp_path), end_of(DAYS[1])
    version = begun(settings, cutoff_ms, "features").record.lake_version
    open_table(settings, INTERACTIONS).append([], {"elsewhere": 1})
    cut = cut_log(settings, cutoff_ms)
    assert cut.lake_version == version + 1
    assert begun(settings, cutoff_ms).record.pinned(cut).lake_version == version
    assert pinned_versions(settings.state_dir / "daily")[INTERACTIONS.name] == {version}


def test_what_was_killed_or_has_failed_is_found_and_what_is_older_than_a_finished_run_is_not(tmp_path: Path) -> None:
    settings, folder = archived(tmp_path), tmp_path / "daily"
    begun(settings, end_of(DAYS[0]), "features")
    assert found_in(unfinished(folder)) == end_of(DAYS[0])
    failed = begun(settings, end_of(DAYS[1]), "features")
    with pytest.raises(OSError, match="disk full"), failed.recorded():
        raise OSError("disk full")
    known = record_of(folder, end_of(DAYS[1]))
    assert known is not None
    assert known.failure == "OSError: disk full"
    assert found_in(unfinished(folder)) == end_of(DAYS[1])
    with begun(settings, end_of(DAYS[2])).recorded():
        pass
    assert unfinished(folder) is None
    assert [one.is_finished for one in records(folder)] == [False, False, True]


def found_in(known: Record | None) -> int | None:
    return None if known is None else known.pin.cutoff_ms


@contextmanager
def no_spark(settings: Settings, records: int) -> Iterator[Any]:
    """For runs that must find everything computed."""
    raise AssertionError("Spark was started")
    yield


def computed_files(folder: Path) -> None:
    """What Spark would have left: two items, and sessions that ask for the second after the first."""
    columns = {name: [0, 0] for name, _ in POPULARITY.total_columns()}
    pq.write_table(pa.table({"item_id": ["a", "b"], **columns}), folder / "item_profile.parquet")
    sessions = {
        "visitor_id": [f"v{number}" for number in range(40)],
        "session": [0] * 40,
        "items": [["a", "b"]] * 40,
        "started_at_ms": [START_MS + number * 1_000 for number in range(40)],
        "ended_at_ms": [START_MS + number * 1_000 + 500 for number in range(40)],
    }
    pq.write_table(pa.table(sessions), folder / "sessions.parquet")


def test_a_run_that_is_not_published_is_judged_and_packed_and_changes_nothing_that_serves(tmp_path: Path) -> None:
    settings, cutoff_ms, told = archived(tmp_path), end_of(DAYS[0]), list[str]()
    cover(settings.artifacts_dir, end_of(DAYS[2]))
    run = begun(settings, cutoff_ms, "features", "sessions", "histories", "taste")
    computed_files(run.folder)
    given: dict[str, Any] = {"tell": told.append, "publishes": False, "open_spark": no_spark}
    done = daily.run_daily(settings, cutoff_ms, **given)
    assert (done["published"], done["promoted"], done["interactions_quarantined"]) == (False, None, 0)
    assert done["hr20"] == 1.0
    assert (settings.artifacts_dir / done["version"] / "manifest.json").exists()
    assert published_cutoff_ms(settings.artifacts_dir) == end_of(DAYS[2])
    assert current_version(settings.artifacts_dir) is None
    known = record_of(settings.state_dir / "daily", cutoff_ms)
    assert known is not None
    assert (known.is_finished, known.is_published) == (True, False)
    assert any(line.startswith("daily: quarantine: 0 interactions_quarantined") for line in told)
    with pytest.raises(NewerRunPublished):
        daily.run_daily(settings, cutoff_ms, tell=told.append, open_spark=no_spark)
