"""The gauge tells what the last run found, and its age when the next one cannot be done."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from batch.parity import report
from batch.parity_findings import Mismatch, Parity
from batch.parity_gauge import gauge, gauge_forever, wait
from infra.metrics import registry_of
from schemas.errors import DependencyError


def shown(name: str) -> float:
    value = registry_of("parity").get_sample_value(name)
    assert value is not None
    return value


def test_a_run_is_shown_whole() -> None:
    rows_before, started_s = shown("firth_parity_rows_total"), time.time()
    gauge(lambda: Parity(rows=7, fields=70, mismatches=3, behind=2, unsettled=2, history_gaps=1, incomplete=4))
    assert shown("firth_parity_rows_total") == rows_before + 7
    assert shown("firth_parity_mismatched_fields") == 3
    assert shown("firth_parity_behind_rows") == 2
    assert shown("firth_parity_unsettled_rows") == 2
    assert shown("firth_parity_history_gap_rows") == 1
    assert shown("firth_parity_incomplete_rows") == 4
    assert shown("firth_parity_last_run_timestamp_seconds") >= started_s
    assert 0 <= shown("firth_parity_run_seconds") < 5


def test_a_store_that_is_away_costs_one_run_and_leaves_the_age_of_the_last(caplog: pytest.LogCaptureFixture) -> None:
    gauge(lambda: Parity(mismatches=5))
    last_s = shown("firth_parity_last_run_timestamp_seconds")

    def unreachable() -> Parity:
        raise DependencyError("redis 127.0.0.1:1", "no answer", "start it")

    gauge(unreachable)
    assert shown("firth_parity_last_run_timestamp_seconds") == last_s
    assert shown("firth_parity_mismatched_fields") == 5
    assert caplog.records[-1].message == "parity.missed"


def test_it_compares_again_and_again_with_a_heartbeat_between(tmp_path: Path) -> None:
    heartbeat, runs = tmp_path / "run" / "parity.heartbeat", []

    def twice() -> Parity:
        runs.append(heartbeat.stat().st_mtime_ns)
        if len(runs) == 3:
            raise KeyboardInterrupt
        return Parity()

    with pytest.raises(KeyboardInterrupt):
        gauge_forever(twice, 0.02, heartbeat)
    assert runs[0] < runs[1] < runs[2]


def test_switched_off_it_only_shows_that_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("batch.parity_gauge.wait", end)
    with pytest.raises(KeyboardInterrupt):
        gauge_forever(lambda: pytest.fail("it compared"), 0, tmp_path / "parity.heartbeat")
    assert (tmp_path / "parity.heartbeat").exists()


def test_waiting_ends_at_its_instant(tmp_path: Path) -> None:
    until = time.monotonic() + 0.05
    wait(tmp_path / "heartbeat", until=until)
    assert time.monotonic() >= until


def test_a_mismatch_is_logged_with_feature_and_both_values_and_without_the_visitor(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = Parity(mismatches=1, history_gaps=2, worst=[Mismatch("interactions", "ada", 3, 4)])
    with caplog.at_level(logging.INFO):
        report(found)
    gapped, broken, differed = caplog.records
    assert (broken.levelname, vars(broken)["mismatches"]) == ("ERROR", 1)
    assert (gapped.levelname, vars(gapped)["keys"]) == ("WARNING", 2)
    said = vars(differed)
    assert (differed.levelname, said["feature"], said["expected"], said["actual"]) == ("ERROR", "interactions", 3, 4)
    assert "ada" not in str(said)
    with caplog.at_level(logging.DEBUG):
        report(found)
    assert (vars(caplog.records[-1])["key"], vars(caplog.records[-1])["key_hash"]) == ("ada", said["key_hash"])
