"""What an experiment makes of one visitor's slates: the arms, and what they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple


class AssignedArm(NamedTuple):
    """The arm of one experiment that a visitor is in. `propensity`: the share of the experiment that is in this arm."""

    experiment: str
    arm: str
    propensity: float


class Exploration(NamedTuple):
    """The last `slots` places of a slate are drawn by lot, each with probability `rate`."""

    slots: int
    rate: float


@dataclass(frozen=True, slots=True)
class Treatment:
    """What the arms of one visitor change, all experiments together; what is None or missing stays as it is.

    `weights` are by the name of a source.
    """

    arms: tuple[AssignedArm, ...] = ()
    model: str | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    category_cap: int | None = None
    explore: Exploration | None = None


UNTREATED: Final = Treatment()
"""Of a visitor who is in no experiment."""
