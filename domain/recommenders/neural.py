"""Neural session models without their training framework: the clicks as one vector, compared with every item's vector.

logit(item) = <vector of the item, encoded session> + bias of the item. The encoder is one of `neural_encoders`; inputs
and outputs share the item vectors. Items that the training log never held are untrained: their vector is zero, their
bias `UNTRAINED_BIAS`, they are never ranked, and a click on one is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from domain.recommenders import gru_kernel
from domain.recommenders.neural_encoders import EncoderShape, Floats, encoder_of
from domain.recommenders.protocol import Ranking, Session, empty_ranking
from domain.recommenders.stored import UnreadableModel, read_arrays, write_arrays

FILE: Final = "neural.npz"
SHAPE_FILE: Final = "neural.json"
KIND: Final = "neural-session-model"
FORMAT: Final = 1
UNTRAINED_BIAS: Final = np.float32(-1e4)
"""Far below every logit, and finite, so that a softmax over candidates stays defined."""
ENCODED_TOGETHER: Final = 1024
RANKED_TOGETHER: Final = 256
"""Sessions ranked by one product; it bounds the memory to 256 rows of one float an item."""
BLOCK_ITEMS: Final = 64


class NeuralSessionModel:
    """A `Recommender` over trained arrays. Thread-safe: nothing changes after it is built.

    A click costs the GRU one `step` (two products of width x 3 width); a ranking costs one product with every item
    vector (4 * width bytes an item are read), `scores` only those of the given candidates.
    """

    def __init__(self, vectors: Floats, biases: Floats, shape: EncoderShape, arrays: Mapping[str, Floats]) -> None:
        """Raises `ValueError` when the arrays do not fit together."""
        if vectors.shape != (len(biases), shape.dimensions):
            raise ValueError(f"{vectors.shape} vectors, {biases.shape} biases, {shape.dimensions} dimensions")
        self.vectors = np.ascontiguousarray(vectors, np.float32)  # [items, width]
        self.biases = np.ascontiguousarray(biases, np.float32)  # [items]
        self.shape = shape
        self.arrays = {
            name: np.ascontiguousarray(arrays[name], np.float32) for name in shape.arrays() if name in arrays
        }
        self._encoder = encoder_of(shape, self.arrays)
        self._gru = gru_kernel.Gru(**self.arrays) if shape.kind == "gru" else None
        self._is_trained = self.biases > UNTRAINED_BIAS

    @property
    def items_count(self) -> int:
        """Items of the catalogue, trained or not."""
        return len(self.biases)

    def knows(self, item: int) -> bool:
        """Whether the training log held this item; a `GAP` is not known."""
        return 0 <= item < self.items_count and bool(self._is_trained[item])

    # --- one session ------------------------------------------------------------------------------------------------

    def start(self) -> Floats:
        """The state of a session before its first click; it stands for no answer yet."""
        return self._encoder.start()

    def step(self, state: Floats, item: int) -> Floats:
        """The state after one more click; an unknown item or a `GAP` leaves it as it is.

        Reading a stepped state equals `encode` while the session has no more than `shape.clicks_max` known clicks; of
        longer ones `encode` looks at the newest only, while a stepped GRU also remembers the older.
        """
        return self._encoder.step(state, self._inputs(item)) if self.knows(item) else state

    def read(self, state: Floats) -> Floats:
        """The encoded session [width] of a state with at least one known click."""
        return self._encoder.read(state)

    def rank(self, session: Session, k: int) -> Ranking:
        """See `Recommender.rank`; a session without a known item gets an empty ranking."""
        encoded = self._encode_one(session)
        return empty_ranking() if encoded is None else self.rank_encoded(encoded, k)

    def rank_encoded(self, encoded: Floats, k: int) -> Ranking:
        """The best `k` items for what `read` gave."""
        items, scores = self._best((self.vectors @ encoded + self.biases)[None], k)
        trained = scores[0] > UNTRAINED_BIAS / 2
        return Ranking(items[0][trained], scores[0][trained])

    def scores(self, session: Session, items: npt.NDArray[np.int32]) -> Floats:
        """The logits of given items of the catalogue, in their order; their biases where the session is unknown."""
        encoded = self._encode_one(session)
        return self.biases[items] if encoded is None else self.scores_encoded(encoded, items)

    def scores_encoded(self, encoded: Floats, items: npt.NDArray[np.int32]) -> Floats:
        """The logits of given items of the catalogue for what `read` gave."""
        scores: Floats = self.vectors[items] @ encoded + self.biases[items]
        return scores

    # --- many sessions ----------------------------------------------------------------------------------------------

    def encode(self, offsets: npt.NDArray[np.int64], items: npt.NDArray[np.int32]) -> Floats:
        """Encode session `s` = `items[offsets[s]:offsets[s + 1]]`, oldest first -> [sessions, width].

        Sessions of equal length are stepped together. A session without a known item is all zeros.
        """
        known = (items >= 0) & (items < self.items_count)
        known[known] = self._is_trained[items[known]]
        kept = items[known]
        ends = np.concatenate(([0], np.cumsum(known)))[offsets]
        lengths = np.minimum(np.diff(ends), self.shape.clicks_max)
        encoded = np.zeros((len(lengths), self.shape.dimensions), np.float32)
        order = np.argsort(lengths, kind="stable")
        cuts = np.searchsorted(lengths[order], np.arange(1, self.shape.clicks_max + 2))
        for length, (start, end) in enumerate(pairwise(cuts), start=1):
            for first in range(start, end, ENCODED_TOGETHER):
                rows = order[first : min(first + ENCODED_TOGETHER, end)]
                clicks = kept[ends[rows + 1][:, None] + np.arange(-length, 0)]  # [sessions, clicks]
                encoded[rows] = self._encoder.encode(self._inputs(clicks))
        return encoded

    def encode_without(self, items: npt.NDArray[np.int32], left_out: npt.NDArray[np.int32]) -> Floats:
        """Encode one session of items of the catalogue without each of some items -> [left out, width].

        As `encode` of the shorter sessions, which for a GRU takes a fraction of the time; an item that the session has
        not leaves it as it is.
        """
        if self._gru is None:
            shorter = [items[items != each] for each in left_out]
            offsets = np.cumsum([0, *map(len, shorter)], dtype=np.int64)
            return self.encode(offsets, np.concatenate(shorter))
        encoded = np.empty((len(left_out), self.shape.dimensions), np.float32)
        known, length = items[self._is_trained[items]], 1 / self.shape.temperature
        gru_kernel.encode_without(self._gru, self.vectors, known, left_out, self.shape.clicks_max, length, encoded)
        return encoded

    def rank_many(self, encoded: Floats, k: int) -> tuple[npt.NDArray[np.int32], Floats]:
        """The best `k` items and logits of encoded sessions: two of [sessions, min(k, items)], best first.

        Unlike `rank` the rows are full: untrained items come last, with logits about `UNTRAINED_BIAS`.
        """
        size = min(max(k, 0), self.items_count)
        items = np.empty((len(encoded), size), np.int32)
        scores = np.empty((len(encoded), size), np.float32)
        for first in range(0, len(encoded), RANKED_TOGETHER):
            rows = slice(first, first + RANKED_TOGETHER)
            items[rows], scores[rows] = self._best(encoded[rows] @ self.vectors.T + self.biases, size)
        return items, scores

    # --- on disk ----------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """See `Recommender.save`."""
        write_arrays(folder / FILE, KIND, FORMAT, {"vectors": self.vectors, "biases": self.biases, **self.arrays})
        (folder / SHAPE_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(asdict(self.shape))))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Recommender.load`."""
        path = folder / SHAPE_FILE
        try:
            shape = msgspec.json.decode(path.read_bytes(), type=EncoderShape)
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            raise UnreadableModel(path, str(error)) from error
        arrays = read_arrays(folder / FILE, KIND, FORMAT, ["vectors", "biases", *shape.arrays()])
        try:
            return cls(arrays.pop("vectors"), arrays.pop("biases"), shape, arrays)
        except ValueError as error:
            raise UnreadableModel(folder / FILE, str(error)) from error

    # --- parts ------------------------------------------------------------------------------------------------------

    def _inputs(self, items: int | npt.NDArray[np.int32]) -> Floats:
        """What the encoder reads of a click: the item's vector, with components of about 1."""
        inputs: Floats = self.vectors[items] * np.float32(np.sqrt(self.shape.dimensions))
        return inputs

    def _encode_one(self, session: Session) -> Floats | None:
        known = [item for item in session.items if self.knows(item)][-self.shape.clicks_max :]
        if not known:
            return None
        encoded: Floats = self._encoder.encode(self._inputs(np.array(known, np.int32))[None])[0]
        return encoded

    def _best(self, scores: Floats, k: int) -> tuple[npt.NDArray[np.int32], Floats]:
        """The `k` highest of each row of [sessions, items], the lower id first on a tie.

        They lie in the `k` blocks of items with the highest maxima, so only those are looked through: for 100,000 items
        some ten times quicker than a partition of whole rows.
        """
        rows, count = scores.shape
        size = min(max(k, 0), count)
        if not size:
            return np.empty((rows, 0), np.int32), np.empty((rows, 0), np.float32)
        blocks = -(-count // BLOCK_ITEMS)
        padded = np.full((rows, blocks * BLOCK_ITEMS), -np.inf, np.float32)
        padded[:, :count] = scores
        if size < blocks:
            blocked = padded.reshape(rows, blocks, BLOCK_ITEMS)
            best_blocks = np.sort(np.argpartition(-blocked.max(axis=2), size, axis=1)[:, :size], axis=1)
            padded = np.take_along_axis(blocked, best_blocks[:, :, None], axis=1).reshape(rows, -1)
            ids = (best_blocks[:, :, None] * BLOCK_ITEMS + np.arange(BLOCK_ITEMS)).reshape(rows, -1)
        else:
            ids = np.broadcast_to(np.arange(blocks * BLOCK_ITEMS), padded.shape)
        if size < padded.shape[1]:
            best = np.sort(np.argpartition(-padded, size - 1, axis=1)[:, :size], axis=1)
        else:
            best = np.broadcast_to(np.arange(size), (rows, size))
        values = np.take_along_axis(padded, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        chosen = np.take_along_axis(np.take_along_axis(ids, best, axis=1), order, axis=1)
        return chosen.astype(np.int32), np.take_along_axis(values, order, axis=1)
