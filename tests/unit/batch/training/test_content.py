"""From what the catalogue says of an item to what it is like, with no interaction in sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.training.catalogue import read_snapshot, take, write_snapshot
from batch.training.content import ContentWeights, StoredEmbeddings, content_of, embedded_content_of, terms_of, tf_idf
from domain.recommenders.content import ContentSimilarity
from domain.recommenders.vocabulary import Vocabulary
from schemas.errors import ConfigurationError, ConsistencyError
from schemas.events import ItemEvent, encode

CATALOGUE = {
    item.item_id: item
    for item in (
        ItemEvent(item_id="alien", title="Alien (1979)", categories=("horror", "space"), tags=("creature",)),
        ItemEvent(item_id="aliens", title="Aliens (1986)", categories=("action", "space"), tags=("creature",)),
        ItemEvent(item_id="heat", title="Heat (1995)", categories=("action", "crime"), price_micros=5),
        ItemEvent(item_id="casino", title="Casino (1995)", categories=("crime",), published_at_ms=7),
        ItemEvent(item_id="gone", title="Alien (1979)", categories=("horror", "space"), deleted=True),
    )
}
VOCABULARY = Vocabulary([*CATALOGUE, "unlisted"])


def similar_to(model: ContentSimilarity, item_id: str) -> list[str]:
    dense = VOCABULARY.dense(item_id)
    assert dense is not None
    return [VOCABULARY.item_id(item) for item in model.similar(dense, 9).items.tolist()]


def test_an_item_that_no_log_has_seen_is_like_those_that_say_the_same() -> None:
    model = content_of(CATALOGUE, VOCABULARY)
    assert similar_to(model, "alien") == ["aliens"]
    assert similar_to(model, "casino") == ["heat"]
    assert similar_to(model, "unlisted") == []
    assert similar_to(model, "gone") == []


def test_terms_of_too_few_items_and_of_too_many_are_left_out() -> None:
    items = [CATALOGUE[item_id] for item_id in ("alien", "aliens", "heat", "casino")]
    shared = {"action", "crime", "space", "creature", "1995"}
    assert tf_idf(items, ContentWeights(tag_word=0)).width == len(
        shared | {"horror", "alien", "aliens", "1979", "1986", "heat", "casino"}
    )
    assert tf_idf(items, ContentWeights(tag_word=0, items_least=2)).width == len(shared)
    assert tf_idf(items, ContentWeights(tag_word=0, items_least=3)).width == 0
    assert tf_idf(items, ContentWeights(tag_word=0, items_least=2, items_share_max=0.4)).width == 0


def test_a_word_of_a_title_is_no_category() -> None:
    found = terms_of(ItemEvent(item_id="i", title="Space  SPACE", categories=("Space", "unknown")), ContentWeights())
    assert found == {"space": pytest.approx(1 + np.log(2)), "category space": 1.0}


@dataclass
class CountingLetters:
    """An embedder of somebody else's."""

    rows: int | None = None

    def __call__(self, items: Sequence[ItemEvent]) -> np.ndarray:
        letters = [[item.title.lower().count(letter) for letter in "aceinost"] for item in items]
        return np.array(letters, np.float64)[: self.rows]


def test_any_embedding_can_take_the_place_of_the_terms(tmp_path: Path) -> None:
    model = embedded_content_of(CATALOGUE, VOCABULARY, CountingLetters())
    assert similar_to(model, "casino")[0] in ("alien", "aliens", "gone")
    model.save(tmp_path)
    assert similar_to(ContentSimilarity.load(tmp_path), "casino") == similar_to(model, "casino")
    with pytest.raises(ValueError, match="one a row"):
        embedded_content_of(CATALOGUE, VOCABULARY, CountingLetters(rows=2))


@dataclass
class Record:
    key: bytes | None
    value: bytes | None


def test_the_newest_word_on_an_item_counts_and_what_is_no_item_is_passed_over() -> None:
    heat, newer = CATALOGUE["heat"], ItemEvent(item_id="heat", title="Heat, restored")
    found: dict[str, ItemEvent] = {}
    take(found, [Record(b"heat", encode(heat)), Record(b"alien", encode(CATALOGUE["alien"])), Record(b"x", b"{")])
    take(found, [Record(b"heat", encode(newer)), Record(b"alien", None)])
    assert found == {"heat": newer}
    take(found, [Record(b"heat", encode(ItemEvent(item_id="heat", deleted=True)))])
    assert found == {}


def test_a_snapshot_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.parquet"
    kept = {item_id: item for item_id, item in CATALOGUE.items() if not item.deleted}
    assert write_snapshot(path, kept) == len(kept)
    assert read_snapshot(path) == kept
    first = path.read_bytes()
    write_snapshot(path, dict(reversed(kept.items())))
    assert path.read_bytes() == first
    path.write_bytes(b"not Parquet")
    with pytest.raises(ConsistencyError):
        read_snapshot(path)


def test_vectors_of_a_file_say_what_items_are_about_and_what_it_does_not_hold_is_about_nothing(tmp_path: Path) -> None:
    rows = [
        {"item_id": item, "vector": vector} for item, vector in (("a", [1.0, 0.0]), ("b", [2.0, 0.1]), ("x", [0, 1]))
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "vectors.parquet")
    stored = StoredEmbeddings(tmp_path / "vectors.parquet")
    model = embedded_content_of({}, Vocabulary(["a", "b", "c"]), stored)
    assert model.similar(0, 5).items.tolist() == [1]
    assert len(model.similar(2, 5)) == 0
    with pytest.raises(ConfigurationError, match="EMBEDDINGS_FILE"):
        StoredEmbeddings(tmp_path / "nowhere.parquet")
