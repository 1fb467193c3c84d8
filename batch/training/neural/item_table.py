"""The item vectors while they are learnt: only the rows that a batch touches are read, and written back by Adam.

A dense optimiser would move four floats a component of every item at each step: for 100,000 items many times the work
of the batch itself. Rows that a batch does not touch keep their moments as they are ("lazy Adam"); they miss the
steps that a dense Adam would go on taking from its momentum, which a higher rate makes up for.
"""

from __future__ import annotations

import torch
from torch import Tensor

BETAS = (0.9, 0.98)
EPSILON = 1e-8


class ItemTable:
    """Vectors [items, width] with their moments; `rows` None stands for all of them."""

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors
        self._means = torch.zeros_like(vectors)
        self._squares = torch.zeros_like(vectors)
        self._steps = 0

    def take(self, rows: Tensor | None) -> Tensor:
        """The vectors of distinct rows, to be differentiated by: [rows, width]."""
        taken = self.vectors if rows is None else self.vectors.index_select(0, rows)
        return taken.detach().requires_grad_()

    def update(self, rows: Tensor | None, taken: Tensor, learning_rate: float) -> None:
        """One step of Adam along the gradient of what `take` gave."""
        gradient = taken.grad
        if gradient is None:
            return
        self._steps += 1
        rate = learning_rate / (1 - BETAS[0] ** self._steps)
        correction = (1 - BETAS[1] ** self._steps) ** 0.5
        means = self._means if rows is None else self._means.index_select(0, rows)
        squares = self._squares if rows is None else self._squares.index_select(0, rows)
        means.lerp_(gradient, 1 - BETAS[0])
        squares.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        moved = taken.detach().addcdiv_(means, squares.sqrt().div_(correction).add_(EPSILON), value=-rate)
        if rows is not None:
            self._means.index_copy_(0, rows, means)
            self._squares.index_copy_(0, rows, squares)
            self.vectors.index_copy_(0, rows, moved)
