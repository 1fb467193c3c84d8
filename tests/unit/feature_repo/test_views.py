"""What must hold of the table of views, whatever the catalogue says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import feature_repo
from domain.__main__ import VIEWS
from domain.features import Entity
from feature_repo.views import MERGED_VIEWS, STORED_VIEWS

FOLDER = Path(feature_repo.__file__).parent


@pytest.mark.parametrize("entity", ["visitor", "item"])
def test_no_two_features_share_a_field_of_an_entitys_hash(entity: Entity) -> None:
    layouts = [view.layout() for view in STORED_VIEWS if view.entity == entity and view.store == "redis"]
    assert not [field for field, times in Counter(f for layout in layouts for f in layout.fields).items() if times > 1]


def test_speed_writes_to_redis_and_batch_to_cassandra() -> None:
    assert {(view.owner, view.store) for view in STORED_VIEWS} == {("speed", "redis"), ("batch", "cassandra")}


def test_a_merged_view_joins_a_batch_and_a_speed_view_of_its_entity_without_sharing_a_column() -> None:
    for view in MERGED_VIEWS:
        assert (view.history.owner, view.recent.owner) == ("batch", "speed")
        assert view.entity == view.history.entity == view.recent.entity
        columns = [name for name, _ in (*view.history.columns, *view.recent.columns, *view.columns)]
        assert len(columns) == len(set(columns))


def test_the_documented_views_are_the_views() -> None:
    documented = {name: list(columns) for name, _, columns in VIEWS}
    assert documented == {view.name: list(view.columns) for view in (*STORED_VIEWS, *MERGED_VIEWS)}


def test_feast_imports_only_the_definitions() -> None:
    ignored = {line for line in (FOLDER / ".feastignore").read_text().split("\n") if line and not line.startswith("#")}
    modules = {path.name for path in FOLDER.glob("*.py")} | {path.parent.name for path in FOLDER.glob("*/*.py")}
    assert modules - ignored == {"definitions.py", "__init__.py"}
    assert ignored <= modules
