"""The settings of a training that begins with the adaptation of the whole network, as one validated value."""

from dataclasses import dataclass
from typing import Literal

from search_spaces.limits import check_fields, check_most

Statistics = Literal["examples", "given"]
Order = Literal["auto", "taylor", "bn", "l1", "l2", "random", "none"]
ORDERS = ("taylor", "bn", "l1", "l2", "random", "none")
_MOST = {"lr": 1e9, "examples": 10**7, "subnets": 1000}


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """Settings of the schedule `adapted`.

    Args:
        share: Part of the epochs in which the largest network is trained alone. With 1 no other network is trained:
            the search evaluates parts of the adapted network, and `nas retrain` trains those on the front.
        lr: Peak learning rate of this part; `null` for the `lr` of the training.
        statistics: `examples`: trained batch norms take the statistics of training examples before the first step,
            and the network computes what it did, see `supernets.transforms.follow_examples`; `given`: they begin with
            those they came with.
        order: Order of the units of each group, such as channels and heads, once the largest network is adapted;
            smaller networks keep the first ones. `taylor` is the estimated change of the loss on training examples,
            `bn` the scale of the batch norms, `l1` and `l2` the size of the weights, `random` any order, and `none`
            the order that is there. `auto` tries all but the last, and takes the one with the least loss.
        examples: Training examples that give `statistics`, and that `taylor` and the calibration of `auto` use;
            `auto` judges by as many others.
        subnets: Random architectures by which `auto` compares orders.
    """

    share: float = 0.5
    lr: float | None = None
    statistics: Statistics = "examples"
    order: Order = "auto"
    examples: int = 256
    subnets: int = 6

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        limits: list[tuple[str, bool, str]] = [
            ("share", 0 < self.share <= 1, "above 0 and up to 1"),
            ("lr", self.lr is None or self.lr > 0, "more than 0, or null"),
            ("statistics", self.statistics in ("examples", "given"), "examples or given"),
            ("order", self.order == "auto" or self.order in ORDERS, f"auto, {', '.join(ORDERS[:-1])} or {ORDERS[-1]}"),
            ("examples", self.examples >= 2, "at least 2"),
            ("subnets", self.subnets >= 1, "at least 1"),
        ]
        check_fields(self, limits)
