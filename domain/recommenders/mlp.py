"""A small network over the features of candidates, in arrays: what a listwise ranker is served as.

    score(row) = w3' relu(W2' relu(W1' z + b1) + b2),    z = (row between its bounds - mean) / scale

Bounds keep an unheard-of value of one feature from drowning all others. Two products of a hundred rows take some 50
microseconds; an offset of all scores would change nothing, so the last layer has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from domain.recommenders.stored import UnreadableModel, read_arrays, write_arrays

KIND: Final = "mlp"
FORMAT: Final = 1
FILE: Final = "mlp.npz"
NAMES_FILE: Final = "mlp.json"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Mlp:
    """Thread-safe: nothing changes after it is built. Raises `ValueError` when the arrays do not fit together."""

    features: tuple[str, ...]
    low: Floats  # [features]
    high: Floats  # [features]
    mean: Floats  # [features]
    scale: Floats  # [features], above 0
    first: Floats  # [features, wide]
    first_bias: Floats  # [wide]
    second: Floats  # [wide, narrow]
    second_bias: Floats  # [narrow]
    third: Floats  # [narrow]

    def __post_init__(self) -> None:
        count, (wide, narrow) = len(self.features), self.second.shape
        shapes = [each.shape for each in (self.low, self.high, self.mean, self.scale)]
        layers = [each.shape for each in (self.first, self.first_bias, self.second_bias, self.third)]
        if shapes != [(count,)] * 4 or layers != [(count, wide), (wide,), (narrow,), (narrow,)]:
            raise ValueError(f"layers of {layers} and statistics of {shapes} do not fit {count} features")
        if not (self.scale > 0).all():
            raise ValueError("a feature has no scale: leave its deviation at 1 when it never changes")

    def scores(self, rows: Floats) -> npt.NDArray[np.float64]:
        """[rows] from [rows, features]."""
        hidden = np.maximum(self.standardised(rows) @ self.first + self.first_bias, 0)
        hidden = np.maximum(hidden @ self.second + self.second_bias, 0)
        scores: npt.NDArray[np.float64] = (hidden @ self.third).astype(np.float64)
        return scores

    def standardised(self, rows: Floats) -> Floats:
        """What the first layer reads [rows, features]."""
        inputs: Floats = np.clip(rows, self.low, self.high)
        inputs -= self.mean
        inputs /= self.scale
        return inputs

    def save(self, folder: Path) -> None:
        """Write the arrays and the names of the features into `folder`, which exists."""
        arrays = {name: getattr(self, name) for name in self.__slots__ if name != "features"}
        write_arrays(folder / FILE, KIND, FORMAT, arrays)
        (folder / NAMES_FILE).write_bytes(msgspec.json.encode(self.features))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `UnreadableModel`."""
        try:
            features = msgspec.json.decode((folder / NAMES_FILE).read_bytes(), type=tuple[str, ...])
        except (OSError, msgspec.MsgspecError) as error:
            raise UnreadableModel(folder / NAMES_FILE, str(error)) from error
        arrays = read_arrays(folder / FILE, KIND, FORMAT, [name for name in cls.__slots__ if name != "features"])
        try:
            return cls(features, **arrays)
        except ValueError as error:
            raise UnreadableModel(folder / FILE, str(error)) from error
