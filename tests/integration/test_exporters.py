"""The processes without HTTP show their metrics, also while they wait for Kafka."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from infra.settings import PROJECT_ROOT
from tests.servers import instance_in
from tests.waiting import wait_until


@pytest.mark.parametrize(
    ("layer", "command", "metric"),
    [
        ("writer", ("speed.writer",), "firth_writer_lag_records 0.0"),
        ("archiver", ("batch", "archive"), 'firth_archiver_lag_records{table="impressions"} 0.0'),
    ],
    ids=str,
)
def test_a_process_shows_its_own_metrics(layer: str, command: tuple[str, ...], metric: str, tmp_path: Path) -> None:
    settings = instance_in(tmp_path)
    port = getattr(settings.metrics, f"{layer}_port")
    environment = os.environ | {
        "FIRTH_STATE_DIR": str(tmp_path),
        "FIRTH_KAFKA__PORT": str(settings.kafka.port),
        f"FIRTH_METRICS__{layer.upper()}_PORT": str(port),
    }

    def shown() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=1) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            return ""

    started = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=PROJECT_ROOT, env=environment, stderr=subprocess.DEVNULL
    )
    with started, closing(socket.create_server((settings.kafka.host, settings.kafka.port))):  # says nothing
        try:
            assert metric in wait_until(shown, 30, f"the metrics of the {layer}")
        finally:
            started.kill()
