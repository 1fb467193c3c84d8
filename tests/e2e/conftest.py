"""The whole platform, started once for all end-to-end tests by the command that an operator would type."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from infra.processes.ports import choose_free_ports
from tests.e2e.system import FirthSystem

SHORT_BUCKETS = {
    "FIRTH_POLICIES__BUCKET__PERIOD_MS": "30000",
    "FIRTH_BATCH__CLOSING_GRACE_MS": "1000",
    "FIRTH_BATCH__ARCHIVE_INTERVAL_MS": "500",
    "FIRTH_BATCH__SPARK_MEMORY": "1g",
    "FIRTH_BATCH__TRAINING_MINUTES": "0.05",
    "FIRTH_PARITY__EVERY_S": "0",
    "FIRTH_SCHEDULE__DAILY_AT": "never",
}
"""Days of half a minute: a bucket closes while the test looks on. The tests ask for parity themselves."""


@pytest.fixture(scope="session")
def firth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FirthSystem]:
    """A running platform with a small catalogue."""
    folder = tmp_path_factory.mktemp("firth")
    environment = choose_free_ports(random.Random()) | SHORT_BUCKETS | {"FIRTH_STATE_DIR": str(folder)}
    system = FirthSystem(environment)
    try:
        system.command("infra", "up")
        system.put_catalogue()
        yield system
    finally:
        system.http.close()
        system.command("infra", "down")


@pytest.fixture
def base_url(firth: FirthSystem) -> str:
    """Where the page is."""
    return firth.url
