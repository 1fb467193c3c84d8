"""The encoders of `domain.recommenders.neural_encoders` as torch modules: every position of a piece at once."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from domain.recommenders.neural_encoders import EncoderShape

Arrays = dict[str, npt.NDArray[np.float32]]


class Network(nn.Module):
    """Clicks as vectors [pieces, clicks, width] -> the vector after each click, of length 1.

    Parameters carry the names and shapes of `EncoderShape.arrays`.
    """

    def __init__(self, shape: EncoderShape, dropout: float) -> None:
        super().__init__()
        self.shape = shape
        self.dropout = dropout
        self.weights = nn.ParameterDict(
            {_key(name): nn.Parameter(_initial(name, size, shape)) for name, size in shape.arrays().items()}
        )

    def arrays(self) -> Arrays:
        """The parameters for the numpy encoder."""
        return {name: self[name].detach().float().numpy().copy() for name in self.shape.arrays()}

    def take(self, arrays: Arrays) -> None:
        """Go on from the parameters of a numpy encoder."""
        with torch.no_grad():
            for name in self.shape.arrays():
                self[name].copy_(torch.from_numpy(arrays[name]))

    def __getitem__(self, name: str) -> Tensor:
        weight: Tensor = self.weights[_key(name)]
        return weight

    def dropped(self, inputs: Tensor) -> Tensor:
        """Dropout while training, nothing otherwise."""
        return functional.dropout(inputs, self.dropout, self.training) if self.dropout else inputs


class GruNetwork(Network):
    """The recurrent encoder; padding at the end of a piece does not reach the clicks before it."""

    def forward(self, clicks: Tensor, is_click: Tensor | None = None) -> Tensor:
        """See `Network`; `is_click` is not needed."""
        del is_click
        parameters = [self[name] for name in ("input_weight", "hidden_weight", "input_bias", "hidden_bias")]
        first = clicks.new_zeros(1, len(clicks), self.shape.dimensions)
        states, _ = torch.gru(
            self.dropped(clicks),
            first,
            parameters,
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=self.training,
            bidirectional=False,
            batch_first=True,
        )
        answers = functional.linear(self.dropped(states), self["output_weight"], self["output_bias"])
        return functional.normalize(answers.float(), dim=-1)


class TransformerNetwork(Network):
    """SASRec (causal) and BERT4Rec (both ways; the caller puts masks among the clicks)."""

    def forward(self, clicks: Tensor, is_click: Tensor | None = None) -> Tensor:
        """See `Network`; `is_click` [pieces, clicks] keeps padding out of BERT4Rec's attention."""
        causal = self.shape.kind == "sasrec"
        seen = None if causal or is_click is None else is_click[:, None, None, :]
        hidden = self.dropped(clicks + self["positions"][: clicks.shape[1]])
        for layer in range(self.shape.layers):
            hidden = hidden + self.dropped(self._attended(hidden, f"{layer}.", causal, seen))
            wide = self._linear(self._normed(hidden, f"{layer}.think_norm"), f"{layer}.widen")
            thought = self._linear(functional.gelu(wide, approximate="tanh"), f"{layer}.narrow")
            hidden = hidden + self.dropped(thought)
        return functional.normalize(self._normed(hidden, "norm").float(), dim=-1)

    def _attended(self, hidden: Tensor, layer: str, causal: bool, seen: Tensor | None) -> Tensor:
        pieces, length, width = hidden.shape
        parts = self._linear(self._normed(hidden, layer + "attend_norm"), layer + "attend")
        split = parts.view(pieces, length, 3, self.shape.heads, width // self.shape.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        joined = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen, is_causal=causal)
        return self._linear(joined.transpose(1, 2).reshape(pieces, length, width), layer + "join")

    def _linear(self, inputs: Tensor, name: str) -> Tensor:
        return functional.linear(inputs, self[name + "_weight"], self[name + "_bias"])

    def _normed(self, inputs: Tensor, name: str) -> Tensor:
        width = (self.shape.dimensions,)
        return functional.layer_norm(inputs, width, self[name + "_weight"], self[name + "_bias"])


def network_of(shape: EncoderShape, dropout: float) -> Network:
    """A fresh network; its weights follow from torch's seed."""
    return GruNetwork(shape, dropout) if shape.kind == "gru" else TransformerNetwork(shape, dropout)


def _key(name: str) -> str:
    return name.replace(".", "_")  # torch allows no dot in the name of a parameter


def _initial(name: str, size: tuple[int, ...], shape: EncoderShape) -> Tensor:
    if "norm_weight" in name:
        return torch.ones(size)
    if name.endswith("norm_bias"):
        return torch.zeros(size)
    if name in ("positions", "mask"):
        return torch.randn(size) * (0.05 if name == "positions" else 1.0)
    bound = 1 / math.sqrt(size[-1] if len(size) > 1 else shape.dimensions)
    return torch.empty(size).uniform_(-bound, bound)
