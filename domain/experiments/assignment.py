"""Who is in which arm: a function of the visitor's id and the declaration, the same in every process and for ever.

A visitor's place in a layer is a hash, and the experiment is the one whose part of the layer holds it. Their arm is
drawn by weighted rendezvous: each arm draws an exponential waiting time by a hash of its own, at the rate of its share,
and the shortest wins. So an arm wins with the probability of its share, and whoever changes arms when shares change
moves to an arm that grew against the one that they leave; all others stay. (Thaler and Ravishankar, "Using Name-Based
Mappings to Increase Hit Rates", 1998; the weights as Efraimidis and Spirakis draw theirs, "Weighted random sampling
with a reservoir", 2006.)
"""

from __future__ import annotations

import math
from collections import defaultdict
from hashlib import blake2b
from typing import Any, Final

from domain.experiments.assigned import UNTREATED, AssignedArm, Treatment
from domain.experiments.declaration import Arm, Declaration, Experiment

COMBINATIONS_MAX: Final = 4_096
"""Treatments that are remembered; beyond it they are made again."""

_UNIT: Final = 2.0**-53


class _Lot:
    """Draws a number in [0, 1) for each visitor, independent of those of other purposes."""

    __slots__ = ("_seeded",)

    def __init__(self, *purpose: str) -> None:
        self._seeded = blake2b("\x1f".join((*purpose, "")).encode(), digest_size=8)

    def __call__(self, visitor_id: str) -> float:
        """A multiple of 2^-53, uniform over visitors."""
        mine = self._seeded.copy()
        mine.update(visitor_id.encode())
        return (int.from_bytes(mine.digest(), "big") >> 11) * _UNIT


class _Arms:
    """The arms of one experiment, ready to draw from."""

    __slots__ = ("_lots", "traffic")

    def __init__(self, experiment: Experiment) -> None:
        self.traffic = experiment.traffic
        name, salt = experiment.name, experiment.salt
        self._lots = [
            (_Lot("arm", name, salt, arm.name), 1 / arm.share, AssignedArm(name, arm.name, arm.share))
            for arm in experiment.arms
        ]

    def of(self, visitor_id: str) -> AssignedArm:
        """The arm whose waiting time is the shortest."""
        return min(self._lots, key=lambda one: -math.log1p(-one[0](visitor_id)) * one[1])[2]


class Assignment:
    """The arms of a declaration, and what each combination of them changes."""

    def __init__(self, declaration: Declaration) -> None:
        layers: defaultdict[str, list[_Arms]] = defaultdict(list)
        self._arms: dict[tuple[str, str], Arm] = {}
        for experiment in declaration.experiments:
            layers[experiment.layer].append(_Arms(experiment))
            self._arms |= {(experiment.name, arm.name): arm for arm in experiment.arms}
        self._layers = [(_Lot("layer", layer), layers[layer]) for layer in sorted(layers)]
        self._treatments: dict[tuple[AssignedArm, ...], Treatment] = {}

    def of(self, visitor_id: str) -> Treatment:
        """What this visitor gets."""
        arms = []
        for lot, experiments in self._layers:
            place = lot(visitor_id)
            arms += [one.of(visitor_id) for one in experiments if one.traffic[0] <= place < one.traffic[1]]
        return self._treatment(tuple(arms)) if arms else UNTREATED

    def _treatment(self, arms: tuple[AssignedArm, ...]) -> Treatment:
        known = self._treatments.get(arms)
        if known is None:
            if len(self._treatments) >= COMBINATIONS_MAX:
                self._treatments.clear()
            known = self._treatments[arms] = treatment_of(arms, [self._arms[one.experiment, one.arm] for one in arms])
        return known


def treatment_of(assigned: tuple[AssignedArm, ...], arms: list[Arm]) -> Treatment:
    """What these arms change together; the declaration sees to it that no two change the same."""
    found: dict[str, Any] = {}
    weights: dict[str, float] = {}
    for arm in arms:
        changed = {"model": arm.model, "category_cap": arm.policy.category_cap, "explore": arm.explore}
        found |= {name: value for name, value in changed.items() if value is not None}
        weights |= {str(source): weight for source, weight in arm.weights.items()}
    return Treatment(arms=assigned, weights=weights, **found)
