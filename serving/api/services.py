"""What the routes need, made in the composition root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from domain.placements import Placements
from domain.policies import SessionPolicy
from domain.rules import RuleBook
from domain.slates import Slate
from serving.adapters.catalogue import Catalogue
from serving.adapters.catalogue_desk import CatalogueDesk
from serving.adapters.gateway import Gateway
from serving.adapters.rule_book import RuleDesk
from serving.api.contract import Readiness
from serving.api.guard import Access
from serving.pipeline.footing import Footing
from serving.pipeline.hydrate import Hydrate
from serving.pipeline.page import Pages
from serving.pipeline.pipeline import Pipeline
from serving.pipeline.rank import Rank
from serving.pipeline.retrieve import Model
from serving.pipeline.search import Search
from serving.pipeline.trending import Trending


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of the server behind HTTP."""

    pipeline: Pipeline
    pages: Pages
    hydrate: Hydrate
    footing: Footing
    model_of: Callable[[], Model | None]
    rank: Rank
    search: Search
    trending: Trending
    catalogue: Catalogue
    catalogue_desk: CatalogueDesk
    gateway: Gateway
    rules: Callable[[], RuleBook]
    rule_desk: RuleDesk
    access: Access
    note_impression: Callable[[Slate], None]
    readiness: Callable[[], Readiness]
    session_policy: SessionPolicy
    placements: Placements
    now_ms: Callable[[], int]
