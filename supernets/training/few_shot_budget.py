"""The budget of the stages of a training with splits: forward and backward passes of one batch through one subnet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from search_spaces import Decision, Space
from search_spaces.errors import FieldError
from supernets.training.phases import Phase
from supernets.training.schedule import lengths
from supernets.training.split_config import SplitConfig
from supernets.transforms.gradient_matching import eligible

MakePhases = Callable[[Space, float], list[Phase]]
"""Makes the phases that train a part of a space for so many epochs."""
_LAST_STAGE = 2.5  # how much longer the last stage trains a part than the others: published are 20, 20 and 50 epochs
_INHERITED = 0.7  # share of the whole where its parts inherit: they cannot inherit what it has not learned
_MOST_REPEATS = 100  # published
_SCORING = 0.1  # largest share of the passes for comparing choices where `repeats` is not given


def passes(phases: list[Phase], epoch_steps: int) -> int:
    """Return the forward and backward passes of phases."""
    return sum(steps * _subnets(phase) for steps, phase in zip(lengths(phases, epoch_steps), phases))


def passes_per_epoch(make_phases: MakePhases, space: Space, epoch_steps: int) -> float:
    """Return the passes that an epoch takes in a part of a space, on average over its phases."""
    return sum(phase.epochs * epoch_steps * _subnets(phase) for phase in make_phases(space, 1.0))


def _subnets(phase: Phase) -> int:
    return len(phase.sampler.draw(np.random.default_rng(0)))


def scoring_passes(decisions: list[Decision], split: SplitConfig) -> int:
    """Return the passes that comparing the choices of decisions on one batch takes; 0 where nothing is open."""
    if split.groups is None and len(decisions) == 1:
        return 0
    return sum(len(decision.choices) for decision in decisions)


@dataclass(frozen=True)
class StageLength:
    """Length of one stage.

    Attributes:
        parts: Number of parts that it trains, one after the other, at most.
        steps: Steps of each part.
    """

    parts: int
    steps: int


@dataclass(frozen=True)
class Budget:
    """The passes of a training, and how its stages share them.

    Attributes:
        total: Passes of the training, scoring included: as many as without splits.
        steps: Steps of the training without splits.
        shares: Shares of the training passes for each stage.
        progress: Position of the cosine of the learning rate before the first stage and after each, from 0 to 1.
        reserved: Passes kept for scoring, at least as many as it takes.
        repeats: Batches that choices are compared on.
        stages: Length of each stage; the last gets what scoring leaves over as well.
    """

    total: int
    steps: int
    shares: tuple[float, ...]
    progress: tuple[float, ...]
    reserved: int
    repeats: int
    stages: tuple[StageLength, ...]

    @classmethod
    def of(cls, space: Space, whole: list[Phase], epoch_steps: int, split: SplitConfig) -> "Budget":
        """Return the budget that these phases without splits would spend.

        Raises:
            ValueError: There are too few decisions to split, or too few passes.
        """
        decisions = splittable(space, split)
        most = max(len(d.choices) for d in decisions) if split.groups is None else split.groups
        parts = [most**stage for stage in range(split.rounds + 1)]
        shares, total, subnets = _shares(parts, split), passes(whole, epoch_steps), max(map(_subnets, whole))
        by_cost = sorted(decisions, key=lambda decision: len(decision.choices))
        each = sum(parts[r] * scoring_passes(by_cost[r:], split) for r in range(split.rounds))
        repeats = _repeats(split, each, total)
        training = total - repeats * each
        lasting = [training * share / n / subnets for share, n in zip(shares, parts)]
        if min(lasting) < 1:
            raise FieldError(
                "repeats",
                f"must be lower or epochs more: of {total} passes in all, comparing choices takes {repeats * each}, "
                f"and the rest is too little to train {parts[-1]} parts",
            )
        stages = tuple(StageLength(n, int(steps)) for n, steps in zip(parts, lasting))
        steps, progress = sum(lengths(whole, epoch_steps)), _progress(shares, parts, split)
        return cls(total, steps, tuple(shares), progress, repeats * each, repeats, stages)

    def training_until(self, stage: int, scored: int) -> float:
        """Return the training passes of all stages up to this one together; the last stage spends what is left."""
        if stage == len(self.shares) - 1:
            return self.total - scored
        return sum(self.shares[: stage + 1]) * (self.total - self.reserved)


def _shares(parts: list[int], split: SplitConfig) -> list[float]:
    if split.shares is not None:
        return split.shares
    if not split.restart:
        return [_INHERITED, *[(1 - _INHERITED) / split.rounds] * split.rounds]
    weights = [*parts[:-1], _LAST_STAGE * parts[-1]]
    return [weight / sum(weights) for weight in weights]


def _progress(shares: Sequence[float], parts: Sequence[int], split: SplitConfig) -> tuple[float, ...]:
    """Return the position of the cosine before the first stage and after each.

    Where parts restart in the end, the cosine is as long as the path of one part through all stages, as published: 20,
    20 and 50 epochs. Where they inherit, it follows the budget, so that each part still has a rate to learn with.
    """
    lasting = [share / n for share, n in zip(shares, parts)] if split.restart else shares
    done = list(accumulate(lasting))
    return (0.0, *(value / done[-1] for value in done[:-1]), 1.0)


def _repeats(split: SplitConfig, each: int, total: int) -> int:
    """Return the number of batches that choices are compared on, where one batch takes `each` passes."""
    if split.repeats is not None:
        return split.repeats
    return max(1, min(_MOST_REPEATS, int(_SCORING * total / max(1, each))))


def splittable(space: Space, split: SplitConfig) -> list[Decision]:
    """Return the decisions that may be split, and refuse too few of them for all rounds.

    Raises:
        ValueError: There are too few.
    """
    decisions = eligible(space, space, split.decisions, split.groups)
    by_name = {decision.name: decision for decision in space.decisions}
    names = {decision.name for decision in decisions}

    def used_up(decision: Decision) -> int:
        """Return the decisions that are no longer whole once this one was split: itself, and those it depends on."""
        above = used_up(by_name[decision.parent]) if decision.parent is not None else 0
        return above + (decision.name in names)

    needed = 1 + (split.rounds - 1) * max(map(used_up, decisions), default=1)
    if len(decisions) < needed:
        raise FieldError(
            "decisions",
            f"must allow {split.rounds} rounds of splits of {space.name}, which takes {needed} decisions; "
            f"{split.decisions} are {len(decisions)} with {split.groups or 2} choices or more",
        )
    return decisions
