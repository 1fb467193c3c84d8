"""The encoders of `neural` in numpy: clicks as vectors in, the vector that is compared with the items out.

- GRU: Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks", ICLR 2016; the gates are those of
  Cho et al. 2014 in the variant of cuDNN and torch, where the reset gate acts after the recurrent product.
- Transformer, causal: Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, with the norms before
  each part ("pre-norm"). Its last position answers.
- Transformer, both ways: Sun et al., "BERT4Rec", CIKM 2019: a mask vector behind the newest click answers.

All end alike: the answer is scaled to length 1 / temperature, so that its products with item vectors of length 1 are
cosine logits. Arrays are float32; a matrix is [outputs, inputs], as torch has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

EncoderKind = Literal["gru", "sasrec", "bert4rec"]
Floats = npt.NDArray[np.float32]

LENGTH_MIN: Final = 1e-12
"""Below this a vector counts as zero and stays what it is (as in torch's `normalize`)."""
NORM_EPSILON: Final = 1e-5
GELU_CUBIC: Final = 0.044715
"""Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016: the approximation by tanh."""


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """What the arrays of an encoder alone do not say."""

    kind: EncoderKind
    dimensions: int
    clicks_max: int  # older clicks of a session are not looked at
    temperature: float
    heads: int = 1
    layers: int = 1

    def __post_init__(self) -> None:
        if self.kind not in ("gru", "sasrec", "bert4rec"):
            raise ValueError(f"there is no encoder {self.kind!r}; take one of gru, sasrec, bert4rec")
        if min(self.dimensions, self.clicks_max, self.heads, self.layers) < 1 or self.temperature <= 0:
            raise ValueError(f"{self} has a size below 1 or a temperature that is not above 0")
        if self.dimensions % self.heads:
            raise ValueError(f"{self.dimensions} dimensions are not divisible by {self.heads} heads")

    def arrays(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every array of such an encoder."""
        width = self.dimensions
        if self.kind == "gru":
            return {
                "input_weight": (3 * width, width),
                "input_bias": (3 * width,),
                "hidden_weight": (3 * width, width),
                "hidden_bias": (3 * width,),
                "output_weight": (width, width),
                "output_bias": (width,),
            }
        shapes: dict[str, tuple[int, ...]] = {"norm_weight": (width,), "norm_bias": (width,)}
        shapes["positions"] = (self.clicks_max + (self.kind == "bert4rec"), width)
        if self.kind == "bert4rec":
            shapes["mask"] = (width,)
        for layer in range(self.layers):
            shapes |= {
                f"{layer}.attend_norm_weight": (width,),
                f"{layer}.attend_norm_bias": (width,),
                f"{layer}.attend_weight": (3 * width, width),
                f"{layer}.attend_bias": (3 * width,),
                f"{layer}.join_weight": (width, width),
                f"{layer}.join_bias": (width,),
                f"{layer}.think_norm_weight": (width,),
                f"{layer}.think_norm_bias": (width,),
                f"{layer}.widen_weight": (2 * width, width),
                f"{layer}.widen_bias": (2 * width,),
                f"{layer}.narrow_weight": (width, 2 * width),
                f"{layer}.narrow_bias": (width,),
            }
        return shapes


class Encoder(Protocol):
    """Turns clicks into the vector that is compared with the items. Pure: no call changes it."""

    def encode(self, clicks: Floats) -> Floats:
        """[sessions, clicks, width] of sessions with equally many clicks, at least one -> [sessions, width]."""
        ...

    def start(self) -> Floats:
        """The state of a session before its first click."""
        ...

    def step(self, state: Floats, click: Floats) -> Floats:
        """The state after one more click [width]; the given state stays as it is."""
        ...

    def read(self, state: Floats) -> Floats:
        """The vector [width] that a state with at least one click stands for."""
        ...


def encoder_of(shape: EncoderShape, arrays: Mapping[str, Floats]) -> Encoder:
    """The encoder of this shape; raises `ValueError` when an array is missing or of another shape."""
    for name, expected in shape.arrays().items():
        if name not in arrays or arrays[name].shape != expected:
            raise ValueError(f"array {name} is {arrays[name].shape if name in arrays else None}, expected {expected}")
    return GruEncoder(shape, arrays) if shape.kind == "gru" else TransformerEncoder(shape, arrays)


class GruEncoder:
    """One small step a click, whatever came before: the state is one vector."""

    def __init__(self, shape: EncoderShape, arrays: Mapping[str, Floats]) -> None:
        self._shape = shape
        self._input = np.ascontiguousarray(arrays["input_weight"].T)
        self._hidden = np.ascontiguousarray(arrays["hidden_weight"].T)
        self._output = np.ascontiguousarray(arrays["output_weight"].T)
        self._input_bias = arrays["input_bias"]
        self._hidden_bias = arrays["hidden_bias"]
        self._output_bias = arrays["output_bias"]

    def encode(self, clicks: Floats) -> Floats:
        """See `Encoder.encode`."""
        sessions, length, width = clicks.shape
        given = (clicks.reshape(-1, width) @ self._input + self._input_bias).reshape(sessions, length, -1)
        states = np.zeros((sessions, width), np.float32)
        for position in range(length):
            states = self._stepped(states, given[:, position])
        return self.read(states)

    def start(self) -> Floats:
        """See `Encoder.start`."""
        return np.zeros(self._shape.dimensions, np.float32)

    def step(self, state: Floats, click: Floats) -> Floats:
        """See `Encoder.step`; takes [sessions, width] as well."""
        return self._stepped(state, click @ self._input + self._input_bias)

    def _stepped(self, state: Floats, given: Floats) -> Floats:
        width = self._shape.dimensions
        kept = state @ self._hidden + self._hidden_bias
        gates = _sigmoid(given[..., : 2 * width] + kept[..., : 2 * width])
        reset, update = gates[..., :width], gates[..., width:]
        fresh = np.tanh(given[..., 2 * width :] + reset * kept[..., 2 * width :])
        stepped: Floats = fresh + update * (state - fresh)
        return stepped

    def read(self, state: Floats) -> Floats:
        """See `Encoder.read`; takes [sessions, width] as well."""
        return _of_length(state @ self._output + self._output_bias, 1 / self._shape.temperature)


class TransformerEncoder:
    """SASRec and BERT4Rec. The state of a session is its newest clicks: each answer encodes them again."""

    def __init__(self, shape: EncoderShape, arrays: Mapping[str, Floats]) -> None:
        self._shape = shape
        self._arrays = dict(arrays)

    def encode(self, clicks: Floats) -> Floats:
        """See `Encoder.encode`; clicks older than the newest `clicks_max` are not looked at."""
        hidden = clicks[:, -self._shape.clicks_max :]
        if self._shape.kind == "bert4rec":
            mask = np.broadcast_to(self._arrays["mask"], (len(hidden), 1, self._shape.dimensions))
            hidden = np.concatenate((hidden, mask), axis=1)
        hidden = hidden + self._arrays["positions"][: hidden.shape[1]]
        for layer in range(self._shape.layers):
            hidden = hidden + self._attended(hidden, f"{layer}.")
            hidden = hidden + self._thought(hidden, f"{layer}.")
        return _of_length(self._normed(hidden[:, -1], "norm"), 1 / self._shape.temperature)

    def start(self) -> Floats:
        """See `Encoder.start`."""
        return np.empty((0, self._shape.dimensions), np.float32)

    def step(self, state: Floats, click: Floats) -> Floats:
        """See `Encoder.step`: [clicks, width], oldest first."""
        return np.concatenate((state, click[None]))[-self._shape.clicks_max :]

    def read(self, state: Floats) -> Floats:
        """See `Encoder.read`."""
        answer: Floats = self.encode(state[None])[0]
        return answer

    def _attended(self, hidden: Floats, layer: str) -> Floats:
        sessions, length, width = hidden.shape
        split = (sessions, length, 3, self._shape.heads, width // self._shape.heads)
        parts = self._linear(self._normed(hidden, layer + "attend_norm"), layer + "attend").reshape(split)
        query, key, value = parts.transpose(2, 0, 3, 1, 4)  # each [sessions, heads, length, width of a head]
        affinity = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(split[-1]))
        if self._shape.kind == "sasrec":
            affinity[..., np.triu(np.ones((length, length), np.bool_), 1)] = -np.inf
        weights = np.exp(affinity - affinity.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        joined = (weights @ value).transpose(0, 2, 1, 3).reshape(sessions, length, width)
        return self._linear(joined, layer + "join")

    def _thought(self, hidden: Floats, layer: str) -> Floats:
        wide = self._linear(self._normed(hidden, layer + "think_norm"), layer + "widen")
        return self._linear(_gelu(wide), layer + "narrow")

    def _linear(self, inputs: Floats, name: str) -> Floats:
        flat = inputs.reshape(-1, inputs.shape[-1]) @ self._arrays[name + "_weight"].T
        outputs: Floats = (flat + self._arrays[name + "_bias"]).reshape(*inputs.shape[:-1], -1)
        return outputs

    def _normed(self, inputs: Floats, name: str) -> Floats:
        centred = inputs - inputs.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(NORM_EPSILON))
        normed: Floats = centred / deviation * self._arrays[name + "_weight"] + self._arrays[name + "_bias"]
        return normed


def _sigmoid(inputs: Floats) -> Floats:
    """By tanh, which does not overflow."""
    outputs: Floats = np.tanh(inputs * np.float32(0.5)) * np.float32(0.5) + np.float32(0.5)
    return outputs


def _gelu(inputs: Floats) -> Floats:
    inner = np.float32(np.sqrt(2 / np.pi)) * (inputs + np.float32(GELU_CUBIC) * inputs * inputs * inputs)
    outputs: Floats = np.float32(0.5) * inputs * (1 + np.tanh(inner))
    return outputs


def _of_length(vectors: Floats, length: float) -> Floats:
    lengths = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), LENGTH_MIN)
    scaled: Floats = (vectors / lengths * np.float32(length)).astype(np.float32)
    return scaled
