"""The declaration of experiments: typed, bounded, and refused with a word on what to do.

Experiments are in layers. A layer is the half-open range [0, 1), in which every visitor has a place of their own; an
experiment takes a part of it, and no two take the same, so experiments of one layer exclude each other. Layers know
nothing of each other, so a visitor is in one experiment of each, and each thing that an arm can change belongs to one
layer: else two experiments would change it at once. (Tang et al., "Overlapping Experiment Infrastructure: More,
Better, Faster Experimentation", KDD 2010.)
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from domain.experiments.assigned import Exploration
from domain.slates import Source
from schemas.errors import ConfigurationError

EXPERIMENTS_MAX: Final = 32
ARMS_MAX: Final = 8
MODELS_MAX: Final = 2
"""Models, beside the current one, that arms may ask for: a server holds them all in memory."""

SHARE_TOLERANCE: Final = 1e-6

Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,30}$")]
"""Two of them and a stroke are a label of an impression (64 characters)."""

Version = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""The name of an artifact: a folder's, and no way out of its parent."""

Part = Annotated[float, Meta(ge=0, le=1)]


class BadExperiments(ConfigurationError):
    """The declaration cannot be used; nothing of it is."""


class _Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all parts of a declaration share."""


class ExploreChange(_Shape, frozen=True, kw_only=True):
    """Draw the last `slots` places of a slate by lot, each with probability `rate`, from what is next best."""

    slots: Annotated[int, Meta(ge=1, le=10)] = 1
    rate: Annotated[float, Meta(gt=0, le=0.5)] = 0.1


class PolicyChange(_Shape, frozen=True, kw_only=True):
    """How a slate is composed."""

    category_cap: Annotated[int, Meta(ge=1, le=100)] | None = None
    explore: ExploreChange | None = None


class Arm(_Shape, frozen=True, kw_only=True):
    """One arm; what it does not name stays as it is. `share` is of the experiment."""

    name: Name
    share: Annotated[float, Meta(gt=0, le=1)]
    model: Version | None = None
    weights: dict[Source, Annotated[float, Meta(ge=0, le=100)]] = {}
    policy: PolicyChange = PolicyChange()

    @property
    def changes(self) -> tuple[str, ...]:
        """The names of the things that this arm changes."""
        named = {
            "model": self.model,
            "policy.category_cap": self.policy.category_cap,
            "policy.explore": self.policy.explore,
        }
        found = [name for name, value in named.items() if value is not None]
        return (*found, *(f"weights.{source}" for source in sorted(self.weights)))

    @property
    def explore(self) -> Exploration | None:
        """The exploration as the pipeline has it."""
        found = self.policy.explore
        return None if found is None else Exploration(found.slots, found.rate)


class Experiment(_Shape, frozen=True, kw_only=True):
    """One experiment. The first arm is the control, with which the others are compared.

    `traffic` is the part of the layer that it takes, from and to. `salt` draws the arms anew under the same name.
    `effect` is the smallest relative change that one wants to find; it shapes the sequential interval (0.1: 10 %), and
    must not be chosen by what was seen.
    """

    name: Name
    arms: Annotated[tuple[Arm, ...], Meta(min_length=2, max_length=ARMS_MAX)]
    layer: Name = "slates"
    traffic: tuple[Part, Part] = (0.0, 1.0)
    salt: Annotated[str, Meta(max_length=64)] = ""
    effect: Annotated[float, Meta(gt=0, le=10)] = 0.1
    note: Annotated[str, Meta(max_length=512)] = ""

    @property
    def control(self) -> str:
        """The name of the arm with which the others are compared."""
        return self.arms[0].name


class Declaration(_Shape, frozen=True, kw_only=True):
    """The file of experiments."""

    experiments: Annotated[tuple[Experiment, ...], Meta(max_length=EXPERIMENTS_MAX)] = ()

    def named(self, name: str) -> Experiment | None:
        """The experiment of that name."""
        return next((each for each in self.experiments if each.name == name), None)

    @property
    def models(self) -> frozenset[str]:
        """The versions of models that arms ask for."""
        return frozenset(arm.model for each in self.experiments for arm in each.arms if arm.model is not None)


_DECODER: Final = msgspec.json.Decoder(Declaration)


def read_declaration(raw: bytes, where: str) -> Declaration:
    """The declaration of a JSON file; `where` is its name, for messages.

    Raises:
        BadExperiments: naming the place in the file and what to write there.
    """
    try:
        found = _DECODER.decode(raw)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `")
        place = path.rpartition("$")[2].strip("`.")
        remedy = f"name one of {', '.join(Source)}" if "enum" in problem else "write it as docs/experiments.md says"
        raise BadExperiments(f"{where} at {place}" if place else where, problem, remedy) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadExperiments(where, f"not JSON: {error}", "look for a comma or a bracket at that byte") from error
    for place, problem, remedy in _problems(found):
        raise BadExperiments(f"{where} at {place}", problem, remedy)
    return found


Problem = tuple[str, str, str]


def _problems(found: Declaration) -> Iterator[Problem]:
    """The place, what is wrong, and what to do."""
    for name in _repeated(each.name for each in found.experiments):
        yield "experiments", f"there are two called {name}", "give each a name of its own"
    for each in found.experiments:
        yield from _problems_of_one(each)
    yield from _overlaps(found.experiments)
    yield from _shared_changes(found.experiments)
    if len(found.models) > MODELS_MAX:
        named = ", ".join(sorted(found.models))
        yield "experiments", f"they ask for {len(found.models)} models ({named})", f"ask for at most {MODELS_MAX}"


def _problems_of_one(each: Experiment) -> Iterator[Problem]:
    for name in _repeated(arm.name for arm in each.arms):
        yield f"{each.name}.arms", f"two are called {name}", "give each arm a name of its own"
    begin, end = each.traffic
    if begin >= end:
        yield f"{each.name}.traffic", f"[{begin}, {end}] is empty", "write the smaller number first, as in [0.0, 0.1]"
    total = math.fsum(arm.share for arm in each.arms)
    if abs(total - 1) > SHARE_TOLERANCE:
        remedy = "make them sum to 1; who is to be left out of it is left out by `traffic`"
        yield f"{each.name}.arms", f"the shares sum to {total:.6g}", remedy


def _overlaps(experiments: Iterable[Experiment]) -> Iterator[Problem]:
    layers: defaultdict[str, list[Experiment]] = defaultdict(list)
    for each in experiments:
        layers[each.layer].append(each)
    for layer, members in layers.items():
        members.sort(key=lambda one: one.traffic)
        for before, after in pairwise(members):
            if after.traffic[0] < before.traffic[1]:
                problem = f"{before.name} and {after.name} both take a part of the layer {layer}"
                remedy = f"let {after.name} begin at {before.traffic[1]} or later"
                yield f"{after.name}.traffic", problem, remedy


def _shared_changes(experiments: Iterable[Experiment]) -> Iterator[Problem]:
    owners: dict[str, Experiment] = {}
    for each in experiments:
        for change in sorted({change for arm in each.arms for change in arm.changes}):
            owner = owners.setdefault(change, each)
            if owner.layer != each.layer:
                problem = f"{owner.name} in the layer {owner.layer} changes {change} too"
                yield each.name, problem, f"put both into one layer, with parts of it that do not overlap: {each.layer}"


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
