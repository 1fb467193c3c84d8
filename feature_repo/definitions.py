"""What `feast apply` registers: the one file of this folder that Feast reads (see `.feastignore`)."""

from __future__ import annotations

from inspect import getsource
from pathlib import Path
from typing import Any

from feature_repo.registry import RegistryObjects, registry_objects

LAPTOP_OFFLINE_DIR = "../.firth/var/offline"
"""Where the batch layer leaves its parquet files by default, seen from this folder."""


def visitor_profile(columns: dict[str, Any]) -> dict[str, Any]:
    from feature_repo.merging import merge_columns
    from feature_repo.views import VISITOR_PROFILE

    return merge_columns(VISITOR_PROFILE, columns)


def item_stats(columns: dict[str, Any]) -> dict[str, Any]:
    from feature_repo.merging import merge_columns
    from feature_repo.views import ITEM_STATS

    return merge_columns(ITEM_STATS, columns)


def request_context(columns: dict[str, Any]) -> dict[str, Any]:
    from feature_repo.merging import context_columns

    return context_columns(columns)


def define(offline_dir: str | Path) -> RegistryObjects:
    """The objects of a repository whose parquet files are in `offline_dir`.

    Feast keeps the source of the functions above in the registry and runs it elsewhere, so each must stand alone.
    """
    functions = (visitor_profile, item_stats, request_context)
    return registry_objects(str(offline_dir), {each.__name__: (each, getsource(each)) for each in functions})


# Feast looks for its objects among the module's attributes.
globals().update({f"registered_{index}": entry for index, entry in enumerate(define(LAPTOP_OFFLINE_DIR))})
