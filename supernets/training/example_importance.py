"""Training examples drawn in proportion to the error of their predictions.

Paper: PA&DA, arXiv 2302.14772, the data half; the indicator is the gradient norm of the loss by the output, after
Katharopoulos & Fleuret, arXiv 1803.00942. The path half is `supernets.samplers.path_adaptive`.
Differs: the indicator of a step with several subnets is that of the first. The order of an epoch is drawn from a
generator of its own, so that it can be repeated, and no worker has to be started anew to see it. Where all indicators
are zero or one is not finite, all examples are equally likely. Weights 1 / (N p) on the losses, which make the gradient
unbiased, are an option; the released code has none. What the released code does besides is kept: the first epoch shows
every example, later ones draw with replacement even where probabilities are still uniform, and an example that an epoch
did not show has the uniform part of its probability only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from supernets.device import send
from supernets.streams import EXAMPLE_ORDER
from supernets.training.distributed import Processes


def running_indicators(examples: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Return running means of an epoch's indicators: the first of an example, then the mean of it and the next.

    Args:
        examples: Example of each recorded indicator [M], in recorded order.
        values: The indicators [M].
        count: Number of examples N.

    Returns:
        float64 [N]; 0 for examples that were not recorded.
    """
    by_example = np.argsort(examples, kind="stable")
    ordered = values[by_example].astype(np.float64)
    times = np.bincount(examples, minlength=count)
    first = np.cumsum(times) - times
    running = np.zeros(count)
    for turn in range(int(times.max(initial=0))):  # every example that was seen more often than `turn`, all at once
        who = np.flatnonzero(times > turn)
        new = ordered[first[who] + turn]
        running[who] = np.where(running[who] != 0, (running[who] + new) / 2, new)
    return running


def example_probabilities(running: np.ndarray, tau: float) -> np.ndarray:
    """Return tau * S / sum(S) + (1 - tau) / N for running indicators S [N]; uniform where they say nothing."""
    total, n = running.sum(), len(running)
    share = running / total if np.isfinite(total) and total > 0 else np.full(n, 1 / n)
    return tau * share + (1 - tau) / n


@dataclass(kw_only=True, eq=False)
class ExampleImportance:
    """The order of the examples of each epoch, and the indicators that it follows from.

    Call order: `order` of an epoch, then `record` once a step, then `end_epoch`. `state_dict` at any step.

    Args:
        count: Training examples N.
        batch_size: Examples of one step over all processes.
        seed: Seed of the orders.
        weighted: Whether losses have weights.
        processes: This process and its siblings; each records its share of every batch.
        device: Device of outputs.
    """

    count: int
    batch_size: int
    seed: int
    weighted: bool
    processes: Processes
    device: torch.device

    def __post_init__(self) -> None:
        rank, world_size = self.processes.rank, self.processes.world_size
        self.total = min(self.batch_size, self.count)
        self._share = slice(rank * self.total // world_size, (rank + 1) * self.total // world_size)
        self.probabilities: np.ndarray | None = None
        self._recorded: list[Tensor] = []  # [steps, total] each, the same in all processes
        self._pending: list[Tensor] = []  # of this process, since the last `join`
        self._of_epoch: tuple[int, Tensor, Tensor | None] | None = None

    def order(self, epoch: int) -> Tensor:
        """Return the examples of the epoch in the order in which they are shown, int64 [N] on the CPU."""
        return self._drawn(epoch)[0]

    def weights(self, epoch: int, batch: int) -> Tensor | None:
        """Return the loss weights of this process's share of a batch, on the device; None where there are none."""
        weights = self._drawn(epoch)[1]
        return None if weights is None else weights[batch * self.total :][: self.total][self._share]

    def _drawn(self, epoch: int) -> tuple[Tensor, Tensor | None]:
        if self._of_epoch is None or self._of_epoch[0] != epoch:
            generator = EXAMPLE_ORDER.generator(self.seed, epoch)
            if self.probabilities is None:
                order = generator.permutation(self.count)
            else:
                sums = np.cumsum(self.probabilities)
                order = np.searchsorted(sums, generator.random(self.count) * sums[-1], side="right")
                order = np.minimum(order, self.count - 1)
            weights: Tensor | None = None
            if self.weighted:
                p = np.full(self.count, 1 / self.count) if self.probabilities is None else self.probabilities
                weights = send(torch.from_numpy(1 / (self.count * p[order])).float(), self.device)
            self._of_epoch = epoch, torch.from_numpy(order.astype(np.int64)), weights
        return self._of_epoch[1:]

    def record(self, indicators: Tensor) -> None:
        """Note the indicators [B] of this process's share of the next batch; does not wait for the device.

        They are what `Task.output_errors` gives.
        """
        self._pending.append(indicators)

    def join(self) -> None:
        """Bring together what the processes have recorded; all of them call this at the same step."""
        if not self._pending:
            return
        mine = torch.stack(self._pending)
        self._pending = []
        if self.processes.world_size > 1:
            whole = mine.new_zeros(len(mine), self.total)
            whole[:, self._share] = mine
            mine = self.processes.sum(whole)
        self._recorded.append(mine)

    def end_epoch(self, epoch: int, progress: float) -> dict[str, float]:
        """Compute the probabilities for the next epoch and return numbers for the log.

        Args:
            epoch: The epoch that ends.
            progress: Part of the training that was done when it began.
        """
        self.join()
        values = torch.cat([rows.reshape(-1) for rows in self._recorded]).cpu().numpy()
        examples = self.order(epoch).numpy()[: len(values)]
        running = running_indicators(examples, values, self.count)
        self.probabilities = example_probabilities(running, progress)
        self._recorded, self._of_epoch = [], None
        return {
            "effective_fraction": float(1 / (self.count * np.square(self.probabilities).sum())),
            "mean_indicator": float(values.mean()),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides later orders; call `join` first."""
        probabilities = None if self.probabilities is None else torch.from_numpy(self.probabilities)
        return {"probabilities": probabilities, "recorded": list(self._recorded)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a state that `state_dict` gave."""
        probabilities = state["probabilities"]
        self.probabilities = None if probabilities is None else probabilities.cpu().numpy()
        self._recorded, self._pending, self._of_epoch = list(state["recorded"]), [], None
