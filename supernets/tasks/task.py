"""The protocol of tasks."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from supernets.estimate import Estimate
from supernets.tasks.outcomes import Breakdown, Mistake, Outcomes

if TYPE_CHECKING:
    from torch import Tensor, nn

Batch: TypeAlias = "tuple[Tensor, ...]"
"""What a data source yields: tensors whose first dimension counts the examples. What they mean only a task knows."""


class Metric(NamedTuple):
    """The number that a task judges networks by.

    Attributes:
        name: Name in objectives, journals and reports, such as `accuracy`.
        unit: Such as `%`; empty for a plain number.
        maximise: Whether more is better.
        low: Least possible value.
        high: Largest possible value.
    """

    name: str
    unit: str
    maximise: bool
    low: float = -math.inf
    high: float = math.inf


class Resolution(NamedTuple):
    """The differences of the metric between two networks that exceed chance, at 95 %.

    Attributes:
        likely: Smaller differences usually do not, see `assuming`.
        least: Smaller differences never do.
        unit: Unit of value and error, such as "points".
        assuming: Assumption of `likely`, as text that follows "two networks".
    """

    likely: float
    least: float
    unit: str
    assuming: str


class Task(Protocol):
    """A purpose that networks are trained for and judged by.

    A task has no state: its methods may be called in any order. Tasks inherit from this class and get its defaults.

    Attributes:
        metric: Metric that `evaluate` returns.
        examples: Name of the examples of a batch in messages, such as "images".
        predicts: Description of what `prediction` returns, for people.
        judging: Names of options that change how networks are judged, and nothing of what they learn: a trained
            supernet may be searched with other ones.
    """

    metric: Metric
    examples: str = "examples"
    predicts: str = "the output of the network"
    judging: tuple[str, ...] = ()

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return what the model is called with, `model(*task.inputs(batch))`: by default all but the last tensor."""
        return batch[:-1]

    @abstractmethod
    def loss(
        self, output: Tensor, batch: Batch, *, teacher: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Return the mean loss of a batch, a scalar.

        Args:
            output: Output of the model for the inputs of the batch, [B, ...].
            batch: As the data source yields it.
            teacher: Output of another network, without gradient: the loss of learning from it instead of from the
                targets of the batch.
            weights: Factors of the losses of the examples [B].
        """
        ...

    def losses(self, output: Tensor, batch: Batch) -> Tensor:
        """Return the loss of each example [B], in the graph of the output; scores without training use it.

        By default it is what `loss` multiplies by the weights of the examples.
        """
        import torch

        weights = output.new_ones(len(batch[0]), requires_grad=True)
        total = self.loss(output, batch, weights=weights) * len(weights)
        (losses,) = torch.autograd.grad(total, weights, create_graph=True)
        return losses

    def terms(self, batch: Batch) -> Tensor | int:
        """Return how many terms the mean of `loss` has: by default the examples.

        Losses of the parts of a batch are put together in this proportion.
        """
        return len(batch[0])

    def groups(self, batch: Batch) -> Tensor | None:
        """Return the class of each example [B], for scores that compare examples within classes; by default none."""
        return None

    def plain(self) -> Task:
        """Return the task without what only training adds to its loss, such as label smoothing.

        Its loss gives the gradients by which architectures are compared. By default it is the task itself.
        """
        return self

    def quick(self) -> Task:
        """Return the task with a metric that is quick to evaluate, by which a training is followed.

        By default it is the task itself.
        """
        return self

    @abstractmethod
    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> Estimate:
        """Return the metric of a model over all batches.

        Raises:
            ValueError: The model is not calibrated (see `supernets.require_calibrated`), or there are no batches.
        """
        ...

    def outcomes(self, model: nn.Module, batches: Iterable[Batch]) -> Outcomes | None:
        """Return the outcomes of a model for each example; by default None, so nothing is kept of single examples.

        A task whose metric is a mean over examples gives the terms of that mean as `scores`, so that networks can be
        compared example by example. `evaluate` of the same model and batches is then the mean of the scores.

        Raises:
            ValueError: The model is not calibrated, or there are no batches.
        """
        return None

    def breakdown(self, outcomes: Outcomes, names: Sequence[str] = ()) -> Breakdown:
        """Return what reports show about outcomes, such as the metric by group; by default nothing.

        Args:
            outcomes: Outcomes of this task.
            names: Names of the groups of the data, in the order of their numbers, such as names of classes.
        """
        return Breakdown()

    def mistakes(self, outcomes: Outcomes, names: Sequence[str] = (), *, most: int = 12) -> Sequence[Mistake]:
        """Return the examples on which a network went wrong the most, the worst first; by default none.

        Args:
            outcomes: Outcomes of this task.
            names: What the data call their groups, as for `breakdown`.
            most: How many are wanted at most.
        """
        return ()

    def resolution(self, counts: Sequence[int]) -> Resolution | None:
        """Return the differences between two networks that examples can show, before there are any networks.

        By default it is None: not known.

        Args:
            counts: Number of examples of each group, such as a class; one number where there are no groups.
        """
        return None

    def prediction(self, output: Tensor) -> Tensor:
        """Return what applications read of an output [B, ...]; by default the output itself."""
        return output

    def output_errors(self, output: Tensor, batch: Batch) -> Tensor:
        """Return how far the output of each example was off [B]: the gradient norm of its loss by the output."""
        import torch

        with torch.enable_grad():
            leaf = output.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.loss(leaf, batch) * len(output), leaf)
        return gradient.flatten(1).norm(dim=1)
