"""Publish a run: batch rows into Feast's online store, checked by reading back, and then the cutoff that they cover.

The artifact of the run is promoted afterwards, or refused by the gate: that is another question. A reader that has the
new rows and the models of an older run is right all the same: a row carries its cutoff, and the models only rank.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow.parquet as pq

from batch.row_publisher import row_publisher
from domain import artifacts
from feature_repo.offline import offline_path
from feature_repo.views import ITEM_PROFILE, VISITOR_HISTORY, View
from infra.settings import Settings
from schemas.errors import ConsistencyError

if TYPE_CHECKING:
    from feast import FeatureStore

LOG: Final = logging.getLogger(__name__)
BATCH_VIEWS: Final = (VISITOR_HISTORY, ITEM_PROFILE)
SAMPLE: Final = 50
SAMPLE_GROUPS: Final = 5
SAMPLE_SEED: Final = 7


class NewerRunPublished(ConsistencyError):
    """An older cutoff must not replace a newer one: rows would fall behind what the stream has let go."""

    def __init__(self, cutoff_ms: int, published_ms: int) -> None:
        self.cutoff_ms = cutoff_ms
        self.published_ms = published_ms
        super().__init__(
            f"the run of cutoff {cutoff_ms} is older than the published one (cutoff {published_ms}); write an older "
            f"cutoff into {artifacts.COVERED} in the artifacts' folder to go back on purpose"
        )


class UnfaithfulStore(ConsistencyError):
    """The online store does not say what the run computed."""

    def __init__(self, view: str, key: str, differences: Mapping[str, tuple[Any, Any]]) -> None:
        self.view = view
        self.key = key
        self.differences = differences
        name, (computed, stored) = next(iter(differences.items()))
        super().__init__(
            f"{view} of {key!r}: {len(differences)} columns differ from what was computed, first {name}: "
            f"computed {computed!r:.120}, stored {stored!r:.120}; run `python -m batch daily --fresh`"
        )


@dataclass(frozen=True, slots=True)
class Published:
    """What is in the online store, by view, and how many rows of vanished keys were removed."""

    rows: Mapping[str, int]
    removed: Mapping[str, int]


def refuse_older(artifacts_dir: Path, cutoff_ms: int) -> None:
    """Raise NewerRunPublished when rows of a later cutoff are published; what nobody can read has none."""
    try:
        published_ms = artifacts.published_cutoff_ms(artifacts_dir)
    except ConsistencyError as error:
        LOG.warning("cutoff.unreadable", extra={"problem": str(error)})
        return
    if published_ms is not None and published_ms > cutoff_ms:
        raise NewerRunPublished(cutoff_ms, published_ms)


def publish(settings: Settings, computed: Mapping[str, Path], cutoff_ms: int) -> Published:
    """Make the rows of a run the current ones; doing it again changes nothing.

    `computed` has the Parquet file of each batch view.

    Raises:
        DependencyError: the online store did not answer.
        ConsistencyError: it does not say what was written, or a newer run is published.
    """
    refuse_older(settings.artifacts_dir, cutoff_ms)
    settings.offline_dir.mkdir(parents=True, exist_ok=True)
    for name, path in computed.items():
        _replace(Path(offline_path(settings.offline_dir, name)), path)
    publication, event_at = time.time_ns() // 1_000_000, datetime.fromtimestamp(cutoff_ms / 1000, UTC)
    rows, removed = {}, {}
    with _feature_store(settings) as store, row_publisher(settings) as publisher:
        for view in BATCH_VIEWS:
            done = publisher.publish(view, computed[view.name], event_at, publication)
            _note(store, view, cutoff_ms)
            _compare_sample(store, view, computed[view.name])
            rows[view.name], removed[view.name] = done.tally.rows, done.removed
    artifacts.cover(settings.artifacts_dir, cutoff_ms)
    return Published(rows, removed)


def is_published(settings: Settings, computed: Mapping[str, Path], cutoff_ms: int) -> bool:
    """Whether the store still says what this run published."""
    if artifacts.published_cutoff_ms(settings.artifacts_dir) != cutoff_ms:
        return False
    with _feature_store(settings) as store:
        try:
            for view in BATCH_VIEWS:
                if _is_closed(store, view):
                    return False
                _compare_sample(store, view, computed[view.name])
        except UnfaithfulStore:
            return False
    return True


def _note(store: FeatureStore, view: View, cutoff_ms: int) -> None:
    """Tell Feast's registry, as `feast materialize` does; but the view stays readable meanwhile.

    Feast's own command refuses reads of a view until it is done, and for good when it is killed.
    """
    at = datetime.fromtimestamp(cutoff_ms / 1000, UTC)
    store.registry.apply_materialization(store.get_feature_view(view.name), store.project, at, at, commit=True)


def _is_closed(store: FeatureStore, view: View) -> bool:
    """Whether Feast refuses to read the view, as after a `feast materialize` that was killed."""
    state = store.get_feature_view(view.name).state
    return state.name not in ("STATE_UNSPECIFIED", "AVAILABLE_ONLINE")


def _replace(published: Path, computed: Path) -> None:
    """Swap the file that Feast reads; a hard link, so that it costs no second copy."""
    waiting = published.with_suffix(".waiting")
    waiting.unlink(missing_ok=True)
    os.link(computed, waiting)
    waiting.replace(published)


@contextmanager
def _feature_store(settings: Settings) -> Iterator[FeatureStore]:
    """The store, with the catalogue registered in it as it is now."""
    from feature_repo.store import close_store, open_store, register  # Feast takes seconds to import

    store = open_store(settings) if settings.registry_path.exists() else register(settings)
    try:
        if not _knows_the_catalogue(store):
            close_store(store)
            store = register(settings)
        yield store
    finally:
        close_store(store)


def _knows_the_catalogue(store: FeatureStore) -> bool:
    known = {view.name: {field.name for field in view.features} for view in store.list_feature_views()}
    return all(known.get(view.name) == {name for name, _ in view.columns} for view in BATCH_VIEWS)


def _compare_sample(store: FeatureStore, view: View, path: Path) -> None:
    """Compare some rows of the file with what Feast's SDK reads back.

    Raises:
        UnfaithfulStore: naming the first key that differs.
    """
    rows = _sample(path)
    if not rows:
        return
    names = [name for name, _ in view.columns]
    asked = [{view.join_key: row[view.join_key]} for row in rows]
    answer = store.get_online_features([f"{view.name}:{name}" for name in names], asked).to_dict()
    for at, row in enumerate(rows):
        differences = {name: (row[name], answer[name][at]) for name in names if row[name] != answer[name][at]}
        if differences:
            raise UnfaithfulStore(view.name, row[view.join_key], differences)


def _sample(path: Path) -> list[dict[str, Any]]:
    """Some rows of a few row groups, the same each time: a file may be larger than memory."""
    file, chosen = pq.ParquetFile(path), random.Random(SAMPLE_SEED)
    groups = chosen.sample(range(file.num_row_groups), min(SAMPLE_GROUPS, file.num_row_groups))
    rows: list[dict[str, Any]] = []
    for group in groups:
        found = file.read_row_group(group)
        wanted = chosen.sample(range(found.num_rows), min(SAMPLE // len(groups), found.num_rows))
        rows += found.take(wanted).to_pylist()
    return rows
