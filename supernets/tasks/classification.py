"""Classification: one label an example, cross entropy, top-1 accuracy.

Paper: label smoothing, arXiv 1512.00567; soft labels of a teacher, arXiv 1503.02531 at temperature 1; class weights in
inverse proportion to the number of examples, King & Zeng, Political Analysis 9 (2001).
Differs: the weighted loss of a batch is the mean over its examples, not over the sum of their weights, so that every
example has the same weight in every batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from search_spaces.errors import FieldError, WrongResult
from supernets.estimate import Estimate
from supernets.tasks.answers import answers
from supernets.tasks.confusion import balanced_scores, classification_breakdown, resolution_of_accuracy
from supernets.tasks.outcomes import Breakdown, Mistake, Outcomes
from supernets.tasks.task import Batch, Metric, Resolution, Task

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

_NO_IMAGES = "an accuracy needs at least one image, got none"
METRICS = {
    "accuracy": Metric("accuracy", "%", maximise=True, low=0.0, high=100.0),
    "balanced_accuracy": Metric("balanced_accuracy", "%", maximise=True, low=0.0, high=100.0),
}


@dataclass(frozen=True, init=False)
class Classification(Task):
    """Batches of inputs [B, ...] and labels [B]; networks give logits [B, classes].

    Args:
        classes: Number of classes, to check networks by; None for whatever a network gives.
        label_smoothing: Part of the target that is spread over all classes in training.
        metric: Metric that networks are judged by: `accuracy`, the share of examples that are classified right, or
            `balanced_accuracy`, the mean of this share over the classes, in which each class counts the same.
        class_weights: Factor of the loss of an example, by its class. `balanced` gives class c the weight
            N / (C n_c): N training examples, C classes, n_c examples of the class; the mean over all examples is 1.
            A list has one number for each class and is used as it is. None for no weights. The weights hold for what
            is learned from a teacher, too.
        class_counts: Number of training examples of each class, which `balanced` needs; the data say it.
    """

    classes: int | None = None
    label_smoothing: float = 0.0
    metric: Metric = METRICS["accuracy"]
    class_weights: tuple[float, ...] | None = None

    examples = "images"
    predicts = "the probability of each class"

    def __init__(
        self,
        classes: int | None = None,
        label_smoothing: float = 0.0,
        *,
        metric: Literal["accuracy", "balanced_accuracy"] = "accuracy",
        class_weights: Literal["balanced"] | Sequence[float] | None = None,
        class_counts: Sequence[int] | None = None,
    ) -> None:
        if classes is not None and classes < 2:
            raise FieldError("classes", f"must be at least 2, got {classes}")
        if not 0 <= label_smoothing < 1:
            raise FieldError("label_smoothing", f"must be from 0 to below 1, got {label_smoothing}")
        if metric not in METRICS:
            raise FieldError("metric", f"must be one of {', '.join(METRICS)}, got {metric!r}")
        weights = _balanced(class_counts) if class_weights == "balanced" else class_weights
        fields: dict[str, Any] = {"classes": classes, "label_smoothing": label_smoothing, "metric": METRICS[metric]}
        fields["class_weights"] = None if weights is None else _checked(weights, classes)
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def loss(
        self, output: Tensor, batch: Batch, *, teacher: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Return the cross entropy with the labels, or with the probabilities of a teacher; the mean over examples.

        Raises:
            ValueError: The network has another number of classes.
            WrongResult: It gives something else than a number for each class.
        """
        import torch.nn.functional as F

        if output.dim() != 2:
            given = " x ".join(map(str, output.shape[1:]))
            raise WrongResult(f"task: classification needs networks that give a number for each class, not {given}")
        if self.classes is not None and output.shape[1] != self.classes:
            raise ValueError(f"classes: the network gives {output.shape[1]} of them, the task has {self.classes}")
        if self.class_weights is not None:
            by_class = self._weights(batch[-1])
            weights = by_class if weights is None else by_class * weights
        reduction = "mean" if weights is None else "none"
        if teacher is not None:
            losses = F.cross_entropy(output, teacher.softmax(dim=1), reduction=reduction)
        else:
            smoothing = self.label_smoothing
            losses = F.cross_entropy(output, batch[-1], label_smoothing=smoothing, reduction=reduction)
        return losses if weights is None else (losses * weights).mean()

    def losses(self, output: Tensor, batch: Batch) -> Tensor:
        """Return the cross entropy of each example [B], times the weight of its class.

        Raises:
            ValueError: A label is not a class of the network.
        """
        import torch.nn.functional as F

        labels = batch[-1]
        if int(labels.max()) >= output.shape[1] or int(labels.min()) < 0:
            worst = min(int(labels.min()), 0) or int(labels.max())
            raise ValueError(f"label {worst} is outside the {output.shape[1]} classes of the network")
        losses = F.cross_entropy(output, labels.long(), label_smoothing=self.label_smoothing, reduction="none")
        return losses if self.class_weights is None else losses * self._weights(labels)

    def groups(self, batch: Batch) -> Tensor:
        """Return the labels."""
        return batch[-1]

    def plain(self) -> Classification:
        """Return the same without label smoothing."""
        return type(self)(self.classes, metric=self._metric_name, class_weights=self.class_weights)

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> Estimate:
        """Return the accuracy or the balanced accuracy in percent, over the classes that have examples.

        Raises:
            ValueError: The model is not calibrated, or there are no examples.
        """
        if self._metric_name == "accuracy":
            return Estimate(top1_percent(model, batches))
        return Estimate(float(self.outcomes(model, batches).scores.mean()))

    def outcomes(self, model: nn.Module, batches: Iterable[Batch]) -> Outcomes:
        """Return what each example adds to the metric: 100 where it is classified right, and 0 for the others.

        For the balanced accuracy an example that is right adds 100 N / (C n_c): N examples, C classes among them, n_c
        examples of its class. The columns are `target` and `predicted`, int64, and `confidence`: the probability of
        the predicted class, float32.

        Raises:
            ValueError: The model is not calibrated, or there are no examples.
        """
        import numpy as np

        columns = predictions(model, batches)
        if self._metric_name == "balanced_accuracy":
            return Outcomes(balanced_scores(columns["target"], columns["predicted"]), columns)
        right = columns["target"] == columns["predicted"]
        return Outcomes(np.where(right, 100.0, 0.0), columns)

    def mistakes(self, outcomes: Outcomes, names: Sequence[str] = (), *, most: int = 12) -> list[Mistake]:
        """Return the examples that a network was surest of and wrong about."""
        import numpy as np

        target, predicted, confidence = (outcomes.columns[name] for name in ("target", "predicted", "confidence"))
        wrong = np.flatnonzero(target != predicted)
        surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
        known = dict(enumerate(names))

        def said(i: int) -> str:
            true, taken = (known.get(int(one[i]), int(one[i])) for one in (target, predicted))
            return f"{true}, taken for {taken} ({100 * float(confidence[i]):.0f} %)"

        return [Mistake(int(i), said(i)) for i in surest]

    def breakdown(self, outcomes: Outcomes, names: Sequence[str] = ()) -> Breakdown:
        """Return accuracy and balanced accuracy, accuracy by class, most frequent mistakes and the confusion matrix.

        The metric of the task is not among the numbers: it is known already.
        """
        found = classification_breakdown(outcomes.columns["target"], outcomes.columns["predicted"], names)
        others = {name: number for name, number in found.numbers.items() if name != self.metric.name}
        return replace(found, numbers=others)

    def resolution(self, counts: Sequence[int]) -> Resolution:
        """Return which differences in the metric can be told from chance, see `resolution_of_accuracy`."""
        return resolution_of_accuracy(counts, balanced=self.metric.name == "balanced_accuracy")

    def prediction(self, output: Tensor) -> Tensor:
        """Return the probabilities [B, classes] of logits."""
        return output.softmax(dim=1)

    def output_errors(self, output: Tensor, batch: Batch) -> Tensor:
        """Return the norm of softmax(logits) - onehot(labels) of each example [B], times the weight of its class."""
        import torch

        off = output.detach().softmax(dim=1)
        errors = off.scatter_add(1, batch[-1][:, None], -torch.ones_like(off[:, :1])).norm(dim=1)
        return errors if self.class_weights is None else errors * self._weights(batch[-1])

    @property
    def _metric_name(self) -> Literal["accuracy", "balanced_accuracy"]:
        return "accuracy" if self.metric.name == "accuracy" else "balanced_accuracy"

    def _weights(self, labels: Tensor) -> Tensor:
        """Return the weight of the class of each example [B]."""
        assert self.class_weights is not None
        return _on_device(self.class_weights, labels.device).index_select(0, labels.long())


@lru_cache(maxsize=8)
def _on_device(weights: tuple[float, ...], device: torch.device) -> Tensor:
    """Return class weights as a tensor; it is copied to a device once, and later steps do not wait for it."""
    import torch

    with torch.inference_mode(False):
        return torch.tensor(weights, device=device)


def _balanced(counts: Sequence[int] | None) -> tuple[float, ...]:
    """Return N / (C n_c) for each class."""
    if counts is None:
        there = "these data do not say it (the fact class_counts); give a list of weights"
        raise FieldError("class_weights", f"balanced needs the number of examples of each class, and {there}")
    if min(counts) < 1:
        raise FieldError("class_counts", f"must be at least 1 for each class, got {list(counts)}")
    return tuple(sum(counts) / (len(counts) * count) for count in counts)


def _checked(weights: Sequence[float], classes: int | None) -> tuple[float, ...]:
    """Return class weights that go with the classes."""
    if isinstance(weights, str) or (classes is not None and len(weights) != classes):
        wanted = "each class" if classes is None else f"each of the {classes} classes"
        raise FieldError("class_weights", f"must be balanced or a list of one number for {wanted}, got {weights!r}")
    if not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise FieldError("class_weights", f"must be more than 0 for each class, got {list(weights)}")
    return tuple(float(weight) for weight in weights)


def top1_percent(model: nn.Module, batches: Iterable[Batch]) -> float:
    """Return the share of examples classified right, in percent.

    Args:
        model: A calibrated network; it is in evaluation mode afterwards.
        batches: Inputs, and labels [B] as the last tensor.

    Raises:
        ValueError: The model is not calibrated, or there are no images.
    """
    right: Tensor | float = 0.0
    seen = 0
    for logits, labels in answers(model, batches, _NO_IMAGES):
        right = right + (logits.argmax(dim=1) == labels).sum()
        seen += len(labels)
    return 100.0 * float(right) / seen


def predictions(model: nn.Module, batches: Iterable[Batch]) -> dict[str, np.ndarray]:
    """Return the columns `target`, `predicted` and `confidence` of all examples, see `Classification.outcomes`.

    Args:
        model: A calibrated network; it is in evaluation mode afterwards.
        batches: Inputs, and labels [B] as the last tensor.

    Raises:
        ValueError: The model is not calibrated, or there are no images.
    """
    import torch

    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for logits, labels in answers(model, batches, _NO_IMAGES):
        predicted = logits.argmax(dim=1)
        confidence = logits.float().softmax(dim=1).gather(1, predicted[:, None])[:, 0]
        parts.append((labels.long(), predicted, confidence))
    columns = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
    return dict(zip(("target", "predicted", "confidence"), columns, strict=True))
