"""The names of the metrics keep their rule, and each is there before anything has happened."""

import re
import urllib.request

import prometheus_client

from infra import metrics

LAYERS = "serving|writer|archiver|batch|parity"
UNITS = "seconds|records|rows|fields|requests|slates|items|events|impressions|swaps|rebuilds|letters"
NAME = re.compile(f"firth_({LAYERS})_([a-z_]+_)?({UNITS})(_total)?")


def test_every_name_is_layer_noun_unit() -> None:
    assert [name for name in metrics.names() if not NAME.fullmatch(name)] == []


def test_every_combination_of_labels_is_there_with_zero() -> None:
    shown = prometheus_client.generate_latest().decode()
    assert 'firth_serving_requests_total{route="similar",status="5xx"} 0.0' in shown
    assert 'firth_serving_degraded_slates_total{rung="no_speed_features"} 0.0' in shown
    assert 'firth_serving_rejected_events_total{reason="future"} 0.0' in shown


def test_the_exporter_serves_them_on_loopback() -> None:
    port = metrics.start_exporter(0)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert b"firth_writer_lag_records" in answer.read()
