"""Importing history: what becomes of rows, of the same file again, and of what must not enter."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from batch.lake.files import UnreadableFile
from batch.lake.importer import Imported, ImportRefused, import_file
from batch.lake.interactions import INTERACTIONS, to_records
from batch.lake.mapping import ColumnMapping, UnusableMapping
from batch.lake.table import Lake
from domain.reference import LogRecord, admitted
from infra.settings import Settings, load_settings
from schemas.events import InteractionContext
from tests.builders import START_MS, record

DAY_MS = 86_400_000
NOW_MS = START_MS + 10 * DAY_MS
HEADER = "visitor_id,item_id,kind,occurred_at_ms"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a platform that was never started: nothing listens on that port."""
    return load_settings(state_dir=tmp_path / "state", kafka={"port": 1})


def csv_of(folder: Path, *lines: str, header: str = HEADER, name: str = "history.csv") -> Path:
    path = folder / name
    path.write_text("\n".join((header, *lines)) + "\n")
    return path


def run(path: Path, settings: Settings, **mapping: Any) -> Imported:
    return import_file(path, ColumnMapping("shop", **mapping), settings, now_ms=NOW_MS)


def open_lake(settings: Settings) -> Lake:
    return Lake.open(settings.lake_dir, settings.policies.bucket)


def stored(settings: Settings) -> list[LogRecord]:
    return sorted(to_records(open_lake(settings).read()), key=lambda one: (one.stamp.partition, one.stamp.offset))


def test_rows_are_numbered_in_the_order_in_which_they_happened(tmp_path: Path, settings: Settings) -> None:
    path = csv_of(tmp_path, f"ada,b,view,{START_MS + 2}", f"ada,a,view,{START_MS + 1}", f"eve,c,view,{START_MS + 2}")
    assert run(path, settings) == Imported(rows=3, first_at_ms=START_MS + 1, last_at_ms=START_MS + 2)
    records = stored(settings)
    assert [(one.event.item_id, one.stamp.offset) for one in records] == [("a", 0), ("b", 1), ("c", 2)]
    assert {one.stamp.partition for one in records} == {-1}
    assert [one.stamp.received_at_ms for one in records] == [one.event.occurred_at_ms for one in records]


def test_without_a_broker_the_lake_alone_decides_and_that_is_said(
    tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    done = run(csv_of(tmp_path, f"ada,a,view,{START_MS}"), settings)
    assert (done.rows, done.is_archived_to_end) == (1, False)
    assert caplog.messages == ["topic.unseen"]
    assert "127.0.0.1:1" in caplog.records[0].problem  # type: ignore[attr-defined]


def test_a_second_file_continues_the_numbers(tmp_path: Path, settings: Settings) -> None:
    run(csv_of(tmp_path, f"ada,a,view,{START_MS}"), settings)
    run(csv_of(tmp_path, f"ada,b,view,{START_MS - 1}", name="older.csv"), settings)
    assert [(one.event.item_id, one.stamp.offset) for one in stored(settings)] == [("a", 0), ("b", 1)]


def test_the_same_file_again_changes_nothing_and_says_so(tmp_path: Path, settings: Settings) -> None:
    path = csv_of(tmp_path, f"ada,a,view,{START_MS}")
    run(path, settings)
    version = open_lake(settings).version
    assert run(path.rename(tmp_path / "renamed.csv"), settings) == Imported(skipped=1)
    assert open_lake(settings).version == version


def test_overlapping_exports_of_one_source_count_once(tmp_path: Path, settings: Settings) -> None:
    shared = f"ada,a,view,{START_MS}"
    run(csv_of(tmp_path, shared), settings)
    run(csv_of(tmp_path, shared, f"ada,b,view,{START_MS + 1}", name="next.csv"), settings)
    counted = admitted(stored(settings), settings.policies)
    assert [one.event.item_id for one in counted] == ["a", "b"]


def test_rows_of_two_sources_are_different_events(tmp_path: Path, settings: Settings) -> None:
    line = f"ada,a,view,{START_MS}"
    run(csv_of(tmp_path, line), settings)
    other = csv_of(tmp_path, line, "", name="other.csv")
    import_file(other, ColumnMapping("library"), settings, now_ms=NOW_MS)
    assert len({one.event.event_id for one in stored(settings)}) == 2


def test_every_field_is_read_from_text(tmp_path: Path, settings: Settings) -> None:
    header = (
        "event_id,visitor_id,item_id,kind,occurred_at_ms,user_id,session_id,value,slate_id,position,personalise,"
        "categories,price_micros,utc_offset_min,device"
    )
    path = csv_of(tmp_path, f"007,1,2,view,{START_MS},u,s,1.5,l,3,false,a|b,9,-60,tv", header=header)
    run(path, settings)
    event = stored(settings)[0].event
    assert (event.event_id, event.visitor_id, event.item_id) == ("007", "1", "2")
    assert (event.user_id, event.session_id, event.value, event.slate_id, event.position) == ("u", "s", 1.5, "l", 3)
    assert event.personalise is False
    context = InteractionContext(categories=("a", "b"), price_micros=9, utc_offset_min=-60, device="tv")
    assert event.context == context


def test_parquet_keeps_its_types_and_columns_are_mapped(tmp_path: Path, settings: Settings) -> None:
    at = datetime.fromtimestamp(START_MS / 1000, UTC)
    rows = pa.table(
        {
            "user": pa.array([1, 2], pa.int64()),
            "film": ["a", "b"],
            "when": pa.array([at, at], pa.timestamp("ns", "UTC")),
            "genres": [["crime", "drama"], []],
            "stars": [4.5, None],
        }
    )
    parquet.write_table(rows, tmp_path / "films.parquet")
    columns = {
        "visitor_id": "user",
        "item_id": "film",
        "occurred_at_ms": "when",
        "categories": "genres",
        "value": "stars",
    }
    assert run(tmp_path / "films.parquet", settings, columns=columns, kind="rating").rows == 2
    first, second = (one.event for one in stored(settings))
    assert (first.visitor_id, first.kind, first.value, first.occurred_at_ms) == ("1", "rating", 4.5, START_MS)
    assert first.context.categories == ("crime", "drama")
    assert second.value is None


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (str(START_MS // 1000), "s"),
        (f"{START_MS // 1000}.0", "s"),
        (str(START_MS), "ms"),
        (str(START_MS * 1000), "us"),
        (datetime.fromtimestamp(START_MS / 1000, UTC).isoformat(), "ms"),
        (datetime.fromtimestamp(START_MS / 1000, UTC).replace(tzinfo=None).isoformat(" "), "s"),
    ],
)
def test_times_are_read_in_their_unit_or_as_iso_text(text: str, unit: Any, tmp_path: Path, settings: Settings) -> None:
    run(csv_of(tmp_path, f"ada,a,view,{text}"), settings, time_unit=unit)
    assert stored(settings)[0].event.occurred_at_ms == START_MS


def test_json_lines_are_read_one_by_one(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "history.jsonl"
    line = {"visitor_id": "ada", "item_id": 5, "kind": "view", "occurred_at_ms": START_MS, "categories": "x|y"}
    path.write_text("\n".join([json.dumps(line)] * 120) + "\n{broken\n")
    done = run(path, settings)
    assert (done.rows, done.rejected) == (120, 1)
    assert stored(settings)[0].event.item_id == "5"


def test_broken_rows_go_to_quarantine_with_number_and_reason(tmp_path: Path, settings: Settings) -> None:
    good = [f"ada,a{number},view,{START_MS + number}" for number in range(300)]
    path = csv_of(tmp_path, *good, f"ada,a,stare,{START_MS}", "ada,a,view,soon", f"ada,a,view,{START_MS},too,many")
    done = run(path, settings)
    assert (done.rows, done.rejected) == (300, 3)
    assert done.quarantine is not None
    lines = [json.loads(line) for line in done.quarantine.read_text().splitlines()]
    assert [(line["reason"], line["field"]) for line in lines] == [
        ("contract", "kind"),
        ("contract", "occurred_at_ms"),
        ("malformed", ""),
    ]
    assert lines[0]["row"] == 301
    assert lines[0]["cells"]["kind"] == "stare"


def test_too_many_broken_rows_refuse_the_file_whole(tmp_path: Path, settings: Settings) -> None:
    path = csv_of(tmp_path, f"ada,a,view,{START_MS}", "ada,a,view,soon")
    with pytest.raises(ImportRefused, match=r"1 of 2 rows break the contract, at most 1\.0%"):
        run(path, settings)
    assert open_lake(settings).read().num_rows == 0
    assert import_file(path, ColumnMapping("shop"), settings, now_ms=NOW_MS, rejected_share_max=0.5).rows == 1


def test_rows_of_the_current_bucket_refuse_the_file_whole(tmp_path: Path, settings: Settings) -> None:
    path = csv_of(tmp_path, f"ada,a,view,{NOW_MS - 1}", f"ada,a,view,{NOW_MS}")
    with pytest.raises(ImportRefused, match="1 of 2 rows happened at or after"):
        run(path, settings)
    assert open_lake(settings).read().num_rows == 0


def test_history_ends_below_the_oldest_live_bucket(tmp_path: Path, settings: Settings) -> None:
    live = record("live", received_at_ms=START_MS + 3 * DAY_MS + 5)
    open_lake(settings).append([INTERACTIONS.to_rows([live], settings.policies.bucket)], {})
    run(csv_of(tmp_path, f"ada,a,view,{START_MS + 3 * DAY_MS - 1}"), settings)
    with pytest.raises(ImportRefused):
        run(csv_of(tmp_path, f"ada,a,view,{START_MS + 3 * DAY_MS}", name="later.csv"), settings)


@pytest.mark.parametrize(
    ("mapping", "what"),
    [
        ({"columns": {"visitor": "visitor_id"}}, "visitor is not a field"),
        ({"columns": {"visitor_id": "user"}}, "there is no column user for visitor_id"),
    ],
)
def test_a_mapping_that_does_not_fit_is_explained(
    mapping: dict[str, Any], what: str, tmp_path: Path, settings: Settings
) -> None:
    with pytest.raises(UnusableMapping, match=what):
        run(csv_of(tmp_path, f"ada,a,view,{START_MS}"), settings, **mapping)


def test_a_missing_required_column_is_named_with_its_remedy(tmp_path: Path, settings: Settings) -> None:
    path = csv_of(tmp_path, f"ada,a,{START_MS}", header="visitor_id,item_id,occurred_at_ms")
    with pytest.raises(UnusableMapping, match=r"no column for kind: add `--map kind=COLUMN` or `--kind KIND`"):
        run(path, settings)
    assert run(path, settings, kind="play").rows == 1


def test_files_of_other_formats_are_refused(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "history.xlsx").write_text("")
    (tmp_path / "history.parquet").write_text("no parquet")
    (tmp_path / "empty.csv").write_text(HEADER + "\n")
    for name, error in (
        ("history.xlsx", UnreadableFile),
        ("history.parquet", UnreadableFile),
        ("empty.csv", ImportRefused),
    ):
        with pytest.raises(error):
            run(tmp_path / name, settings)
    with pytest.raises(ImportRefused, match="No such file"):
        run(tmp_path / "absent.csv", settings)
