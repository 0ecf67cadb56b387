"""What is trained when: a list of phases, each with its part of the space.

Paper: Once-for-All, arXiv 1908.09791, section 3.3 and appendix B (progressive shrinking).
Differs: `TrainConfig.epochs` shares out any number of epochs in the published proportions, and rates keep their
published ratio to the peak. 605 epochs, batch 2048 and a peak of 2.6 are the published schedule exactly. A phase that
adds nothing to the one before it (a decision with one or two choices) is left out.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

from search_spaces import Choice, Decision, Space
from supernets.samplers import Sampler, Sandwich, Uniform
from supernets.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training with one sampler and one cosine of the learning rate.

    Args:
        name: In logs.
        sampler: Draws the architectures of each step.
        epochs: Passes over the training images; fractions are allowed.
        lr: Peak learning rate.
        warmup_fraction: Part of the phase in which the rate rises to its peak.
        distillation: `teacher`: from the network as it was when the first phase ended, beside the labels;
            `in_place`: from the first architecture of the step, instead of the labels; or `none`.
        sort: Whether hidden channels are sorted by importance before the phase.
        trained_widths: Width choices that were trained before and keep their channels in the sort.
    """

    name: str
    sampler: Sampler
    epochs: float
    lr: float
    warmup_fraction: float
    distillation: Literal["none", "teacher", "in_place"] = "none"
    sort: bool = False
    trained_widths: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class _Published:
    """One row of the published schedule; the number after a dimension says how many of its choices are open."""

    name: str
    open_choices: dict[str, int]
    subnets: int
    epochs: int
    lr: float
    warmup_epochs: int = 0


_ALL = 10**6
_PROGRESSIVE_SHRINKING = (
    _Published("full", {"kernel": 1, "depth": 1, "expand": 1}, 1, 180, 2.6),
    _Published("kernel", {"kernel": _ALL, "depth": 1, "expand": 1}, 1, 125, 0.96, 5),
    _Published("depth 1", {"kernel": _ALL, "depth": 2, "expand": 1}, 2, 25, 0.08),
    _Published("depth 2", {"kernel": _ALL, "depth": _ALL, "expand": 1}, 2, 125, 0.24, 5),
    _Published("width 1", {"kernel": _ALL, "depth": _ALL, "expand": 2}, 4, 25, 0.08),
    _Published("width 2", {"kernel": _ALL, "depth": _ALL, "expand": _ALL}, 4, 125, 0.24, 5),
)


def phases(space: Space, config: TrainConfig) -> list[Phase]:
    """The phases that a training configuration asks for."""
    if config.method == "progressive_shrinking":
        return progressive_shrinking(space, epochs=config.epochs, lr=config.lr)
    whole = partial(Phase, epochs=config.epochs, lr=config.lr, warmup_fraction=config.warmup_fraction)
    if config.method == "sandwich":
        sandwich = Sandwich(space=space, subnets=config.subnets_per_step)
        return [whole(name="sandwich", sampler=sandwich, distillation="in_place")]
    return [whole(name="uniform", sampler=Uniform(space=space, subnets=config.subnets_per_step))]


def progressive_shrinking(space: Space, *, epochs: float = 605, lr: float = 2.6) -> list[Phase]:
    """Teacher, kernel, depth 1 and 2, width 1 and 2, for spaces with ``*.kernel``, ``*.depth``, ``*.expand`` decisions.

    Raises:
        ValueError: The space has none of these decisions.
    """
    if not any(_dimension(decision) for decision in space.decisions):
        raise ValueError(f"progressive shrinking needs *.kernel, *.depth or *.expand decisions; {space.name} has none")
    kept: list[tuple[_Published, Space]] = []
    for row in _PROGRESSIVE_SHRINKING:
        opened = _restricted(space, row.open_choices)
        if kept and opened.decisions == kept[-1][1].decisions:
            if kept[-1][0].name[:-1] == row.name[:-1]:  # "depth 1" opened all there is: train the longer "depth 2"
                kept[-1] = (row, opened)
            continue
        kept.append((row, opened))
    scale = epochs / sum(row.epochs for row, _ in kept)
    result: list[Phase] = []
    trained: tuple[Choice, ...] = ()
    for row, opened in kept:
        width = row.name.startswith("width")
        result.append(
            Phase(
                name=row.name,
                sampler=Uniform(space=opened, subnets=row.subnets),
                epochs=row.epochs * scale,
                lr=lr * row.lr / _PROGRESSIVE_SHRINKING[0].lr,
                warmup_fraction=row.warmup_epochs / row.epochs,
                distillation="none" if row.name == "full" else "teacher",
                sort=width,
                trained_widths=trained,
            )
        )
        if width:
            trained = tuple({c for d in opened.decisions if _dimension(d) == "expand" for c in d.choices})
    return result


def _dimension(decision: Decision) -> str | None:
    ending = decision.name.rpartition(".")[2]
    return ending if ending in ("kernel", "depth", "expand") else None


def _restricted(space: Space, open_choices: dict[str, int]) -> Space:
    """The space with the largest choices of every elastic dimension, as many as are open."""
    return space.restrict(
        {
            decision.name: decision.choices[-min(open_choices[dimension], len(decision.choices)) :]
            for decision in space.decisions
            if (dimension := _dimension(decision)) is not None
        }
    )
