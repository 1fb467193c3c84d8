"""The GRU encoder of `neural_encoders` for one session at a time, compiled.

What a server asks: for one session a matrix library spends more on being called than on the products.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from domain.recommenders.compiled import Floats, Ids, compiled, in_any_order

LENGTH_MIN = np.float32(1e-12)


class Gru(NamedTuple):
    """The arrays of a GRU encoder as they are stored: a matrix is [outputs, inputs]."""

    input_weight: Floats  # [3 * width, width]
    input_bias: Floats  # [3 * width]
    hidden_weight: Floats  # [3 * width, width]
    hidden_bias: Floats  # [3 * width]
    output_weight: Floats  # [width, width]
    output_bias: Floats  # [width]


@in_any_order
def follow(gru: Gru, vectors: Floats, items: Ids, states: Floats) -> None:
    """Step through a session: `states` [clicks + 1, width], the first of which is given, the others are filled in."""
    input_weight, input_bias = gru.input_weight, gru.input_bias
    hidden_weight, hidden_bias = gru.hidden_weight, gru.hidden_bias
    width = states.shape[1]
    scale = np.sqrt(np.float32(width))
    given = np.empty(3 * width, np.float32)
    kept = np.empty(3 * width, np.float32)
    for place in range(len(items)):
        state, click = states[place], vectors[items[place]]
        for row in range(3 * width):
            sums = np.float32(0.0)
            for column in range(width):
                sums += input_weight[row, column] * click[column]
            given[row] = sums * scale + input_bias[row]
        for row in range(3 * width):
            sums = np.float32(0.0)
            for column in range(width):
                sums += hidden_weight[row, column] * state[column]
            kept[row] = sums + hidden_bias[row]
        for at in range(width):
            reset = _sigmoid(given[at] + kept[at])
            update = _sigmoid(given[width + at] + kept[width + at])
            fresh = _tanh(given[2 * width + at] + reset * kept[2 * width + at])
            states[place + 1, at] = fresh + update * (state[at] - fresh)


@in_any_order
def read(gru: Gru, state: Floats, length: float, answer: Floats) -> None:
    """Fill `answer` [width] with what a state stands for: a vector of this length."""
    output_weight, output_bias = gru.output_weight, gru.output_bias
    squares = np.float32(0.0)
    for row in range(len(answer)):
        sums = np.float32(0.0)
        for column in range(len(state)):
            sums += output_weight[row, column] * state[column]
        answer[row] = sums + output_bias[row]
        squares += answer[row] * answer[row]
    scale = np.float32(length) / max(np.sqrt(squares), LENGTH_MIN)
    for row in range(len(answer)):
        answer[row] *= scale


@in_any_order
def _sigmoid(value: np.float32) -> np.float32:
    return np.float32(np.float32(1.0) / (np.float32(1.0) + np.exp(-value)))


@in_any_order
def _tanh(value: np.float32) -> np.float32:
    """Of a large value exp is infinite, and the quotient 0."""
    return np.float32(np.float32(1.0) - np.float32(2.0) / (np.exp(np.float32(2.0) * value) + np.float32(1.0)))


@compiled
def encode_without(
    gru: Gru, vectors: Floats, items: Ids, left_out: Ids, clicks_max: int, length: float, encoded: Floats
) -> None:
    """Fill `encoded` [left out, width] with a session's answer without each of some items; zeros where none is left.

    Steps are not taken again up to the first place of what is left out.
    """
    width = encoded.shape[1]
    whole = items[max(0, len(items) - clicks_max) :]
    states = np.zeros((len(whole) + 1, width), np.float32)
    follow(gru, vectors, whole, states)
    for number in range(len(left_out)):
        first = 0
        if len(whole) == len(items):
            while first < len(whole) and whole[first] != left_out[number]:
                first += 1
        rest = items[first:]
        rest = rest[rest != left_out[number]]
        rest = rest[max(0, len(rest) - clicks_max) :]
        if first + len(rest) == 0:
            encoded[number] = 0
            continue
        steps = np.empty((len(rest) + 1, width), np.float32)
        steps[0] = states[first]
        follow(gru, vectors, rest, steps)
        read(gru, steps[len(rest)], length, encoded[number])
