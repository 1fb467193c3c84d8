from __future__ import annotations

from pathlib import Path

import pytest

from infra.compose import COMPOSE_FILE, disagreements


def changed(folder: Path, before: str, after: str) -> list[str]:
    """What is found in the compose file after one change to it."""
    text = COMPOSE_FILE.read_text()
    assert before in text
    path = folder / "docker-compose.yml"
    path.write_text(text.replace(before, after))
    (folder / "infra").symlink_to(COMPOSE_FILE.parent / "infra")
    return list(disagreements(path))


def test_the_committed_file_agrees_with_the_code() -> None:
    assert list(disagreements(COMPOSE_FILE)) == []


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ('"127.0.0.1:${SERVING_PORT:-8080}:8080"', '"8080:8080"', "beyond loopback"),
        ("FIRTH_KAFKA__HOST: kafka", "FIRTH_KAFKA__HOST: broker", "FIRTH_KAFKA__HOST"),
        ("FIRTH_REDIS__PORT:", "FIRTH_REDES__PORT:", "FIRTH_REDES__PORT"),
        ('"rest_port": 8081', '"rest_port": 9999', "rest_port"),
        ('"visitor_states": "visitor-states"', '"visitor_states": "visitors"', "topics"),
        ("  writer:\n", "  scribe:\n", "writer is missing"),
        ("${REDIS_IMAGE:-redis:7.4}", "redis:7.4", "image must come from a variable"),
        ("rules-speed: {file: infra/monitoring/rules/speed.yml}", "rules-speed: {file: rules.yml}", "rules-speed"),
        ("infra/docker/speed.Dockerfile", "infra/docker/swift.Dockerfile", "does not exist"),
    ],
)
def test_a_drift_is_named(tmp_path: Path, before: str, after: str, complaint: str) -> None:
    assert any(complaint in found for found in changed(tmp_path, before, after))
