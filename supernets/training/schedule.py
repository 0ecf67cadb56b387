"""The learning rate over the course of a training: a warm-up, then a cosine or an inverse square root.

Paper: the inverse square root is that of Vaswani et al., arXiv 1706.03762, section 5.3, with a peak that is given.
Differs: the warm-up begins at 1/32 of the peak instead of 0, and is a part of the steps.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from search_spaces.errors import FieldError

LrSchedule = Literal["cosine", "inverse_sqrt"]
LR_SCHEDULES = ("cosine", "inverse_sqrt")
_WARMUP_START = 1 / 32  # the published warm-up starts at the rate of one of 32 processes


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of a training with one curve of the learning rate, or with a part of one.

    Args:
        name: Name in logs.
        epochs: Passes over the training data; fractions are allowed.
        lr: Peak learning rate.
        warmup_fraction: Part of the curve in which the rate first rises to its peak.
        lr_end: Rate at which the cosine ends, and below which the inverse square root does not fall.
        lr_from, lr_to: Which part of the curve, warm-up included, is covered, as progress from 0 to 1. It is the
            progress that steps are told as well.
        lr_schedule: Curve behind the warm-up: `cosine`, or `inverse_sqrt`, the peak times sqrt(W / step) for a warm-up
            of W steps, at least one.
    """

    name: str
    epochs: float
    lr: float
    warmup_fraction: float
    lr_from: float = 0.0
    lr_to: float = 1.0
    lr_end: float = 0.0
    lr_schedule: LrSchedule = "cosine"

    def __post_init__(self) -> None:
        if not 0 <= self.lr_from < self.lr_to <= 1:
            raise FieldError("lr_from", f"must be from 0 and below lr_to up to 1, got {self.lr_from} and {self.lr_to}")

    def progress(self, part: float) -> float:
        """Return the progress of the curve after a part of the stretch, both from 0 to 1."""
        return self.lr_from + (self.lr_to - self.lr_from) * part


def lr_at(stretch: Stretch, step: int, steps: int) -> float:
    """Return the learning rate of a step (from 0): linear warm-up, then the curve, or the part that is covered."""
    whole = steps / (stretch.lr_to - stretch.lr_from)
    done = stretch.lr_from * whole + step
    warmup = round(whole * stretch.warmup_fraction)
    if done < warmup:
        return stretch.lr * (_WARMUP_START + (1 - _WARMUP_START) * done / warmup)
    if stretch.lr_schedule == "inverse_sqrt":
        first = max(1, warmup)
        return max(stretch.lr_end, stretch.lr * math.sqrt(first / max(first, done)))
    height = stretch.lr - stretch.lr_end
    return stretch.lr_end + 0.5 * height * (1 + math.cos(math.pi * (done - warmup) / max(1, whole - warmup)))


def lengths(schedule: Sequence[Stretch], epoch_steps: int) -> list[int]:
    """Return the steps of every stretch, at least one."""
    return [max(1, round(stretch.epochs * epoch_steps)) for stretch in schedule]


def first_steps(schedule: Sequence[Stretch], epoch_steps: int) -> list[int]:
    """Return the number of the first step of every stretch, and the number of all steps behind them."""
    return list(accumulate(lengths(schedule, epoch_steps), initial=0))
