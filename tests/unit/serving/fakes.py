"""Fakes behind the server's protocols, and services over them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.experiments.assigned import UNTREATED, Treatment
from domain.merge import Cells, session_cells, stream_cells
from domain.placements import Placements
from domain.policies import MINUTE_MS, AdmissionPolicy, Policies
from domain.slates import Query, Slate
from domain.states import VisitorState
from schemas.errors import DependencyError
from serving.adapters.catalogue import Catalogue
from serving.adapters.catalogue_desk import CatalogueDesk
from serving.adapters.gateway import Gateway
from serving.adapters.publisher import Confirmed, Outcome, Record
from serving.adapters.rule_book import FollowedRules, RuleDesk
from serving.api.contract import Readiness
from serving.api.guard import Access
from serving.api.services import Services
from serving.pipeline.compose import Compose
from serving.pipeline.filter import Filter
from serving.pipeline.footing import Footing
from serving.pipeline.hydrate import Columns, Hydrate, SpeedRows
from serving.pipeline.newcomers import ForNewcomers
from serving.pipeline.page import Pages
from serving.pipeline.pipeline import Pipeline, Stages
from serving.pipeline.rank import Rank
from serving.pipeline.resting import Resting
from serving.pipeline.retrieve import Model, Retrieve
from serving.pipeline.rules import Boosted, Govern
from serving.pipeline.search import Search
from serving.pipeline.treat import Treat, score
from serving.pipeline.trending import Trending, TrendWindow
from serving.pipeline.variants import OneOfVariants
from tests.builders import START_MS, interaction, stamp

GRACE_MS = 5 * MINUTE_MS
AWAY = DependencyError("a store", "is away", "start it")


@dataclass
class FakeSpeed:
    """Speed rows in memory; raises while it is `away`."""

    rows: dict[str, SpeedRows] = field(default_factory=dict)
    away: bool = False
    reads: int = 0

    async def read(self, visitor_id: str, columns: Columns | None = None) -> SpeedRows:
        self.reads += 1
        if self.away:
            raise AWAY
        rows = self.rows.get(visitor_id, SpeedRows())
        return rows if columns is None else SpeedRows(*map(_only, (rows.session, rows.recent), columns))


@dataclass
class FakeBatch:
    """Batch rows in memory; raises while it is `away`."""

    rows: dict[str, Cells] = field(default_factory=dict)
    away: bool = False
    reads: int = 0

    def is_at_hand(self, visitor_id: str) -> bool:
        return visitor_id in self.rows

    async def read(self, visitor_id: str) -> Cells | None:
        self.reads += 1
        if self.away:
            raise AWAY
        return self.rows.get(visitor_id)


def _only(cells: Cells | None, names: frozenset[str]) -> Cells | None:
    return None if cells is None else {name: cell for name, cell in cells.items() if name in names}


@dataclass
class FakeModel:
    """Ranks `neighbours[item]` of each item of the session, the newer the better; the newest is the cause."""

    neighbours: dict[str, list[str]] = field(default_factory=dict)
    best: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    liked: list[str] = field(default_factory=list)
    version: str = "m1"
    cutoff_ms: int = START_MS

    @property
    def instant(self) -> FakeModel:
        return self

    def knows(self, item_id: str) -> bool:
        return item_id in self.best or any(item_id in [item, *near] for item, near in self.neighbours.items())

    def rank(self, item_ids: Sequence[str], k: int) -> list[tuple[str, float]]:
        found: dict[str, float] = {}
        for weight, item_id in enumerate(item_ids, start=1):
            for place, near in enumerate(self.neighbours.get(item_id, [])):
                found[near] = found.get(near, 0.0) + weight / (place + 1)
        return sorted(found.items(), key=lambda entry: (-entry[1], entry[0]))[:k]

    def scores(self, item_ids: Sequence[str], candidates: Sequence[str]) -> dict[str, float]:
        ranked = dict(self.rank(item_ids, len(self.neighbours) * 1_000))
        return {item_id: ranked.get(item_id, 0.0) for item_id in candidates if self.knows(item_id)}

    def similar(self, item_id: str, k: int) -> list[tuple[str, float]]:
        return self.rank([item_id], k)

    def new_alike(self, item_ids: Sequence[str], k: int) -> list[tuple[str, float]]:
        return [(item_id, 1 / (place + 1)) for place, item_id in enumerate(self.new)][:k]

    def to_taste(self, item_ids: Sequence[str], k: int) -> list[tuple[str, float]]:
        return [(item_id, 1 / (place + 1)) for place, item_id in enumerate(self.liked)][:k]

    def popular(self, k: int) -> list[tuple[str, float]]:
        return [(item_id, float(len(self.best) - place)) for place, item_id in enumerate(self.best)][:k]

    def because(self, item_ids: Sequence[str], candidates: Sequence[str]) -> list[str | None]:
        return [
            next((item for item in reversed(item_ids) if each in self.neighbours.get(item, [])), None)
            for each in candidates
        ]


@dataclass
class FakeTrends:
    """A list of trending items, and one for each longer window."""

    items: list[str] = field(default_factory=list)
    windows: dict[TrendWindow, list[str]] = field(default_factory=dict)

    def trending(self, k: int) -> list[tuple[str, float]]:
        return self.within(TrendWindow.NOW, k)

    def within(self, window: TrendWindow, k: int) -> list[tuple[str, float]]:
        items = self.items if window is TrendWindow.NOW else self.windows.get(window, [])
        return [(item_id, float(len(items) - place)) for place, item_id in enumerate(items)][:k]


@dataclass
class FakePublisher:
    """Acknowledges every record with its answer; raises while it is `full`."""

    answer: Outcome = field(default_factory=lambda: Confirmed(START_MS))
    full: bool = False
    records: list[Record] = field(default_factory=list)

    async def publish(self, records: Sequence[Record]) -> list[Outcome]:
        if self.full:
            raise AWAY
        self.records += records
        return [self.answer] * len(records)


def speed_rows(*items: str, at_ms: int = START_MS, kind: Any = "view", step_ms: int = 1_000) -> SpeedRows:
    """What the stream would have written of a visitor who visited these items, the last one at `at_ms`."""
    state = VisitorState.load(None, Policies())
    for index, item in enumerate(items):
        when_ms = at_ms - (len(items) - 1 - index) * step_ms
        event = interaction(f"e{index}", item=item, at_ms=when_ms, kind=kind)
        state.observe(event, stamp(when_ms, offset=index))
    return SpeedRows(session_cells(state.row, Policies()), stream_cells("visitor", state.row))


@dataclass
class World:
    """Everything behind the server, in memory."""

    speed: FakeSpeed = field(default_factory=FakeSpeed)
    batch: FakeBatch = field(default_factory=FakeBatch)
    model: FakeModel | None = None
    trends: FakeTrends = field(default_factory=FakeTrends)
    catalogue: Catalogue = field(default_factory=Catalogue)
    rules: FollowedRules = field(default_factory=FollowedRules)
    access: Access = field(default_factory=Access)
    publisher: FakePublisher = field(default_factory=FakePublisher)
    impressions: list[Slate] = field(default_factory=list)
    resting: Resting = field(default_factory=Resting)
    readiness: Readiness = field(default_factory=lambda: Readiness(ready=True, checks={}))
    now_ms: int = START_MS
    is_speed_stale: bool = False
    accepted: list[tuple[str, int]] = field(default_factory=list)
    treatments: dict[str, Treatment] = field(default_factory=dict)
    models: dict[str, FakeModel] = field(default_factory=dict)

    def hydrate(self) -> Hydrate:
        return Hydrate(self.speed, self.batch, Policies().session)

    def pipeline(self) -> Pipeline:
        return Pipeline(self.stages())

    def stages(self) -> Stages:
        numbers = itertools.count(1)
        compose = Compose(self.model_for, self.catalogue.categories, lambda: f"slate-{next(numbers)}")
        return Stages(
            hydrate=self.hydrate(),
            retrieve=ForNewcomers(Retrieve(self.model_for, self.trends), self.model_for, self.catalogue.categories),
            filter=Filter(self.model_for, self.catalogue, self.resting.rested_for),
            score=Boosted(score, self.catalogue.item),
            compose=OneOfVariants(compose, self.catalogue),
            footing=self.footing().rungs,
            treat=Treat(lambda visitor_id: self.treatments.get(visitor_id, UNTREATED)),
            govern=Govern(self.rules.book),
        )

    def footing(self) -> Footing:
        return Footing(self.model_of, lambda _: self.is_speed_stale, Policies().bucket, GRACE_MS)

    def model_of(self) -> Model | None:
        return self.model

    def model_for(self, query: Query) -> Model | None:
        return self.models.get(query.treatment.model or "", self.model)

    def services(self) -> Services:
        rows = itertools.count(1)
        rank = Rank(self.hydrate(), self.model_of, self.catalogue.item, self.footing().rungs)
        return Services(
            pipeline=self.pipeline(),
            pages=Pages(self.stages(), self.model_for, self.trends, self.catalogue, lambda: f"row-{next(rows)}"),
            hydrate=self.hydrate(),
            footing=self.footing(),
            model_of=self.model_of,
            rank=rank,
            search=Search(self.catalogue.titles, self.catalogue, rank, self.model_of),
            trending=Trending(self.trends, self.model_of, self.catalogue.item),
            catalogue=self.catalogue,
            catalogue_desk=CatalogueDesk(self.publisher, self.catalogue, "", self._caught_up),
            gateway=Gateway(
                self.publisher, self.catalogue, AdmissionPolicy(), "", lambda: self.now_ms, self._note_accepted
            ),
            rules=self.rules.book,
            rule_desk=RuleDesk(self.publisher, self.rules, "", lambda: self.now_ms),
            access=self.access,
            note_impression=self._note_shown,
            readiness=lambda: self.readiness,
            session_policy=Policies().session,
            placements=Placements(),
            now_ms=lambda: self.now_ms,
        )

    async def _caught_up(self, _: float) -> None:
        """The fake catalogue is always at the end of its topic: what is published gets there when the test says so."""

    def _note_shown(self, slate: Slate) -> None:
        self.impressions.append(slate)
        self.resting.note(slate)

    def _note_accepted(self, event_ids: Sequence[str], received_at_ms: int) -> None:
        self.accepted += [(event_id, received_at_ms) for event_id in event_ids]
