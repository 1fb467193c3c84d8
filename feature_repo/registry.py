"""The catalogue as Feast's registry objects: entities, stored views with their sources, merged views, services."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import FunctionType
from typing import Any, Final, cast

from feast import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    PushSource,
    RepoConfig,
    RequestSource,
    ValueType,
)
from feast.feature_view_projection import FeatureViewProjection
from feast.types import Array, FeastType, Float64, Int64, String

from domain.aggregates import ColumnType
from domain.context import CONTEXT, CONTEXT_INPUTS
from domain.features import AGGREGATED, BATCH_ONLY, JOIN_KEYS, SESSION
from feature_repo.offline import TIMESTAMP_COLUMN, offline_path
from feature_repo.online_store import OWNER_TAG, STORE_TAG
from feature_repo.views import MERGED_VIEWS, REQUEST_CONTEXT, STORED_VIEWS, MergedView, View

NO_LIMIT: Final = timedelta(0)
"""Feast does not look at a view's time-to-live when it reads online, so none is declared: rows end by the store's."""

FEAST_TYPES: Final[dict[ColumnType, FeastType]] = {
    ColumnType.INT: Int64,
    ColumnType.FLOAT: Float64,
    ColumnType.STRING: String,
    ColumnType.INTS: Array(Int64),
    ColumnType.FLOATS: Array(Float64),
    ColumnType.STRINGS: Array(String),
    ColumnType.INT_LISTS: Array(Array(Int64)),
    ColumnType.STRING_LISTS: Array(Array(String)),
}


Merge = Callable[[dict[str, Any]], dict[str, Any]]


class CatalogueView(OnDemandFeatureView):
    """An on-demand view whose schema is the catalogue's.

    `feast apply` would infer it by calling the function with made-up values, of which it has none for nested lists and
    none that fit together for aligned ones.
    """

    def infer_features(self) -> None:
        """The schema is given."""


class NightlyFile(FileSource):
    """A parquet file that may not be there yet: the first daily run writes it."""

    def validate(self, config: RepoConfig) -> None:
        """Stock Feast warns of a file that is absent."""


@dataclass(frozen=True, slots=True)
class RegistryObjects:
    """All that `feast apply` registers."""

    entities: dict[str, Entity]
    views: dict[str, FeatureView]
    merged: dict[str, CatalogueView]
    context: CatalogueView
    services: tuple[FeatureService, ...]

    def __iter__(self) -> Iterator[Any]:
        yield from self.entities.values()
        yield from self.views.values()
        yield from self.merged.values()
        yield self.context
        yield from self.services


def registry_objects(offline_dir: str, merges: Mapping[str, tuple[Merge, str]]) -> RegistryObjects:
    """Feast's objects for the whole catalogue.

    Args:
        offline_dir: folder of the parquet files; a relative one starts at the feature repository.
        merges: for each on-demand view its function and the function's source, which Feast keeps in the registry.
    """
    entities: dict[str, Entity] = {
        entity: Entity(
            name=entity, join_keys=[join_key], value_type=ValueType.STRING, description=f"Identified by {join_key}."
        )
        for entity, join_key in JOIN_KEYS.items()
    }
    views = {view.name: _stored(view, entities[view.entity], offline_dir) for view in STORED_VIEWS}
    merged = {view.name: _merged(view, entities[view.entity], views, *merges[view.name]) for view in MERGED_VIEWS}
    context = _context(*merges[REQUEST_CONTEXT])
    services = (
        FeatureService(
            name="session_v1",
            features=[views["visitor_session"], merged["visitor_profile"]],
            tags={"version": "1"},
            description="What is known of a visitor, now: the session and the merged profile.",
        ),
        FeatureService(
            name="item_v1",
            features=[merged["item_stats"]],
            tags={"version": "1"},
            description="What is known of an item, now.",
        ),
        FeatureService(
            name="moment_v1",
            features=[context],
            tags={"version": "1"},
            description="When and where it is asked, by what the request says.",
        ),
    )
    return RegistryObjects(entities, views, merged, context, services)


def _stored(view: View, entity: Entity, offline_dir: str) -> FeatureView:
    file = NightlyFile(
        name=f"{view.name}_file", path=offline_path(offline_dir, view.name), timestamp_field=TIMESTAMP_COLUMN
    )
    source = file if view.owner == "batch" else PushSource(name=f"{view.name}_push", batch_source=file)
    return FeatureView(
        name=view.name,
        entities=[entity],
        ttl=NO_LIMIT,
        source=source,
        schema=[Field(name=view.join_key, dtype=String), *_fields(view.columns)],
        online=True,
        tags={OWNER_TAG: view.owner, STORE_TAG: view.store},
        description=view.description,
    )


def _merged(
    view: MergedView, entity: Entity, views: dict[str, FeatureView], merge: Merge, source: str
) -> CatalogueView:
    """Without descriptions of the fields: Feast drops them here, and would then find the view changed at each apply."""
    fields = [Field(name=name, dtype=FEAST_TYPES[column_type]) for name, column_type in view.columns]
    merged = CatalogueView(
        name=view.name,
        entities=[entity],
        sources=[views[view.history.name], views[view.recent.name]],
        schema=[Field(name=entity.join_key, dtype=String), *fields],
        mode="python",
        udf=cast(FunctionType, merge),
        udf_string=source,
        description=view.description,
    )
    merged.projection = FeatureViewProjection.from_definition(merged)  # the constructor's includes the join key
    return merged


def _context(derive: Merge, source: str) -> CatalogueView:
    """The view of the moment: no entity, no store."""
    inputs = [Field(name=name, dtype=FEAST_TYPES[column_type]) for name, column_type in CONTEXT_INPUTS]
    return CatalogueView(
        name=REQUEST_CONTEXT,
        sources=[RequestSource(name="moment", schema=inputs)],
        schema=[Field(name=feature.name, dtype=FEAST_TYPES[feature.type]) for feature in CONTEXT],
        mode="python",
        udf=cast(FunctionType, derive),
        udf_string=source,
        description="The moment of a request: hour and weekday of the visitor, and the device.",
    )


def _fields(columns: Iterable[tuple[str, ColumnType]]) -> list[Field]:
    return [
        Field(name=name, dtype=FEAST_TYPES[column_type], description=description, tags=tags)
        for name, column_type in columns
        for description, tags in [_DOCUMENTED.get(name, ("", {}))]
    ]


def _documented() -> dict[str, tuple[str, dict[str, str]]]:
    """What the catalogue says of each column: description and tags."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for feature in AGGREGATED:
        tags = {"feature": feature.name, "unit": feature.unit, "owner": feature.owner}
        for name, _ in (*feature.state_columns(), *feature.total_columns()):
            found[name] = (feature.description, tags)
    for counted in BATCH_ONLY:
        tags = {"feature": counted.name, "unit": counted.unit, "owner": counted.owner}
        found |= {name: (counted.description, tags) for name, _ in counted.total_columns()}
    for session_feature in SESSION:
        tags = {"feature": session_feature.name, "unit": session_feature.unit, "owner": session_feature.owner}
        for value in session_feature.values:
            found[value.name] = (session_feature.description, tags)
    return found


_DOCUMENTED: Final = _documented()
