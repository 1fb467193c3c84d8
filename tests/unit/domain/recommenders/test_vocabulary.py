from __future__ import annotations

from pathlib import Path

import pytest

from domain.recommenders.protocol import Session
from domain.recommenders.stored import UnreadableModel
from domain.recommenders.vocabulary import Vocabulary


def test_dense_ids_follow_the_sorted_item_ids() -> None:
    vocabulary = Vocabulary(["pear", "apple", "pear", "fig"])
    assert vocabulary.item_ids == ("apple", "fig", "pear")
    assert [vocabulary.dense(item_id) for item_id in ("apple", "pear", "plum")] == [0, 2, None]
    assert vocabulary.item_id(1) == "fig"
    assert "fig" in vocabulary
    assert "plum" not in vocabulary
    assert len(vocabulary) == 3


@pytest.mark.parametrize("dense", [-1, 3])
def test_a_dense_id_outside_the_vocabulary_names_no_item(dense: int) -> None:
    with pytest.raises(IndexError):
        Vocabulary(["a", "b", "c"]).item_id(dense)


def test_unknown_items_are_dropped_from_a_session() -> None:
    assert Vocabulary(["a", "b"]).session(["b", "x", "a", "b"]) == Session((1, 0, 1))


def test_the_fingerprint_depends_on_the_set_of_ids_only() -> None:
    assert Vocabulary(["a", "b"]).fingerprint() == Vocabulary(["b", "a", "a"]).fingerprint()
    different = [Vocabulary(ids).fingerprint() for ids in (["a", "b"], ["ab"], ["a"], [], ["a", "b", ""])]
    assert len(set(different)) == len(different)


def test_a_saved_vocabulary_comes_back_equal(tmp_path: Path) -> None:
    vocabulary = Vocabulary(["ü", "a", '"quoted"', "日本"])
    vocabulary.save(tmp_path)
    again = Vocabulary.load(tmp_path)
    assert again.item_ids == vocabulary.item_ids
    assert again.fingerprint() == vocabulary.fingerprint()


@pytest.mark.parametrize("content", ['["b","a"]', '["a","a"]', "[1]", "{"])
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(UnreadableModel, match=r"vocabulary\.json"):
        Vocabulary.load(tmp_path)


def test_a_missing_file_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(UnreadableModel):
        Vocabulary.load(tmp_path)
