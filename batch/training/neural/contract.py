"""What a neural training is asked for and what it gives back; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from domain.recommenders.neural import NeuralSessionModel
from domain.recommenders.neural_encoders import EncoderKind

Loss = Literal["cross-entropy", "bpr-max", "gbce"]
Struck = Literal["nothing", "current", "seen"]
TEMPERATURE_MIN: Final = 0.02
"""Logits reach 1 / temperature; their exponentials, summed over a catalogue, must fit a float32."""


@dataclass(frozen=True, slots=True)
class NeuralPolicy:
    """Frozen parameters of one training: the same policy, log and machine give the same weights."""

    encoder: EncoderKind = "gru"
    dimensions: int = 128
    clicks_max: int = 50  # longer sessions are cut into pieces of this length
    layers: int = 2  # of the transformers
    heads: int = 4
    dropout: float = 0.25
    temperature: float = 0.07

    loss: Loss = "cross-entropy"
    negatives: int = 2048  # items drawn for each batch; 0 = the whole catalogue (the full softmax)
    full_softmax_work_max: float = 2e8  # clicks x items up to which the cross-entropy goes over all items anyway
    negatives_exponent: float = 0.5  # items are drawn in proportion to their clicks to this power
    bpr_regularisation: float = 0.001
    gbce_calibration: float = 0.75  # t of gSASRec: 0 = plain binary cross-entropy, 1 = calibrated like a softmax
    label_smoothing: float = 0.0
    recency_half_life_days: float = 0.0  # a session's weight in the loss halves with this age; 0 = all weigh the same

    epochs: int = 10
    patience: int = 2  # epochs without a better validation before stopping
    clicks_per_batch: int = 1024
    learning_rate: float = 2e-3
    touched_items_rate: float = 4.0  # times `learning_rate`, for item vectors that only move when a batch touches them
    weight_decay: float = 0.01  # of the encoder; item vectors have a length that means nothing
    warm_up_steps: int = 100
    final_learning_rate: float = 0.05  # share of `learning_rate` at the last step
    sessions_max: int = 0  # only the newest sessions are learnt from; 0 = all
    steps_max: int = 0  # stop after so many batches, whatever the epochs plan: where a clock stopped; 0 = never

    seed: int = 0
    threads: int = 1
    bfloat16: bool = True

    def __post_init__(self) -> None:
        sizes = (self.dimensions, self.clicks_max, self.layers, self.heads, self.epochs, self.clicks_per_batch)
        if min(*sizes, self.threads, self.patience) < 1:
            raise ValueError(f"{self} has a size below 1")
        if (
            self.temperature < TEMPERATURE_MIN
            or min(self.learning_rate, self.touched_items_rate) <= 0
            or not 0 <= self.dropout < 1
        ):
            raise ValueError(
                f"{self} has a temperature below {TEMPERATURE_MIN}, a rate not above 0, or a dropout outside 0 to 1"
            )
        if min(self.negatives, self.sessions_max, self.steps_max, self.recency_half_life_days) < 0:
            raise ValueError(f"{self} has a negative count or half-life")
        if self.negatives == 0 and self.loss != "cross-entropy":
            raise ValueError(f"the loss {self.loss} needs negatives")


@dataclass(frozen=True, slots=True, eq=False)
class NextClicks:
    """Prefixes with the click that came next: what a training stops by."""

    offsets: npt.NDArray[np.int64]  # [queries + 1]
    items: npt.NDArray[np.int32]  # [clicks], dense ids; a negative one is unknown
    targets: npt.NDArray[np.int64]  # [queries]; a negative one is unknown and always a miss
    struck: Struck = "nothing"  # from every list: nothing, the newest click (as in `--dedup`), or the whole prefix

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A model with what its training cost and reached."""

    model: NeuralSessionModel
    policy: NeuralPolicy  # as it was carried out: with the epochs, sessions and steps that a budget chose
    epochs_done: int  # with validation: up to the best one, which is the model
    seconds: float
    clicks_per_second: float
    metrics: dict[str, float] = field(default_factory=dict)  # of the validation: hr@20, mrr@20, score; else empty
