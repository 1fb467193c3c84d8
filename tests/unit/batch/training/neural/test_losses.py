"""The losses against their formulas written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from batch.training.neural.contract import NeuralPolicy
from batch.training.neural.item_table import ItemTable
from batch.training.neural.losses import Drawn, Targets, loss_of

POLICY = NeuralPolicy(temperature=0.2, bfloat16=False)


def answers_and_vectors(answers: int = 300, items: int = 40) -> tuple[Tensor, Tensor, Targets]:
    torch.manual_seed(0)
    given = functional.normalize(torch.randn(answers, 8), dim=-1).requires_grad_()
    vectors = functional.normalize(torch.randn(items, 8), dim=-1).requires_grad_()
    return given, vectors, Targets(torch.randint(0, items, (answers,)), torch.rand(answers) + 0.5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_full_softmax_has_the_value_and_gradients_of_torch(smoothing: float) -> None:
    answers, vectors, targets = answers_and_vectors()
    policy = NeuralPolicy(temperature=0.2, bfloat16=False, label_smoothing=smoothing)
    loss = loss_of(answers, vectors, targets, None, policy)
    losses = functional.cross_entropy(
        answers @ vectors.T / 0.2, targets.items, reduction="none", label_smoothing=smoothing
    )
    expected = (losses * targets.weights).sum() / targets.weights.sum()
    torch.testing.assert_close(loss, expected)
    for own, wanted in zip(
        torch.autograd.grad(loss, (answers, vectors)), torch.autograd.grad(expected, (answers, vectors)), strict=True
    ):
        torch.testing.assert_close(own, wanted)


def test_the_corrected_sample_estimates_the_full_softmax() -> None:
    answers, vectors, targets = answers_and_vectors(items=40)
    shares = torch.rand(40) + 0.1
    shares /= shares.sum()
    drawn_items = torch.multinomial(shares, 200_000, replacement=True)
    drawn = Drawn(drawn_items, torch.log(shares[drawn_items]), 40)
    with torch.no_grad():
        some = Targets(targets.items[:20], targets.weights[:20])
        sampled = loss_of(answers[:20], vectors, some, drawn, POLICY)
        full = loss_of(answers[:20], vectors, some, None, POLICY)
    assert float(sampled) == pytest.approx(float(full), abs=0.02)


def test_the_sampled_softmax_has_the_gradients_of_its_formula() -> None:
    answers, vectors, targets = answers_and_vectors(items=40)
    drawn_items = torch.randint(0, 40, (25,))
    drawn = Drawn(drawn_items, torch.log(torch.rand(25) / 40 + 0.01), 40)
    logits = answers @ vectors[drawn_items].T / 0.2 - drawn.log_shares - torch.log(torch.tensor(25.0))
    logits = logits.masked_fill(drawn_items[None] == targets.items[:, None], -1e9)
    positive = (answers * vectors[targets.items]).sum(1, keepdim=True) / 0.2
    losses = -torch.log_softmax(torch.cat((positive, logits), 1), 1)[:, 0]
    expected = (losses * targets.weights).sum() / targets.weights.sum()
    loss = loss_of(answers, vectors, targets, drawn, POLICY)
    torch.testing.assert_close(loss, expected)
    for own, wanted in zip(
        torch.autograd.grad(loss, (answers, vectors)), torch.autograd.grad(expected, (answers, vectors)), strict=True
    ):
        torch.testing.assert_close(own, wanted)


def test_bpr_max_and_gbce_are_their_formulas() -> None:
    answers, vectors, _ = answers_and_vectors(answers=1, items=3)
    target = Targets(torch.tensor([0]), torch.ones(1))
    drawn = Drawn(torch.tensor([1, 2]), torch.log(torch.tensor([0.5, 0.5])), 3)
    positive, first, second = (answers.detach() @ vectors.detach().T / 0.2)[0]
    shares = torch.softmax(torch.stack((first, second)), 0)
    beaten = shares[0] * torch.sigmoid(positive - first) + shares[1] * torch.sigmoid(positive - second)
    regular = 0.001 * (shares[0] * first**2 + shares[1] * second**2)
    bpr = loss_of(answers, vectors, target, drawn, NeuralPolicy(loss="bpr-max", temperature=0.2, bfloat16=False))
    torch.testing.assert_close(bpr, -torch.log(beaten) + regular)
    # Both other items are drawn: the rate is 1, so the positive keeps its full weight whatever the calibration.
    gbce = loss_of(answers, vectors, target, drawn, NeuralPolicy(loss="gbce", temperature=0.2, bfloat16=False))
    missed = -torch.log(1 - torch.sigmoid(first)) - torch.log(1 - torch.sigmoid(second))
    torch.testing.assert_close(gbce, -torch.log(torch.sigmoid(positive)) + missed, atol=1e-4, rtol=1e-4)


def test_a_drawn_target_is_no_negative() -> None:
    answers, vectors, _ = answers_and_vectors(answers=1, items=3)
    target = Targets(torch.tensor([0]), torch.ones(1))
    drawn = Drawn(torch.tensor([0]), torch.zeros(1), 3)
    loss = loss_of(answers, vectors, target, drawn, POLICY).detach()
    assert float(loss) == pytest.approx(0, abs=1e-5)


def test_rows_are_updated_as_by_adam_and_others_stay() -> None:
    torch.manual_seed(0)
    start = torch.randn(5, 4)
    table, reference = ItemTable(start.clone()), start[[1, 3]].clone().requires_grad_()
    adam = torch.optim.Adam([reference], 0.1, (0.9, 0.98))
    rows = torch.tensor([1, 3])
    for _ in range(3):
        taken = table.take(rows)
        taken.square().sum().backward()  # type: ignore[no-untyped-call]
        table.update(rows, taken, 0.1)
        adam.zero_grad()
        reference.square().sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
    torch.testing.assert_close(table.vectors[[1, 3]], reference.detach())
    torch.testing.assert_close(table.vectors[[0, 2, 4]], start[[0, 2, 4]])
