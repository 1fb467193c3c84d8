"""What torch trains is what numpy serves, at every position of a session."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from batch.training.neural.networks import network_of
from domain.recommenders.neural_encoders import EncoderKind, EncoderShape, encoder_of

LENGTH = 7


@pytest.mark.parametrize("kind", ["gru", "sasrec", "bert4rec"])
def test_the_numpy_encoder_answers_as_the_network(kind: EncoderKind) -> None:
    torch.manual_seed(1)
    shape = EncoderShape(kind, dimensions=16, clicks_max=LENGTH, temperature=0.07, heads=4, layers=2)
    network = network_of(shape, dropout=0.3).eval()
    clicks = torch.randn(5, LENGTH, 16)
    encoder = encoder_of(shape, network.arrays())
    for length in range(1, LENGTH + 1):
        given = clicks[:, :length]
        if kind == "bert4rec":
            given = torch.cat((given, network["mask"].expand(5, 1, 16)), 1)
        with torch.no_grad():
            expected = network(given)[:, -1].numpy() / 0.07
        np.testing.assert_allclose(encoder.encode(clicks[:, :length].numpy()), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["gru", "sasrec", "bert4rec"])
def test_padding_does_not_reach_the_clicks_before_it(kind: EncoderKind) -> None:
    torch.manual_seed(1)
    network = network_of(EncoderShape(kind, dimensions=16, clicks_max=LENGTH, temperature=0.07), 0.0).eval()
    clicks = torch.randn(2, LENGTH, 16)
    is_click = torch.ones(2, LENGTH, dtype=torch.bool)
    is_click[:, 4:] = False
    with torch.no_grad():
        padded, short = network(clicks, is_click)[:, :4], network(clicks[:, :4], is_click[:, :4])
    torch.testing.assert_close(padded, short, atol=1e-5, rtol=1e-5)


def test_a_network_goes_on_from_the_arrays_it_gave() -> None:
    shape = EncoderShape("sasrec", dimensions=16, clicks_max=LENGTH, temperature=0.07)
    first, second = network_of(shape, 0.0), network_of(shape, 0.0)
    second.take(first.arrays())
    assert all((first[name] == second[name]).all() for name in shape.arrays())
