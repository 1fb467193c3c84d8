"""The same join by Feast: `get_historical_features` over the snapshots, with its DuckDB offline store.

It needs no server: features are registered beside the snapshots, in a registry of their own.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

import pandas as pd
from feast import FeatureStore, RepoConfig

from batch.training.point_in_time import KNOWN_TO, POSITION, VIEWS, known_columns
from feature_repo.definitions import define
from feature_repo.foreign_warnings import ignore_foreign_warnings
from feature_repo.offline import TIMESTAMP_COLUMN, leave_speed_files_empty

PROJECT: Final = "firth_training"


def historical_rows(folder: Path, asked: pd.DataFrame) -> pd.DataFrame:
    """What Feast says was known at each row of `asked` (training rows), by the snapshots in `folder`.

    The rows come in the order of the log. A row is asked at the instant that its interaction was received.
    """
    store = _store_over(folder)
    wanted = [f"{view.name}:{name}" for entity, view in VIEWS.items() for name in known_columns(entity)]
    entities = asked[["visitor_id", "item_id", KNOWN_TO, *POSITION]].copy()
    entities[TIMESTAMP_COLUMN] = pd.to_datetime(asked["received_at_ms"], unit="ms", utc=True).astype(
        "datetime64[us, UTC]"
    )
    with warnings.catch_warnings():
        ignore_foreign_warnings()
        found: pd.DataFrame = store.get_historical_features(entities, wanted).to_df()
    return found.sort_values(list(POSITION), ignore_index=True)


def _store_over(folder: Path) -> FeatureStore:
    """Feast with the catalogue registered, whose batch views are read from the files in `folder`."""
    leave_speed_files_empty(folder)
    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry={"registry_type": "file", "path": str(folder / "feast" / "registry.db")},
        entity_key_serialization_version=3,
        offline_store={"type": "duckdb"},
        online_store={"type": "sqlite", "path": str(folder / "feast" / "online.db")},
        repo_path=folder,
    )
    (folder / "feast").mkdir(exist_ok=True)
    store = FeatureStore(config=config)
    with warnings.catch_warnings():
        ignore_foreign_warnings()
        store.apply(list(define(folder.resolve())))
    return store
