"""The settings of a training that removes channels and weights while it trains."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from search_spaces.errors import FieldError
from search_spaces.limits import check_fields, check_most

_MOST = {"prune_interval": 10**6, "removal_interval": 10**6, "rho": 1e6, "rho_epochs": 1e6, "threshold": 1e6}
_MOST |= {"least_macs": 1e18}


@dataclass(frozen=True, kw_only=True)
class TicketConfig:
    """Settings of SuperTickets: the largest network is trained alone, and loses channels, paths and single weights.

    Args:
        sparsity: Part of the weights of convolutions and linear layers that is masked in the end.
        prune_interval: Epochs between two prunings. Each masks `prune_step` more of all weights, the smallest ones, up
            to `sparsity`; which ones is decided anew each time, so that weights return.
        prune_step: Part of the weights that each pruning adds.
        prune_from: Part of the epochs after which the first of these intervals begins.
        rho: Factor of the sum of the absolute scales of norms in the loss, each times the MACs of its channel by the
            mean of all channels. It drives channels to 0.
        rho_epochs: Epochs in which this factor rises linearly from 0.
        search_until: Part of the epochs in which there is this factor, and channels are removed.
        removal_interval: Epochs between two removals of dead channels.
        threshold: Largest absolute scale of a dead channel, in the weights and in their average (`ema_decay`).
        least_macs: MACs that dead channels have together before they are removed; in the last removal any.
        reuse_mask: Whether masks stay as they are where dead channels are removed; else all connections of these blocks
            are live again until the next pruning.
        reset_mask: Whether all connections are live again after each pruning until the next one.
        start: Folder of a finished job, or file of a supernet, with a ticket whose channels and masks this training has
            from the beginning; nothing is removed or pruned then. Its space may have another head: this one is new and
            has no mask. `null` to find a ticket.
        fresh: Whether the weights of `start` are left out, and only its channels and masks are taken. With the seed of
            its job, weights are those that it began with.
    """

    sparsity: float = 0.9
    prune_interval: int = 25
    prune_step: float = 0.1
    prune_from: float = 0.0
    rho: float = 1.8e-4
    rho_epochs: float = 25.0
    search_until: float = 1.0
    removal_interval: int = 10
    threshold: float = 1e-3
    least_macs: float = 1e6
    reuse_mask: bool = False
    reset_mask: bool = False
    start: str | None = None
    fresh: bool = False

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        limits: list[tuple[str, bool, str]] = [
            ("sparsity", 0 <= self.sparsity < 1, "from 0 to below 1"),
            ("prune_interval", self.prune_interval >= 1, "at least 1"),
            ("prune_step", 0 < self.prune_step <= 1, "above 0 and up to 1"),
            ("prune_from", 0 <= self.prune_from < 1, "from 0 to below 1"),
            ("rho", self.rho >= 0, "0 or more"),
            ("rho_epochs", self.rho_epochs >= 0, "0 or more"),
            ("search_until", 0 <= self.search_until <= 1, "from 0 to 1"),
            ("removal_interval", self.removal_interval >= 1, "at least 1"),
            ("threshold", self.threshold >= 0, "0 or more"),
            ("least_macs", self.least_macs >= 0, "0 or more"),
            ("start", self.start is None or bool(self.start), "a folder or a file, or null"),
            ("fresh", self.start is not None or not self.fresh, "false without start"),
        ]
        check_fields(self, limits)

    def check_epochs(self, epochs: float) -> None:
        """Refuse a training that is too short to reach the sparsity.

        Args:
            epochs: Epochs of the training.

        Raises:
            FieldError: Names the longest interval that is short enough.
        """
        if self.start is not None or self.sparsity == 0:
            return
        needed, there = len(list(self.steps())), int(epochs) - self.first_epoch(epochs)
        how = f"to reach sparsity {self.sparsity:g} in {there} epochs"
        if there < 1:
            raise FieldError("prune_from", f"must leave an epoch of {epochs:g} for prunings, got {self.prune_from:g}")
        if there < needed:
            least = math.ceil(100 * self.sparsity / there) / 100
            raise FieldError("prune_step", f"must be at least {least:g}, {how}, got {self.prune_step:g}")
        if there // self.prune_interval < needed:
            most = there // needed
            how += f" by {needed} prunings of {self.prune_step:g}"
            raise FieldError("prune_interval", f"must be at most {most}, {how}, got {self.prune_interval}")

    def first_epoch(self, epochs: float) -> int:
        """Return the epochs before the first interval of the prunings begins."""
        return round(self.prune_from * epochs)

    def steps(self) -> Iterator[float]:
        """Yield the sparsity after each pruning that adds to it."""
        number, reached = 0, 0.0
        while reached < self.sparsity:
            number += 1
            reached = min(round(number * self.prune_step, 9), self.sparsity)
            yield reached

    def sparsity_after(self, epoch: int, epochs: float) -> float | None:
        """Return the sparsity that a pruning at the end of an epoch brings; None where there is no pruning.

        Args:
            epoch: Number of epochs that are done.
            epochs: Epochs of the training.
        """
        done = epoch - self.first_epoch(epochs)
        if self.sparsity == 0 or done <= 0 or done % self.prune_interval:
            return None
        return min(round(done // self.prune_interval * self.prune_step, 9), self.sparsity)

    def pull(self, step: int, epoch_steps: int, epochs: float) -> float:
        """Return the factor of the scales in the loss of a step.

        Args:
            step: Number of the step, from 0.
            epoch_steps: Steps of an epoch.
            epochs: Epochs of the training.
        """
        if self.start is not None or step >= self.search_until * epochs * epoch_steps:
            return 0.0
        rising = self.rho_epochs * epoch_steps
        return self.rho if step >= rising else self.rho * step / rising
