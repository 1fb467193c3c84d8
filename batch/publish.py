"""Publish a run: batch rows into Feast's online store, checked by reading back, and then the pointer to the artifact.

In this order a reader that already has the new rows and still the old models is right all the same: a row carries the
cutoff that it covers, and the models only rank.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow.parquet as pq

from domain import artifacts
from domain.artifacts import Manifest
from feature_repo.offline import offline_path
from feature_repo.views import ITEM_PROFILE, VISITOR_HISTORY, View
from infra.settings import Settings
from schemas.errors import ConsistencyError

if TYPE_CHECKING:
    from feast import FeatureStore

LOG: Final = logging.getLogger(__name__)
BATCH_VIEWS: Final = (VISITOR_HISTORY, ITEM_PROFILE)
ROWS_PER_BATCH: Final = 5_000
SAMPLE: Final = 50
SAMPLE_SEED: Final = 7


class NewerRunPublished(ConsistencyError):
    """An older cutoff must not replace a newer one: rows would fall behind what the stream has let go."""

    def __init__(self, cutoff_ms: int, published: Manifest) -> None:
        self.cutoff_ms = cutoff_ms
        self.published = published
        super().__init__(
            f"the run of cutoff {cutoff_ms} is older than the published {published.version} (cutoff "
            f"{published.cutoff_ms}); remove {artifacts.CURRENT} in the artifacts' folder to go back on purpose"
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
    """What went into the online store, by view."""

    rows: Mapping[str, int]


def refuse_older(artifacts_dir: Path, cutoff_ms: int) -> None:
    """Raise NewerRunPublished when the current artifact has a later cutoff; one that nobody can read has none."""
    version = artifacts.current_version(artifacts_dir)
    if version is not None and (artifacts_dir / version).is_dir():
        try:
            published = artifacts.read_manifest(artifacts_dir / version)
        except ConsistencyError as error:
            LOG.warning("artifact.unreadable", extra={"version": version, "problem": str(error)})
            return
        if published.cutoff_ms > cutoff_ms:
            raise NewerRunPublished(cutoff_ms, published)


def publish(settings: Settings, computed: Mapping[str, Path], cutoff_ms: int, version: str) -> Published:
    """Make a run the current one. `computed` has the Parquet file of each batch view. Doing it again changes nothing.

    Raises:
        DependencyError: the online store did not answer.
        ConsistencyError: it does not say what was written, or a newer run is published.
    """
    refuse_older(settings.artifacts_dir, cutoff_ms)
    settings.offline_dir.mkdir(parents=True, exist_ok=True)
    for name, path in computed.items():
        _replace(Path(offline_path(settings.offline_dir, name)), path)
    with _feature_store(settings) as store:
        for view in BATCH_VIEWS:
            _materialise(store, view, computed[view.name], cutoff_ms)
        rows = {view.name: _reconcile(store, view, computed[view.name]) for view in BATCH_VIEWS}
    artifacts.point_to(settings.artifacts_dir, version)
    return Published(rows)


def is_published(settings: Settings, computed: Mapping[str, Path], version: str) -> bool:
    """Whether the store and the pointer still say what this run published."""
    if artifacts.current_version(settings.artifacts_dir) != version:
        return False
    with _feature_store(settings) as store:
        try:
            for view in BATCH_VIEWS:
                if _is_closed(store, view):
                    return False
                _reconcile(store, view, computed[view.name])
        except UnfaithfulStore:
            return False
    return True


def _materialise(store: FeatureStore, view: View, path: Path, cutoff_ms: int) -> None:
    """What `feast materialize` does, in batches, so that memory is bounded; and the view stays readable meanwhile.

    Feast's own command refuses reads of a view until it is done, and for good when it is killed.
    """
    for batch in pq.ParquetFile(path).iter_batches(ROWS_PER_BATCH):
        store.write_to_online_store(view.name, batch.to_pandas())
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


def _reconcile(store: FeatureStore, view: View, path: Path) -> int:
    """Compare a sample of rows with what Feast reads back; returns the number of rows of the file.

    Raises:
        UnfaithfulStore: naming the first key that differs.
    """
    file = pq.ParquetFile(path)
    total: int = file.metadata.num_rows
    wanted = sorted(random.Random(SAMPLE_SEED).sample(range(total), min(SAMPLE, total)))
    rows = pq.read_table(path).take(wanted).to_pylist() if wanted else []
    names = [name for name, _ in view.columns]
    asked = [{view.join_key: row[view.join_key]} for row in rows]
    if not asked:
        return total
    answer = store.get_online_features([f"{view.name}:{name}" for name in names], asked).to_dict()
    for at, row in enumerate(rows):
        differences = {name: (row[name], answer[name][at]) for name in names if row[name] != answer[name][at]}
        if differences:
            raise UnfaithfulStore(view.name, row[view.join_key], differences)
    return total
