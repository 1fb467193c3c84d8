"""What items are about, from the catalogue: TF-IDF over titles, categories and tags, or whatever embeds them.

Terms of a title are its words; a category and a tag are one term each, apart from the words, and the words of a tag
count too. Salton and Buckley, "Term-weighting approaches in automatic text retrieval", 1988: (1 + log count) * idf,
rows of length 1. A term of one item alone compares nothing, but it shortens the rest of the row: who says more than
others is less like them. Items that no log has seen are in it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from domain.recommenders.content import ContentPolicy, ContentSimilarity
from domain.recommenders.item_content import Embeddings, TermRows
from domain.recommenders.vocabulary import Vocabulary
from schemas.errors import ConfigurationError
from schemas.events import UNKNOWN_CATEGORY, ItemEvent

WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class ContentWeights:
    """How much a term of each field weighs, and how common it may be.

    Terms of fewer than `items_least` items are left out, and terms of a larger share of the items than
    `items_share_max`: these say little, and every query passes over all of them.
    """

    title: float = 1.0
    category: float = 1.0
    tag: float = 1.0
    tag_word: float = 0.5
    idf_exponent: float = 1.0
    items_least: int = 1
    items_share_max: float = 1.0


class Embedder(Protocol):
    """Anything that turns what the catalogue says into vectors: a sentence model, an image model, a table."""

    def __call__(self, items: Sequence[ItemEvent]) -> npt.NDArray[np.floating]:
        """One row [width] for each item, in their order; a row of zeros where there is nothing to say."""
        ...


class StoredEmbeddings:
    """Vectors that another program has made: a Parquet file of `item_id` and `vector`, all of one length."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError when the file cannot be read or holds something else."""
        try:
            table = pq.read_table(path, columns=["item_id", "vector"])
            vectors = np.stack([np.asarray(vector, np.float32) for vector in table["vector"].to_pylist()])
        except (OSError, pa.ArrowException, ValueError) as error:
            remedy = "write `item_id` and `vector` (a list of numbers, as long for every item) into a Parquet file"
            raise ConfigurationError("FIRTH_BATCH__EMBEDDINGS_FILE", f"{path}: {error}", remedy) from error
        self._vectors = dict(zip(table["item_id"].to_pylist(), vectors, strict=True))
        self._nothing = np.zeros(vectors.shape[1], np.float32)

    def __call__(self, items: Sequence[ItemEvent]) -> npt.NDArray[np.floating]:
        """See `Embedder`; zeros for an item that the file does not hold."""
        return np.stack([self._vectors.get(item.item_id, self._nothing) for item in items])


def content_of(
    catalogue: Mapping[str, ItemEvent],
    vocabulary: Vocabulary,
    weights: ContentWeights | None = None,
    policy: ContentPolicy | None = None,
) -> ContentSimilarity:
    """By terms; items of the vocabulary that the catalogue does not know have none."""
    rows = tf_idf([catalogue.get(item_id) for item_id in vocabulary.item_ids], weights or ContentWeights())
    return ContentSimilarity(rows, policy)


def embedded_content_of(
    catalogue: Mapping[str, ItemEvent], vocabulary: Vocabulary, embed: Embedder, policy: ContentPolicy | None = None
) -> ContentSimilarity:
    """By the vectors of an embedder. Raises `ValueError` when they are not one finite row an item."""
    asked = [catalogue.get(item_id, ItemEvent(item_id=item_id)) for item_id in vocabulary.item_ids]
    vectors = np.asarray(embed(asked))
    if len(vectors) != len(asked):
        raise ValueError(f"{len(vectors)} embeddings for {len(asked)} items: give one a row, in their order")
    return ContentSimilarity(Embeddings.of(vectors), policy)


def tf_idf(items: Sequence[ItemEvent | None], weights: ContentWeights) -> TermRows:
    """The rows of items, in their order; None and deleted items have no terms."""
    counted = [terms_of(item, weights) if item and not item.deleted else {} for item in items]
    spread = Counter(term for terms in counted for term in terms)
    most = weights.items_share_max * len(items)
    kept = sorted(term for term, count in spread.items() if weights.items_least <= count <= most)
    number_of = {term: number for number, term in enumerate(kept)}
    idf = np.log((1 + len(items)) / (1 + np.array([spread[term] for term in kept], np.float64)))
    idf = np.maximum(idf, 0) ** weights.idf_exponent
    rows = [
        sorted((number_of[term], weight) for term, weight in terms.items() if term in number_of) for terms in counted
    ]
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    terms = np.array([number for row in rows for number, _ in row], np.int32)
    frequencies = np.array([weight for row in rows for _, weight in row], np.float64)
    return TermRows.of(offsets, terms, frequencies * idf[terms], len(kept))


def terms_of(item: ItemEvent, weights: ContentWeights) -> dict[str, float]:
    """The terms of an item with their weights before idf: (1 + log of how often) * the weight of the field."""
    fields = (
        (weights.title, _words(item.title)),
        (weights.category, [f"category {_folded(each)}" for each in item.categories if each != UNKNOWN_CATEGORY]),
        (weights.tag, [f"tag {_folded(each)}" for each in item.tags]),
        (weights.tag_word, [word for tag in item.tags for word in _words(tag)]),
    )
    found: dict[str, float] = {}
    for weight, terms in fields:
        for term, count in Counter(terms).items():
            if weight > 0:
                found[term] = found.get(term, 0.0) + weight * (1 + float(np.log(count)))
    return found


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def _words(text: str) -> list[str]:
    return WORD.findall(_folded(text))
