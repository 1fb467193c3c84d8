"""The names of the metrics keep their rule, and each is there before anything has happened."""

import random
import re
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from infra import metrics
from infra.processes.ports import free_ports
from infra.settings import PROJECT_ROOT

LAYERS = "serving|writer|archiver|daily|parity"
UNITS = "seconds|bytes|records|rows|fields|requests|slates|items|events|impressions|swaps|rebuilds|letters|runs|ratio"
NAME = re.compile(f"firth_({LAYERS})_([a-z_]+_)?({UNITS})(_total)?")


def test_every_name_is_layer_noun_unit() -> None:
    assert [name for name in metrics.names() if not NAME.fullmatch(name)] == []


def test_every_combination_of_labels_is_there_with_zero() -> None:
    program = "import prometheus_client, infra.metrics; print(prometheus_client.generate_latest().decode())"
    fresh = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert 'firth_serving_requests_total{route="similar",status="5xx"} 0.0' in fresh.stdout
    assert 'firth_serving_degraded_slates_total{rung="stale_speed"} 0.0' in fresh.stdout
    assert 'firth_serving_rejected_events_total{reason="future"} 0.0' in fresh.stdout
    assert 'firth_serving_skipped_records_total{topic="item-states"} 0.0' in fresh.stdout


def test_the_exporter_shows_one_layer_on_loopback() -> None:
    port = next(free_ports(random.Random()))
    metrics.export("writer", port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        shown = answer.read().decode()
    assert "firth_writer_lag_records 0.0" in shown
    assert "process_cpu_seconds_total" in shown
    assert {line.split("_")[1] for line in shown.splitlines() if line.startswith("firth_")} == {"writer"}


def test_the_archiver_shows_how_full_the_disk_of_the_lake_is(tmp_path: Path) -> None:
    metrics.watch_disk(tmp_path / "lake")
    shown = metrics.registry_of("archiver")
    free, size = (shown.get_sample_value(f"firth_archiver_disk_{name}bytes") for name in ("free_", ""))
    assert free is not None
    assert size is not None
    assert 0 < free < size


def test_a_taken_port_costs_the_metrics_and_not_the_work(caplog: pytest.LogCaptureFixture) -> None:
    with closing(socket.create_server((metrics.LOOPBACK, 0))) as taken:
        metrics.export("archiver", taken.getsockname()[1])
    (record,) = caplog.records
    assert record.message == "metrics.hidden"
    assert "FIRTH_METRICS__ARCHIVER_PORT" in vars(record)["remedy"]


def test_port_0_shows_nothing() -> None:
    before = threading.active_count()
    metrics.export("archiver", 0)
    assert threading.active_count() == before
