from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from domain.policies import BucketPolicy
from schemas.errors import ConfigurationError
from speed.job.settings import read_settings

TOPICS = {
    "interactions": "x-interactions",
    "visitor_states": "x-visitor-states",
    "item_states": "x-item-states",
    "dead_letters": "x-dead-letters",
}
LEAST: dict[str, Any] = {
    "bootstrap": "127.0.0.1:9092",
    "topics": TOPICS,
    "checkpoint_dir": "/state",
    "rest_port": 8081,
    "jars": ["/jars/kafka.jar"],
}


def settings_file(folder: Path, **fields: Any) -> Path:
    path = folder / "job.json"
    path.write_text(json.dumps({**LEAST, **fields}))
    return path


def test_the_least_file_uses_the_default_policies(tmp_path: Path) -> None:
    settings = read_settings(settings_file(tmp_path))
    assert settings.policies.bucket == BucketPolicy()
    assert settings.topics.visitor_states == "x-visitor-states"


def test_policies_are_read_from_the_file(tmp_path: Path) -> None:
    settings = read_settings(settings_file(tmp_path, policies={"bucket": {"period_ms": 5_000, "kept": 9, "dedup": 2}}))
    assert settings.policies.bucket == BucketPolicy(5_000, 9, 2)


@pytest.mark.parametrize(
    "broken", [{"rest_port": 0}, {"parallelism": "two"}, {"jars": []}, {"policies": {"bucket": {"kept": 0}}}]
)
def test_a_wrong_field_is_named_with_the_file(tmp_path: Path, broken: dict[str, Any]) -> None:
    path = settings_file(tmp_path, **broken)
    with pytest.raises(ConfigurationError, match=str(path)):
        read_settings(path)


def test_an_absent_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_settings(tmp_path / "absent.json")
