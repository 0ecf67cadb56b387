"""The methods that `nas benchmark ranking` compares, as settings of `train`, and their equal budgets.

A pass is one forward and backward pass of one subnet on one batch. A method that trains several subnets per step takes
as many passes per step, so it has fewer steps. Passes that score a split count, too; the training itself does that. A
relaxation runs a mixture of all choices instead of a subnet; all its passes count, those for the logits as well.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from search_spaces import Space
from service.catalogue import suggestion
from service.errors import InvalidJob
from service.job import splits
from service.job.job import Job

_ALL_CHOICES = -1
_SHARED = ("train.epochs", "train.batch_size")


@dataclass(frozen=True)
class Method:
    """One way to train a supernet.

    Attributes:
        summary: Summary in one line.
        train: Fields of `train` and their values.
        subnets: Architectures that a step trains where the job does not say.
        space: Options of the space and their values, where it has them.
    """

    summary: str
    train: Mapping[str, Any]
    subnets: int = 1
    space: Mapping[str, Any] = field(default_factory=dict)

    def subnets_of(self, job: Job, space: Space) -> int:
        """Return the number of architectures that a step of a job trains."""
        if self.subnets == _ALL_CHOICES:
            return int(space.choice_counts.max())
        return job.train.subnets_per_step or self.subnets

    def passes_of_step(self, job: Job, space: Space) -> float:
        """Return the passes of one step of a job."""
        relaxation = job.train.relaxation
        return self.subnets_of(job, space) if relaxation is None else relaxation.batches_of_step

    def trained_at_once(self, job: Job, space: Space, choices: float) -> float:
        """Return how many choices of a decision learn in one step, with so many of them on average."""
        relaxation = job.train.relaxation
        mixes = relaxation is not None and relaxation.method not in ("gdas", "one_hot")
        return choices if mixes else self.subnets_of(job, space)


_PA_DA = {"sampler": "path_adaptive", "examples": "importance"}
_GM = {"rounds": 2, "groups": 2}
_ENTANGLED = {"entangled": True}


def _relaxed(method: str, hypergradient: str = "first") -> Mapping[str, Any]:
    """Return the fields of a training that learns the architecture."""
    return {"relaxation": {"method": method, "hypergradient": hypergradient}}


METHODS: Mapping[str, Method] = {
    "uniform": Method("one random subnet a step (SPOS)", {"sampler": "uniform", "subnets_per_step": 1}),
    "fair": Method("every choice once in every step (FairNAS)", {"sampler": "fair"}, subnets=_ALL_CHOICES),
    "sandwich": Method(
        "largest, smallest and two random subnets a step, distilled in place",
        {"sampler": "sandwich", "subnets_per_step": 4},
    ),
    "pa_da": Method("paths and images drawn by gradient norms (PA&DA)", _PA_DA),
    "path_adaptive": Method("the path half of PA&DA", {"sampler": "path_adaptive"}),
    "data_adaptive": Method("the data half of PA&DA", {"examples": "importance"}),
    "gm": Method("two splits in two groups by gradient matching (GM-NAS)", {"split": _GM}),
    "few_shot": Method(
        "one split with every choice alone, weights inherited (few-shot NAS)",
        {"split": {"rounds": 1, "groups": None, "restart": False}},
    ),
    "pa_da+gm": Method("PA&DA with two gradient-matching splits", {**_PA_DA, "split": _GM}),
    "prior": Method("choices with weights more often, by a fixed prior: the control of pa_da", {"sampler": "prior"}),
    "shift": Method("bins of cost, the least trained preferred (ShiftNAS)", {"sampler": "shift"}),
    "mixture": Method("four supernets, each for what suits it (balanced mixture)", {"mixture": {"members": 4}}),
    "sorted": Method("nested subnets (SortedNet)", {"sampler": "sorted", "subnets_per_step": 4}),
    "darts": Method("a mixture of all choices, its weights learned (DARTS)", _relaxed("softmax")),
    "darts_unrolled": Method("DARTS of second order", _relaxed("softmax", "unrolled")),
    "amended": Method("DARTS with the amended gradient", _relaxed("softmax", "amended")),
    "neumann": Method("DARTS with a Neumann series (iDARTS)", _relaxed("softmax", "neumann")),
    "gdas": Method("one choice at a time, drawn by learned logits (GDAS)", _relaxed("gdas")),
    "drnas": Method("mixtures drawn from a learned distribution (DrNAS)", _relaxed("drnas")),
    "tangled": Method("DrNAS with operations that share weights (TangleNAS)", _relaxed("drnas"), space=_ENTANGLED),
}
_UNLESS_SAID: Mapping[str, Any] = {
    **{"sampler": "uniform", "sampler_options": {}, "subnets_per_step": None},
    **{"examples": "uniform", "example_weights": False, "split": None, "mixture": None, "relaxation": None},
}
"""What a method does not say is not that of the job: a recipe may describe one of the methods itself."""


def with_budget(job: Job, method: Method, space: Space, epochs: float) -> Job:
    """Return the job with as many epochs as cost the same as `epochs` of a method with one subnet per step."""
    return replace(job, train=replace(job.train, epochs=epochs / method.passes_of_step(job, space)))


@dataclass(frozen=True)
class Stages:
    """What the stages of a training are.

    Attributes:
        steps: Steps of one part in each stage; of the whole supernet alone where nothing is split.
        parts: Parts of each stage, as many as there can be at most.
        repeats: Batches that choices are compared on; 0 where nothing is split.
        per_path: Steps that train one choice of a decision, in the parts that are ranked in the end, on average.
    """

    steps: tuple[int, ...]
    parts: tuple[int, ...]
    repeats: int
    per_path: float


def stages(job: Job, method: Method, space: Space, epoch_steps: int) -> Stages:
    """Return the stages of a training, before it begins.

    Raises:
        ValueError: There are too few passes for the splits.
    """
    subnets, split = method.subnets_of(job, space), job.train.split
    choices = float(np.mean(space.choice_counts[space.choice_counts > 1]))
    if split is None:
        steps = _steps(job, epoch_steps)
        return Stages((steps,), (1,), 0, steps * method.trained_at_once(job, space, choices) / choices)
    budget = splits.budget(job.train, space, epoch_steps)
    most = split.groups or max(len(decision.choices) for decision in splits.splittable_of(space, split))
    parts = tuple(most**stage for stage in range(split.rounds + 1))
    spent = [share * (budget.total - budget.reserved) / n for share, n in zip(budget.shares, parts)]
    repeats = budget.repeats
    way = spent[-1] if split.restart else sum(spent)  # a part inherits what the parts above it have learned
    return Stages(tuple(int(steps / subnets) for steps in spent), parts, repeats, way / choices)


_MOST_TIMES = 10_000  # of the epochs that others have
_BISECTIONS = 20


def with_steps_per_path(job: Job, method: Method, space: Space, epoch_steps: int, wanted: float) -> Job:
    """Return the job with as few epochs as train each choice as often as a training without splits does.

    So are published comparisons: every part is trained as long as the whole is elsewhere, and costs as much again.

    Args:
        job: With a budget of passes that is equal to that of others.
        method: Method of the job.
        space: Space of the job.
        epoch_steps: Batches of an epoch.
        wanted: Steps of each path.
    """

    def longer(times: float) -> Job:
        return replace(job, train=replace(job.train, epochs=job.train.epochs * times))

    def suffices(times: float) -> bool:
        try:
            return stages(longer(times), method, space, epoch_steps).per_path >= wanted
        except ValueError:  # too little even to compare choices
            return False

    low, high = 0.0, 1.0
    while not suffices(high):
        low, high = high, 2 * high
        if high > _MOST_TIMES:
            raise InvalidJob([f"--equal: no budget trains each of the parts for {wanted:,.0f} steps a path"])
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return longer(high)


def passes(job: Job, method: Method, space: Space, epoch_steps: int) -> int:
    """Return the forward and backward passes of a training, rounded to whole steps as in training."""
    return round(_steps(job, epoch_steps) * method.passes_of_step(job, space))


def _steps(job: Job, epoch_steps: int) -> int:
    return max(1, round(job.train.epochs * epoch_steps))


def chosen_methods(text: str) -> list[str]:
    """Return the methods whose names are joined by commas.

    Raises:
        InvalidJob: One is unknown, or none is given.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    mistakes = [
        f"--methods: unknown method {name!r}{suggestion(name, METHODS)}" for name in names if name not in METHODS
    ]
    if mistakes or not names:
        raise InvalidJob(mistakes or ["--methods: must name at least one; allowed: " + ", ".join(METHODS)])
    return names


def for_all(sets: Sequence[str]) -> list[str]:
    """Return the settings that concern every method.

    Raises:
        InvalidJob: A setting is for a method that does not exist, or of a field that all methods must share.
    """
    mistakes = []
    for setting in sets:
        name, path = _method_of(setting), setting.partition(":")[2].partition("=")[0]
        if name is None:
            continue
        if name not in METHODS:
            mistakes.append(f"--set {setting!r}: unknown method {name!r}{suggestion(name, METHODS)}")
        elif not path.startswith("train.") or path in _SHARED:
            allowed = f"fields of train that may differ between methods, which {' and '.join(_SHARED)} may not"
            mistakes.append(f"--set {setting!r}: must be one of the {allowed}")
    if mistakes:
        raise InvalidJob(mistakes)
    return [setting for setting in sets if _method_of(setting) is None]


def for_one(sets: Sequence[str], name: str, options: Collection[str]) -> list[str]:
    """Return the settings of a method, followed by those of the user for it, written METHOD:path=value.

    Args:
        sets: All settings of the user.
        name: Name of the method.
        options: Options that the space has.
    """
    fields = {**_UNLESS_SAID, **METHODS[name].train}
    own = [f"train.{field}={json.dumps(value)}" for field, value in fields.items()]
    there = {option: value for option, value in METHODS[name].space.items() if option in options}
    own += [f"space.options.{option}={json.dumps(value)}" for option, value in there.items()]
    return [*own, *(setting.partition(":")[2] for setting in sets if _method_of(setting) == name)]


def _method_of(setting: str) -> str | None:
    """Return the method in front of a setting; None where there is none."""
    path = setting.partition("=")[0]
    return path.partition(":")[0] if ":" in path and "." not in path.partition(":")[0] else None
