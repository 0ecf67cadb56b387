"""A time budget shared between training and search, based on measurements."""

import math
from dataclasses import dataclass

_FIXED_S = 15.0  # imports, the first look at the limit, report and log
_FRONT = 10  # members that are measured again and tested, about
_REMEASURED, _ROUNDS = 0.25, 2.5  # how much longer each candidate is measured again
_SEARCH_SHARE = 0.35
_EVALUATIONS, _EPOCHS = (30, 400), (3.0, 200.0)
_VALIDATED_EVERY = 20  # least steps between two looks at the supernet


@dataclass(frozen=True, kw_only=True)
class Speed:
    """The measurements on this machine, in seconds.

    Args:
        load_s: Seconds to read the data.
        step_s: Seconds of one training step.
        look_s: Seconds of one look at the supernet during training.
        quality_s: Seconds to judge one network.
        latency_s: Seconds to measure the latency of one network.
        epoch_steps: Training steps of one epoch.
        test_share: Test examples for each validation example.
    """

    load_s: float
    step_s: float
    look_s: float
    quality_s: float
    latency_s: float
    epoch_steps: int
    test_share: float


@dataclass(frozen=True, kw_only=True)
class Shares:
    """The shares of a budget.

    Args:
        epochs: Epochs of the training.
        evaluations: Evaluations of the search.
        train_s: Predicted seconds of the training.
        search_s: Predicted seconds of the search.
        rest_s: Predicted seconds of the rest: reading, measuring again, test, report.
    """

    epochs: float
    evaluations: int
    train_s: float
    search_s: float
    rest_s: float

    @property
    def total_s(self) -> float:
        """Predicted seconds of the whole job."""
        return self.train_s + self.search_s + self.rest_s


def shared_out(speed: Speed, budget_s: float) -> Shares:
    """Return training and search that fill a budget, or the least that makes sense where it is too short."""
    each = (predicted(speed, 0.0, 1000).total_s - predicted(speed, 0.0, 0).total_s) / 1000
    one_epoch = predicted(speed, 1000.0, 0).train_s / 1000
    room = budget_s - predicted(speed, 0.0, 0).total_s
    evaluations = round(_within(_SEARCH_SHARE * room / each, _EVALUATIONS))
    left = budget_s - predicted(speed, 0.0, evaluations).total_s
    epochs = _within(left / one_epoch, _EPOCHS)
    if epochs == _EPOCHS[1]:  # the search takes what the training leaves
        left = budget_s - predicted(speed, epochs, 0).total_s
        evaluations = round(_within(left / each, _EVALUATIONS))
    return predicted(speed, _rounded(epochs), evaluations)


def _within(value: float, ends: tuple[float, float]) -> float:
    return min(max(value, ends[0]), ends[1])


def predicted(speed: Speed, epochs: float, evaluations: int) -> Shares:
    """Return what so much training and search takes."""
    steps = epochs * speed.epoch_steps
    looks = steps / max(speed.epoch_steps, _VALIDATED_EVERY)
    again = max(_REMEASURED * evaluations, min(evaluations, _FRONT)) * _ROUNDS * speed.latency_s
    test = min(evaluations, _FRONT) * speed.quality_s * (1 + speed.test_share)
    return Shares(
        epochs=epochs,
        evaluations=evaluations,
        train_s=steps * speed.step_s + looks * speed.look_s,
        search_s=evaluations * (speed.quality_s + speed.latency_s),
        rest_s=_FIXED_S + speed.load_s + again + test,
    )


def enough(shares: Shares) -> bool:
    """Return whether a training is long enough to be worth a search."""
    return shares.epochs >= 4 * _EPOCHS[0]


def _rounded(epochs: float) -> float:
    """Return whole epochs, or tenths of few."""
    return float(math.floor(epochs)) if epochs >= 10 else math.floor(10 * epochs) / 10
