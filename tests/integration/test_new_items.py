"""An item without one click: from the topic of the catalogue through a daily run into slates, all of it real.

Only Spark is left out: its files are written as it would leave them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from kafka import KafkaProducer

from batch.cutoff import cut_log, end_of
from batch.daily import run_daily
from batch.lake.archiver import now_ms
from batch.lake.impressions import IMPRESSIONS
from batch.lake.interactions import INTERACTIONS
from batch.lake.table import open_table, through_mark
from batch.run import Run, pin_of
from batch.training.models import POPULARITY
from domain.artifacts import Artifact, point_to
from domain.new_items import EVERY
from domain.recommenders.long_term_taste import LongTermTaste
from infra.settings import BatchSettings, RedisSettings, Settings
from schemas.events import ItemEvent, encode
from schemas.topics import ITEMS
from tests.builders import START_MS, record
from tests.integration.serving_world import running, write_session

KNOWN = tuple(f"film{number:02}" for number in range(24))
CUTOFF_MS = end_of(datetime.fromtimestamp(START_MS / 1000, UTC).date())


async def test_an_item_that_nobody_has_clicked_is_shown_to_a_session_of_what_it_is_like(
    settings: Settings, redis_server: RedisSettings, topics: list[str]
) -> None:
    settings = settings.model_copy(update={"batch": BatchSettings(training_minutes=0.05)})
    await asyncio.to_thread(publish_catalogue, settings)
    version = await asyncio.to_thread(daily_without_spark, settings)
    artifact = Artifact.load(settings.artifacts_dir / version)
    assert artifact.content is not None
    assert artifact.taste is not None
    assert {"content.json", "content_terms.npz", "long_term_taste.npz"} <= set(artifact.manifest.files)
    assert set(artifact.vocabulary.item_ids) == {*KNOWN, "sequel", "cookbook"}
    point_to(settings.artifacts_dir, version)
    async with running(settings) as server:
        await write_session(settings, "ada", "film03", "film04")
        slate = await server.recommend(count=20)
        items = [item["item_id"] for item in slate["items"]]
        assert items.index("sequel") < EVERY
        assert "cookbook" not in items
        assert slate["items"][items.index("sequel")]["reason"] == "new, and like what you looked at"
        similar = (await server.http.get("/v1/similar/sequel")).json()
        assert similar["items"][0]["item_id"] == "film04"


def publish_catalogue(settings: Settings) -> None:
    """Films of a title each, the sequel of one of them, and something else."""
    films = [ItemEvent(item_id=item, title=f"tale {at}", categories=("film",)) for at, item in enumerate(KNOWN)]
    sequel = ItemEvent(item_id="sequel", title="tale 4 again", categories=("film",))
    cookbook = ItemEvent(item_id="cookbook", title="bread", categories=("book",))
    with closing(KafkaProducer(bootstrap_servers=settings.kafka.bootstrap, linger_ms=20)) as producer:
        for item in (*films, sequel, cookbook):
            producer.send(ITEMS.named(settings.kafka.topic_prefix).name, key=item.item_id.encode(), value=encode(item))
        producer.flush()


def daily_without_spark(settings: Settings) -> str:
    """A daily run whose Spark steps are done; returns the version of its artifact."""
    prefix = settings.kafka.topic_prefix
    lake = open_table(settings, INTERACTIONS)
    one = INTERACTIONS.to_rows([record("e1", received_at_ms=START_MS)], settings.policies.bucket)
    lake.append([one], {through_mark(INTERACTIONS.topic.named(prefix).name): now_ms()})
    mark = through_mark(IMPRESSIONS.topic.named(prefix).name)
    open_table(settings, IMPRESSIONS).append([], {mark: now_ms()})
    cut = cut_log(settings, CUTOFF_MS)
    folder = settings.state_dir / "daily" / str(CUTOFF_MS)
    run = Run.open(folder, pin_of(cut, settings), cut, lambda _: None)
    for step in ("features", "sessions", "histories", "taste"):
        run.step(step, lambda: {"rows": 1})
    leave_files(run.folder)
    done = run_daily(settings, CUTOFF_MS, tell=lambda _: None, publishes=False, open_spark=no_spark)
    return str(done["version"])


def leave_files(folder: Path) -> None:
    """What Spark would have left: films that are watched one after another, and factors of all items."""
    columns = {name: [0] * len(KNOWN) for name, _ in POPULARITY.total_columns()}
    pq.write_table(pa.table({"item_id": list(KNOWN), **columns}), folder / "item_profile.parquet")
    starts = [number % (len(KNOWN) - 3) for number in range(120)]
    sessions = {
        "visitor_id": [f"v{number}" for number in range(120)],
        "session": [0] * 120,
        "items": [list(KNOWN[start : start + 4]) for start in starts],
        "kinds": [["view"] * 4] * 120,
        "values_micros": [[0] * 4] * 120,
        "moves": [[True] * 4] * 120,
        "started_at_ms": [START_MS + number * 1_000 for number in range(120)],
        "ended_at_ms": [START_MS + number * 1_000 + 500 for number in range(120)],
    }
    pq.write_table(pa.table(sessions), folder / "sessions.parquet")
    (folder / "taste").mkdir()
    LongTermTaste(np.ones((len(KNOWN) + 2, 2), np.float32)).save(folder / "taste")


@contextmanager
def no_spark(settings: Settings, records: int) -> Iterator[Any]:
    """For a run that must find everything computed."""
    raise AssertionError("Spark was started")
    yield
