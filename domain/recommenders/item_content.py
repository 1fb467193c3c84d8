"""What items are about, as unit vectors that may be compared: sparse terms, or dense embeddings from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from domain.recommenders.compiled import compiled
from domain.recommenders.stored import Arrays, read_arrays, write_arrays

FORMAT: Final = 1

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]


class ItemContent(Protocol):
    """A unit vector for each item of a vocabulary; zeros for an item of which nothing is known."""

    def __len__(self) -> int: ...

    def is_known(self) -> npt.NDArray[np.bool_]:
        """Which items have a vector [items]."""
        ...

    def sum_of(self, items: Ids, weights: Floats) -> Floats:
        """The weighted sum [width] of the vectors of some items."""
        ...

    def against(self, query: Floats) -> Floats:
        """The product of every item's vector with a query [width]: [items]."""
        ...

    def against_some(self, query: Floats, items: Ids) -> Floats:
        """The same for some items."""
        ...

    def save(self, folder: Path) -> None:
        """Write everything `load` needs into `folder`, which exists."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `UnreadableModel`."""
        ...


class TermRows:
    """Sparse rows: item i has `weights[offsets[i]:offsets[i + 1]]` at `terms`, distinct, of sum of squares 1 or 0."""

    FILE: Final = "content_terms.npz"
    KIND: Final = "content-terms"

    def __init__(self, offsets: Offsets, terms: Ids, weights: Floats, width: int) -> None:
        self.offsets = offsets
        self.terms = terms
        self.weights = weights
        self.width = width

    @classmethod
    def of(cls, offsets: Offsets, terms: Ids, weights: npt.NDArray[np.floating], width: int) -> Self:
        """From rows of any length, which are brought to length 1."""
        squares = np.concatenate(([0.0], np.cumsum(weights.astype(np.float64) ** 2)))
        lengths = np.sqrt(np.maximum(squares[offsets[1:]] - squares[offsets[:-1]], 1e-12))
        unit = weights / np.repeat(lengths, np.diff(offsets))
        return cls(offsets.astype(np.int64), terms.astype(np.int32), unit.astype(np.float32), width)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def is_known(self) -> npt.NDArray[np.bool_]:
        """See `ItemContent.is_known`."""
        known: npt.NDArray[np.bool_] = np.diff(self.offsets) > 0
        return known

    def sum_of(self, items: Ids, weights: Floats) -> Floats:
        """See `ItemContent.sum_of`."""
        total = np.zeros(self.width, np.float32)
        for item, weight in zip(items.tolist(), weights.tolist(), strict=True):
            row = slice(self.offsets[item], self.offsets[item + 1])
            total[self.terms[row]] += weight * self.weights[row]
        return total

    def against(self, query: Floats) -> Floats:
        """See `ItemContent.against`; one pass over all terms of all items, without the interpreter lock."""
        return self.against_some(query, np.arange(len(self), dtype=np.int32))

    def against_some(self, query: Floats, items: Ids) -> Floats:
        """See `ItemContent.against_some`."""
        products = np.empty(len(items), np.float32)
        _products(self.offsets, self.terms, self.weights, query, items, products)
        return products

    def save(self, folder: Path) -> None:
        """See `ItemContent.save`."""
        arrays: Arrays = {
            "offsets": self.offsets,
            "terms": self.terms,
            "weights": self.weights,
            "width": np.array(self.width),
        }
        write_arrays(folder / self.FILE, self.KIND, FORMAT, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `ItemContent.load`."""
        arrays = read_arrays(folder / cls.FILE, cls.KIND, FORMAT, ["offsets", "terms", "weights", "width"])
        return cls(arrays["offsets"], arrays["terms"], arrays["weights"], int(arrays["width"]))


class Embeddings:
    """Dense vectors, wherever they come from: a language model, an image model, a factorisation."""

    FILE: Final = "content_embeddings.npz"
    KIND: Final = "content-embeddings"

    def __init__(self, vectors: Floats) -> None:
        self.vectors = vectors  # [items, width], rows of length 1 or 0

    @classmethod
    def of(cls, vectors: npt.NDArray[np.floating]) -> Self:
        """From rows [items, width] of any length; raises `ValueError` when they are no finite matrix."""
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ValueError(f"embeddings are a finite matrix [items, width], not one of shape {vectors.shape}")
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return cls((vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32))

    def __len__(self) -> int:
        return len(self.vectors)

    def is_known(self) -> npt.NDArray[np.bool_]:
        """See `ItemContent.is_known`."""
        known: npt.NDArray[np.bool_] = (self.vectors != 0).max(axis=1, initial=False)
        return known

    def sum_of(self, items: Ids, weights: Floats) -> Floats:
        """See `ItemContent.sum_of`."""
        total: Floats = weights @ self.vectors[items]
        return total

    def against(self, query: Floats) -> Floats:
        """See `ItemContent.against`."""
        products: Floats = self.vectors @ query
        return products

    def against_some(self, query: Floats, items: Ids) -> Floats:
        """See `ItemContent.against_some`."""
        products: Floats = self.vectors[items] @ query
        return products

    def save(self, folder: Path) -> None:
        """See `ItemContent.save`."""
        write_arrays(folder / self.FILE, self.KIND, FORMAT, {"vectors": self.vectors})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `ItemContent.load`."""
        return cls(read_arrays(folder / cls.FILE, cls.KIND, FORMAT, ["vectors"])["vectors"])


@compiled
def _products(offsets: Offsets, terms: Ids, weights: Floats, query: Floats, items: Ids, products: Floats) -> None:
    for place in range(len(items)):
        total = np.float32(0)
        for entry in range(offsets[items[place]], offsets[items[place] + 1]):
            total += weights[entry] * query[terms[entry]]
        products[place] = total
