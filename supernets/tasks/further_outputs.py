"""A task whose networks give further outputs in training, such as a second classifier in the middle of a network.

Paper: DARTS, arXiv 1806.09055, and Going Deeper with Convolutions, arXiv 1409.4842, for auxiliary classifiers.
Differs: nothing known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from supernets.estimate import Estimate
from supernets.tasks.task import Batch, Metric, Task

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class FurtherOutputs(Task):
    """A task in which every output of a network is judged as the first one, with a weight of its own.

    Args:
        task: What the first output is trained for, and networks are judged by.
        weight: Weight of the loss of each further output.
    """

    task: Task
    weight: float = 0.0

    @property
    def metric(self) -> Metric:  # type: ignore[override]
        """Metric of the task."""
        return self.task.metric

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        return self.task.inputs(batch)

    def loss(
        self,
        output: Tensor | tuple[Tensor, ...],
        batch: Batch,
        *,
        teacher: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of the first output, and of all further ones times their weight."""
        first, *further = output if isinstance(output, tuple) else (output,)
        total = self.task.loss(first, batch, teacher=teacher, weights=weights)
        for one in further:
            total = total + self.weight * self.task.loss(one, batch, teacher=teacher, weights=weights)
        return total

    def terms(self, batch: Batch) -> Tensor | int:
        return self.task.terms(batch)

    def groups(self, batch: Batch) -> Tensor | None:
        return self.task.groups(batch)

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> Estimate:
        """Return the metric of the task; in evaluation networks give their first output alone."""
        return self.task.evaluate(model, batches)
