"""A workload of several networks on the same data, each judged by the task of the data; the whole by their mean.

Paper: NASAIC, arXiv 2002.04116, equation of the reward: the weighted sum of the accuracies.
Differs: weights are scaled to a sum of 1, so that the metric keeps its unit and its range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from search_spaces.errors import FieldError, WrongResult
from supernets.estimate import Estimate
from supernets.tasks.answers import answers
from supernets.tasks.outcomes import Breakdown, Outcomes
from supernets.tasks.task import Batch, Metric, Resolution, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

MakeTask = Callable[[str | None, Mapping[str, Any]], Task]
"""Name of a task, None for that of the data, and its options -> the task."""


_SCORES = "own_scores"


class Workload(Task):
    """Networks whose outputs [B, networks, ...] are judged one by one, as those of joined spaces are.

    The task of each of them must be one whose networks are called with all tensors of a batch but the last.

    Args:
        of: Task of each network; null for that of the data.
        options: Options of that task.
        weights: Weight of each network in the order of the space, in the loss and in the metric; null for equal ones.
        make_task: Makes a task of its name and options; a job gives it.
    """

    metric = Metric("mean_accuracy", "%", maximise=True, low=0.0, high=100.0)

    def __init__(
        self,
        of: str | None = None,
        options: Mapping[str, Any] | None = None,
        weights: Sequence[float] | None = None,
        *,
        make_task: MakeTask | None = None,
    ) -> None:
        if weights is not None and (not weights or min(weights) < 0 or not sum(weights) > 0):
            raise FieldError("weights", f"must be numbers from 0, not all of them 0, got {list(weights)}")
        if make_task is None:
            raise TypeError("`make_task` is needed to make the task of each network")
        self._take(make_task(of, options or {}), weights)

    @classmethod
    def of_each(cls, task: Task, weights: Sequence[float] | None = None) -> Workload:
        """Return the workload of networks that each have this task."""
        return cls(weights=weights, make_task=lambda name, options: task)

    def _take(self, task: Task, weights: Sequence[float] | None) -> None:
        self.task, self.weights = task, weights
        own = task.metric
        self.metric = Metric(f"mean_{own.name}", own.unit, own.maximise, own.low, own.high)
        self.examples, self.predicts, self.judging = task.examples, task.predicts, task.judging

    # ---- training ---------------------------------------------------------------------------------------------------

    def loss(
        self, output: Tensor, batch: Batch, *, teacher: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Return the weighted mean of the losses of the networks.

        Raises:
            WrongResult: The output is not that of as many networks as have weights.
        """
        losses = [
            share
            * self.task.loss(output[:, i], batch, teacher=None if teacher is None else teacher[:, i], weights=weights)
            for i, share in enumerate(self._shares(output))
        ]
        return sum(losses[1:], losses[0])

    def losses(self, output: Tensor, batch: Batch) -> Tensor:
        """Return the weighted mean of the losses of the networks for each example [B]."""
        losses = [share * self.task.losses(output[:, i], batch) for i, share in enumerate(self._shares(output))]
        return sum(losses[1:], losses[0])

    def terms(self, batch: Batch) -> Tensor | int:
        """Return how many terms the loss of each network has."""
        return self.task.terms(batch)

    def groups(self, batch: Batch) -> Tensor | None:
        """Return the groups of the examples in the task of each network."""
        return self.task.groups(batch)

    def plain(self) -> Workload:
        """Return the workload of the plain task."""
        return Workload.of_each(self.task.plain(), self.weights)

    def quick(self) -> Workload:
        """Return the workload of the quick task."""
        return Workload.of_each(self.task.quick(), self.weights)

    # ---- judging ----------------------------------------------------------------------------------------------------

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> Estimate:
        """Return the weighted mean of the metrics of the networks.

        Raises:
            ValueError: The model is not calibrated, or there are no batches.
        """
        given = _answered(model, batches)
        shares = self._shares(given[0][0])
        found = [self.task.evaluate(_given(), _of(given, i)) for i in range(len(shares))]
        value = sum(share * one.value for share, one in zip(shares, found))
        if any(one.low is None or one.high is None for one in found):
            return Estimate(value)
        away = [max(one.value - (one.low or 0.0), (one.high or 0.0) - one.value) for one in found]
        half = sum(share * one for share, one in zip(shares, away))  # they err together, on the same examples
        return Estimate(value, value - half, value + half)

    def outcomes(self, model: nn.Module, batches: Iterable[Batch]) -> Outcomes | None:
        """Return the weighted mean of the scores, and the columns of each network, which begin with its number."""
        given = _answered(model, batches)
        shares = self._shares(given[0][0])
        found = [self.task.outcomes(_given(), _of(given, i)) for i in range(len(shares))]
        known = [one for one in found if one is not None]
        if len(known) < len(found):
            return None
        columns = {
            f"{i}.{name}": column
            for i, one in enumerate(known, 1)
            for name, column in {**one.columns, _SCORES: one.scores}.items()
        }
        parts = [share * one.scores for share, one in zip(shares, known)]
        return Outcomes(sum(parts[1:], parts[0]), columns)

    def breakdown(self, outcomes: Outcomes, names: Sequence[str] = ()) -> Breakdown:
        """Return the metric of each network by itself."""
        numbers = {
            f"{self.task.metric.name}_{name.partition('.')[0]}": (float(column.mean()), self.task.metric.unit)
            for name, column in outcomes.columns.items()
            if name.endswith(f".{_SCORES}")
        }
        return Breakdown(numbers=numbers)

    def resolution(self, counts: Sequence[int]) -> Resolution | None:
        """Return what the task of each network says: a mean over several varies no more than one."""
        return self.task.resolution(counts)

    def prediction(self, output: Tensor) -> Tensor:
        """Return the predictions of all networks [B, networks, ...]."""
        import torch

        return torch.stack([self.task.prediction(output[:, i]) for i in range(output.shape[1])], dim=1)

    def output_errors(self, output: Tensor, batch: Batch) -> Tensor:
        """Return how far the outputs of all networks together were off [B]: gradient norms of the plain loss."""
        return Task.output_errors(self.plain(), output, batch)

    def _shares(self, output: Tensor) -> list[float]:
        """Return the weights of the networks that gave an output, with a sum of 1."""
        if output.dim() < 3:
            raise WrongResult("task: workload needs several networks, such as those of the space joined")
        weights = [1.0] * output.shape[1] if self.weights is None else list(self.weights)
        if len(weights) != output.shape[1]:
            raise WrongResult(
                f"task.options.weights: must be one for each of {output.shape[1]} networks, got {weights}"
            )
        return [weight / sum(weights) for weight in weights]


def _given() -> nn.Module:
    """Return the network that gives what it is called with: an answer that is known already."""
    from torch import nn

    return nn.Identity()


def _answered(model: nn.Module, batches: Iterable[Batch]) -> list[Batch]:
    """Return the output of a model for each batch, with the last tensor of the batch.

    Raises:
        ValueError: The model is not calibrated, or there are no batches.
    """
    return list(answers(model, batches, "a workload is judged by at least one example, got none"))


def _of(given: Sequence[Batch], place: int) -> list[Batch]:
    """Return the answers of one network."""
    return [(output[:, place], targets) for output, targets in given]
