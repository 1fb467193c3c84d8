from __future__ import annotations

import pytest

from infra.settings import load_settings
from schemas.errors import ConfigurationError


def problem(monkeypatch: pytest.MonkeyPatch, **variables: str) -> ConfigurationError:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    return caught.value


def test_a_variable_reaches_its_leaf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRTH_POLICIES__BUCKET__PERIOD_MS", "60000")
    monkeypatch.setenv("FIRTH_KAFKA__PORT", "9092")
    settings = load_settings()
    assert (settings.policies.bucket.period_ms, settings.kafka.bootstrap) == (60_000, "127.0.0.1:9092")


@pytest.mark.parametrize("name", ["FIRTH_KAFKA__PROT", "FIRTH_KAFFKA__PORT", "FIRTH_POLICIES__BUCKET__PERIOD_S"])
def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert problem(monkeypatch, **{name: "1"}).setting == name


def test_more_processes_than_the_parallelism_has_work_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRTH_FLINK__PARALLELISM", "2")
    monkeypatch.setenv("FIRTH_FLINK__TASKMANAGERS", "4")
    assert load_settings().flink.taskmanagers == 4
    assert problem(monkeypatch, FIRTH_FLINK__TASKMANAGERS="5").setting == "FIRTH_FLINK__TASKMANAGERS"


def test_a_malformed_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problem(monkeypatch, FIRTH_SERVING__PORT="http").setting == "FIRTH_SERVING__PORT"


def test_rows_must_outlive_the_buckets_that_a_late_batch_may_need(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problem(monkeypatch, FIRTH_REDIS__ROW_TTL_S="86400").setting == "FIRTH_REDIS__ROW_TTL_S"


def test_a_bucket_period_that_the_topic_does_not_cover_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    month = {"FIRTH_POLICIES__BUCKET__PERIOD_MS": str(30 * 86_400_000), "FIRTH_REDIS__ROW_TTL_S": str(400 * 86_400)}
    assert problem(monkeypatch, **month).setting == "FIRTH_POLICIES__BUCKET"
