"""The protocol of steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from supernets.tasks.task import Batch


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The position of a training when it takes a step.

    Attributes:
        step: Number of the step in the training, from 0.
        epoch: Number of the pass over the data.
        batch: Number of the batch in the epoch.
        lr: Learning rate that the schedule and the divergence guard ask for.
        progress: How much of the cosine of the learning rate is done, from 0 to 1.
        generator: Random numbers of this step, the same in all processes. Torch's global generator is seeded from
            them before the step, in each process differently.
    """

    step: int
    epoch: int
    batch: int
    lr: float
    progress: float
    generator: np.random.Generator


class Step(Protocol):
    """One step of a training. The loop around it keeps time, learning rate, guard, checkpoints and reports.

    A step owns its networks, optimizers and averages, and whatever it draws by. Steps inherit from this class and
    get its defaults.

    Call order: `begin_phase` of each stretch of the schedule, then for every batch a call; after the last batch of
    an epoch `end_epoch`; after the last one of a stretch `end_phase`. `order` is asked before the batches of an epoch
    are made, also when a training goes on in the middle of it.

    State rules: what a call does depends only on the batch, the moment and the state. `state_dict` is asked for
    between any two of these calls, by all processes at the same time, and later steps must not change what it returned.
    After `load_state_dict` of a step that was newly made with the same arguments, or of this one, training continues
    bit for bit as it did from there; `begin_phase` is not called again for the stretch that was running.

    Attributes:
        device: Device where the step computes.
    """

    device: torch.device

    def __call__(self, batch: Batch, moment: Moment) -> Tensor:
        """Draw, compute gradients and update; return the loss, detached, on the device, without waiting for it."""
        ...

    def begin_phase(self, index: int) -> None:
        """Prepare what stretch number `index` of the schedule needs; by default nothing."""
        return

    def order(self, epoch: int) -> Tensor | None:
        """Return the examples of an epoch in the order to show them, int64 [N] on the CPU.

        By default it is None: the data has an order of its own.
        """
        return None

    def end_epoch(self, epoch: int, progress: float) -> dict[str, Any]:
        """Let what is drawn follow what an epoch has shown; by default nothing.

        Args:
            epoch: Number of the epoch that ends.
            progress: Progress when it began, see `Moment`.

        Returns:
            An event for the observer, with its name as `event`; none where it is empty. With `network_changed`, which
            is taken out of it, the guard judges later losses without those before.
        """
        return {}

    def end_phase(self) -> dict[str, Any] | None:
        """Finish what a stretch of the schedule has made; by default nothing.

        Returns:
            An event for the observer, with its name as `event`; none where it is empty or None.
        """
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides later calls, as tensors, numbers, texts, and lists and mappings of them."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a state that `state_dict` returned, without changing it.

        Raises:
            ValueError: The state is of a step with other settings.
        """
        ...
