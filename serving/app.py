"""The composition root of a server process: settings in, web application out."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

from fastapi import FastAPI

from domain.artifacts import Artifact
from domain.slates import Query, Slate, Tier
from infra import logs, metrics
from infra.access_settings import LOOPBACKS
from infra.settings import Settings, load_settings
from schemas.errors import ConsistencyError, PlatformError
from schemas.topics import ITEM_STATES, ITEMS, RULES
from serving.adapters.artifact_model import ArtifactWatcher
from serving.adapters.cassandra_history import CassandraHistory
from serving.adapters.catalogue import Catalogue
from serving.adapters.catalogue_desk import CatalogueDesk
from serving.adapters.experiments_file import ExperimentsWatcher
from serving.adapters.follower import TopicFollower
from serving.adapters.gateway import Gateway
from serving.adapters.history_cache import HistoryCache
from serving.adapters.impressions import ImpressionLog
from serving.adapters.keys_file import KeysWatcher, text_of
from serving.adapters.publisher import Publisher
from serving.adapters.redis_features import RedisFeatures
from serving.adapters.rule_book import FollowedRules, RuleDesk
from serving.adapters.spool import Spool, SpoolingPublisher
from serving.adapters.stream_pulse import StreamPulse
from serving.adapters.trends import ItemTrends
from serving.api.application import build
from serving.api.contract import Readiness
from serving.api.guard import Access
from serving.api.services import Services
from serving.api.token_buckets import TokenBuckets
from serving.pipeline.compose import Compose
from serving.pipeline.filter import Filter
from serving.pipeline.footing import Footing
from serving.pipeline.hydrate import Hydrate
from serving.pipeline.newcomers import ForNewcomers
from serving.pipeline.page import Pages
from serving.pipeline.pipeline import Pipeline, Stages
from serving.pipeline.rank import Rank
from serving.pipeline.resting import Resting
from serving.pipeline.retrieve import Model, Retrieve
from serving.pipeline.rules import Boosted, Govern
from serving.pipeline.search import Search
from serving.pipeline.treat import Treat, score
from serving.pipeline.trending import Trending
from serving.pipeline.variants import OneOfVariants

log = logging.getLogger(__name__)

PUBLISH_MARGIN_MS: Final = 2_000
"""How much longer than Kafka's own a request's deadline is at least, so that events get their verdicts."""


def create_app() -> FastAPI:
    """The application that a worker process serves, from the environment."""
    logs.configure("serving")
    # While a store is away its driver prints a traceback every two seconds; /readyz and `degraded` say it better.
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)
    settings = load_settings()
    return Server(settings).application()


class Server:
    """Everything that a server process holds. Starts without any of its dependencies and finds them when they come."""

    def __init__(self, settings: Settings) -> None:
        serving = settings.serving
        self._settings = settings
        self.speed = RedisFeatures(settings.redis, settings.feast.project, serving.hydrate_deadline_ms)
        self.history = CassandraHistory(settings.cassandra, settings.feast.project)
        self.history_cache = HistoryCache(self.history, serving.history_cache_rows_max, serving.hydrate_deadline_ms)
        self.catalogue = Catalogue()
        self.rules = FollowedRules()
        self.pulse = StreamPulse(now_ms)
        self.trends = ItemTrends(now_ms, self.pulse.note_written)
        self.followers = {
            "catalogue": TopicFollower(settings.kafka, ITEMS, self.catalogue.take),
            "rules": TopicFollower(settings.kafka, RULES, self.rules.take),
            "trends": TopicFollower(settings.kafka, ITEM_STATES, self.trends.take, self.trends.refresh),
        }
        self.publisher = Publisher(settings.kafka, serving.events_in_flight_max, serving.publish_deadline_ms)
        self.spooling = (
            SpoolingPublisher(self.publisher, Spool(settings.spool_dir, serving.spool_mb_max * 1_000_000))
            if serving.spool_mb_max
            else None
        )
        self.impressions = ImpressionLog(self.publisher, settings.kafka.topic_prefix, _count_impressions)
        self.artifacts = ArtifactWatcher(settings.artifacts_dir, self._note_swap)
        self.experiments = ExperimentsWatcher(settings.experiments_path, settings.artifacts_dir)
        self.keys = KeysWatcher(settings.keys_path)
        self.footing = Footing(
            self.artifacts.current, self._is_speed_stale, settings.policies.bucket, settings.batch.closing_grace_ms
        )
        self.resting = Resting()
        self._is_stopping = False

    def application(self) -> FastAPI:
        """The web application over all of this."""
        settings = self._settings
        hydrate = Hydrate(
            self.speed,
            self.history_cache,
            settings.policies.session,
            on_failure=_note_failure,
        )
        stages = self._stages(hydrate)
        rank = Rank(hydrate, self.artifacts.current, self.catalogue.item, self.footing.rungs)
        services = Services(
            pipeline=_timed(stages),
            pages=Pages(stages, self._model_for, self.trends, self.catalogue, _new_id),
            hydrate=hydrate,
            footing=self.footing,
            model_of=self.artifacts.current,
            rank=rank,
            search=Search(self.catalogue.titles, self.catalogue, rank, self.artifacts.current),
            trending=Trending(self.trends, self.artifacts.current, self.catalogue.item),
            catalogue=self.catalogue,
            catalogue_desk=CatalogueDesk(
                self.publisher, self.catalogue, settings.kafka.topic_prefix, self.followers["catalogue"].catch_up
            ),
            gateway=Gateway(
                self.spooling or self.publisher,
                self.catalogue,
                settings.policies.admission,
                settings.kafka.topic_prefix,
                now_ms,
                self.pulse.note_accepted,
            ),
            rules=self.rules.book,
            rule_desk=RuleDesk(self.publisher, self.rules, settings.kafka.topic_prefix, now_ms),
            access=self._access(),
            note_impression=self._note_shown,
            readiness=self.readiness,
            session_policy=settings.policies.session,
            placements=settings.serving.placements,
            now_ms=now_ms,
        )
        return build(services, self._lifespan)

    def _access(self) -> Access:
        serving = self._settings.serving
        access, key_file = serving.access, serving.access.page_key_file
        return Access(
            ring=lambda: self.keys.ring,
            require_keys=access.asks_for_keys(serving.host),
            page_key=(lambda: text_of(key_file)) if key_file and serving.host in LOOPBACKS else None,
            allowed_origins=frozenset(origin.encode() for origin in access.allowed_origins),
            requests_per_s=access.requests_per_s,
            buckets=TokenBuckets(access.burst_s),
            timeout_s=max(access.request_timeout_ms, serving.publish_deadline_ms + PUBLISH_MARGIN_MS) / 1000,
        )

    def readiness(self) -> Readiness:
        """Ready from when the model and the catalogue have been looked for until the process stops.

        A dependency that is away makes a server no less ready: it answers from a lower rung.
        """
        model = self.artifacts.current()
        followed = {name: _state_of(follower) for name, follower in self.followers.items()}
        checks = {
            "model": model.version if model else "none",
            **({"refused_model": self.artifacts.problem} if self.artifacts.problem else {}),
            **followed,
            "experiments": ", ".join(self.experiments.names) or "none",
            **({"refused_experiments": self.experiments.problem} if self.experiments.problem else {}),
            **({"refused_keys": self.keys.problem} if self.keys.problem else {}),
            "redis": "away" if self.speed.breaker.is_open else "usable",
            "cassandra": "usable" if self.history.is_connected else "away",
            "kafka": "usable" if self.publisher.is_connected else "away",
        }
        settled = self.artifacts.has_looked and "reading" not in followed.values()
        return Readiness(ready=settled and not self._is_stopping, checks=checks)

    def _is_speed_stale(self, asked_at_ms: int) -> bool:
        """Kafka is away, or the speed job has not followed what we put there."""
        return self.followers["trends"].has_failed or self.pulse.is_silent(asked_at_ms)

    def _model_for(self, query: Query) -> Model | None:
        """The model of the visitor's arm, else the current one, at the tier of the placement."""
        wanted = query.treatment.model
        model = (None if wanted is None else self.experiments.model(wanted)) or self.artifacts.current()
        return model.instant if model is not None and query.tier is Tier.INSTANT else model

    def _note_swap(self, artifact: Artifact) -> None:
        """Another model, most often of a daily run: whose rows are there too."""
        self.history_cache.expire()
        metrics.SERVING_ARTIFACT_SWAPS.inc()
        metrics.SERVING_CUTOFF_SECONDS.set(artifact.manifest.cutoff_ms / 1000)

    def _note_shown(self, slate: Slate) -> None:
        self.impressions.note(slate)
        self.resting.note(slate)

    def _stages(self, hydrate: Hydrate) -> Stages:
        catalogue = self.catalogue
        return Stages(
            hydrate=hydrate,
            retrieve=ForNewcomers(Retrieve(self._model_for, self.trends), self._model_for, catalogue.categories),
            filter=Filter(self._model_for, catalogue, self.resting.rested_for),
            score=Boosted(score, catalogue.item),
            compose=OneOfVariants(Compose(self._model_for, catalogue.categories, _new_id), catalogue),
            footing=self.footing.rungs,
            treat=Treat(self.experiments.assign),
            govern=Govern(self.rules.book),
        )

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        self.history.start()
        self.publisher.start()
        for follower in self.followers.values():
            follower.start()
        await self.artifacts.look()
        await self.experiments.look()
        await self.keys.look()
        watching = (self.artifacts.watch(), self.experiments.watch(), self.keys.watch())
        replaying = (self.spooling.run(),) if self.spooling else ()
        running = (*watching, *replaying, self.impressions.run(), self._announce())
        tasks = [_task(each) for each in running]
        try:
            yield
        finally:
            await self._stop(tasks)

    async def _announce(self) -> None:
        """Say once, for people and for supervisors, where we are."""
        while not self.readiness().ready:  # noqa: ASYNC110 - the followers are threads and have no event to wait for
            await asyncio.sleep(0.02)
        gc.collect()
        gc.freeze()  # what is there now stays: the collector need not walk through model and catalogue
        serving = self._settings.serving
        log.info("server.started", extra={"pid": os.getpid(), "checks": self.readiness().checks})
        print(f"serving: ready at http://{serving.host}:{serving.port}", flush=True)  # noqa: T201

    async def _stop(self, tasks: list[asyncio.Task[None]]) -> None:
        """What was taken in is flushed; then the threads and connections end."""
        self._is_stopping = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.impressions.flush()
        await self.publisher.close()
        if self.spooling is not None:
            self.spooling.close()
        await asyncio.gather(*(asyncio.to_thread(follower.stop) for follower in self.followers.values()))
        await self.speed.close()
        await asyncio.to_thread(self.history.close)
        log.info("server.stopped", extra={"pid": os.getpid()})


def _timed(stages: Stages) -> Pipeline:
    """The pipeline, its stages measured."""
    timers = {stage: metrics.SERVING_STAGE_SECONDS.labels(stage) for stage in metrics.STAGES}
    return Pipeline(stages, lambda stage, seconds: timers[stage].observe(seconds))


def _new_id() -> str:
    return uuid4().hex


def now_ms() -> int:
    """The clock of this process, UTC epoch milliseconds."""
    return time.time_ns() // 1_000_000


def _task(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(coroutine)


def _state_of(follower: TopicFollower) -> str:
    if follower.has_failed:
        return "away"
    return "following" if follower.is_caught_up else "reading"


def _count_impressions(published: int, lost: int) -> None:
    metrics.SERVING_IMPRESSIONS.inc(published)
    metrics.SERVING_LOST_IMPRESSIONS.inc(lost)


def _note_failure(error: PlatformError) -> None:
    """An absent store is counted and named in the answers; one that holds nonsense needs a person."""
    level = logging.ERROR if isinstance(error, ConsistencyError) else logging.DEBUG
    log.log(level, "features.missed", extra={"problem": str(error)})
