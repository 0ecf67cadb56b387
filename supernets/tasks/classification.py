"""Classification: one label an example, cross entropy, top-1 accuracy.

Paper: label smoothing, arXiv 1512.00567; soft labels of a teacher, arXiv 1503.02531 at temperature 1.
Differs: nothing known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from search_spaces.errors import FieldError
from supernets.estimate import Estimate
from supernets.tasks.confusion import classification_breakdown
from supernets.tasks.outcomes import Breakdown, Outcomes
from supernets.tasks.task import Batch, Metric, Task

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


@dataclass(frozen=True)
class Classification(Task):
    """Batches of inputs [B, ...] and labels [B]; networks give logits [B, classes].

    Args:
        classes: Number of classes, to check networks by; None for whatever a network gives.
        label_smoothing: Part of the target that is spread over all classes in training.
    """

    classes: int | None = None
    label_smoothing: float = 0.0

    metric = Metric("accuracy", "%", maximise=True, low=0.0, high=100.0)
    examples = "images"

    def __post_init__(self) -> None:
        if self.classes is not None and self.classes < 2:
            raise FieldError("classes", f"must be at least 2, got {self.classes}")
        if not 0 <= self.label_smoothing < 1:
            raise FieldError("label_smoothing", f"must be from 0 to below 1, got {self.label_smoothing}")

    def loss(
        self, output: Tensor, batch: Batch, *, teacher: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Return the cross entropy with the labels, or with the probabilities of a teacher; the mean over examples.

        Raises:
            ValueError: The network has another number of classes.
        """
        import torch.nn.functional as F

        if self.classes is not None and output.shape[1] != self.classes:
            raise ValueError(f"classes: the network gives {output.shape[1]} of them, the task has {self.classes}")
        reduction = "mean" if weights is None else "none"
        if teacher is not None:
            losses = F.cross_entropy(output, teacher.softmax(dim=1), reduction=reduction)
        else:
            smoothing = self.label_smoothing
            losses = F.cross_entropy(output, batch[-1], label_smoothing=smoothing, reduction=reduction)
        return losses if weights is None else (losses * weights).mean()

    def losses(self, output: Tensor, batch: Batch) -> Tensor:
        """Return the cross entropy of each example [B].

        Raises:
            ValueError: A label is none of the classes of the network.
        """
        import torch.nn.functional as F

        labels = batch[-1]
        if int(labels.max()) >= output.shape[1] or int(labels.min()) < 0:
            worst = min(int(labels.min()), 0) or int(labels.max())
            raise ValueError(f"label {worst} is outside the {output.shape[1]} classes of the network")
        return F.cross_entropy(output, labels.long(), label_smoothing=self.label_smoothing, reduction="none")

    def groups(self, batch: Batch) -> Tensor:
        """Return the labels."""
        return batch[-1]

    def plain(self) -> Classification:
        """Return the same without label smoothing."""
        return replace(self, label_smoothing=0.0)

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> Estimate:
        """Return the top-1 accuracy in percent.

        Raises:
            ValueError: The model is not calibrated, or there are no examples.
        """
        return Estimate(top1_percent(model, batches))

    def outcomes(self, model: nn.Module, batches: Iterable[Batch]) -> Outcomes:
        """Return 100 for each example that is classified right and 0 for the others.

        The columns are `target` and `predicted`, int64, and `confidence`: the probability of the predicted class,
        float32.

        Raises:
            ValueError: The model is not calibrated, or there are no examples.
        """
        import numpy as np

        columns = predictions(model, batches)
        right = columns["target"] == columns["predicted"]
        return Outcomes(np.where(right, 100.0, 0.0), columns)

    def breakdown(self, outcomes: Outcomes, names: Sequence[str] = ()) -> Breakdown:
        """Return balanced accuracy, accuracy by class, the most frequent mistakes and the confusion matrix."""
        return classification_breakdown(outcomes.columns["target"], outcomes.columns["predicted"], names)

    def output_errors(self, output: Tensor, batch: Batch) -> Tensor:
        """Return the norm of softmax(logits) - onehot(labels) of each example [B]."""
        import torch

        off = output.detach().softmax(dim=1)
        return off.scatter_add(1, batch[-1][:, None], -torch.ones_like(off[:, :1])).norm(dim=1)


def top1_percent(model: nn.Module, batches: Iterable[Batch]) -> float:
    """Return the share of examples classified right, in percent.

    Args:
        model: A calibrated network; it is in evaluation mode afterwards.
        batches: Inputs, and labels [B] as the last tensor.

    Raises:
        ValueError: The model is not calibrated, or there are no images.
    """
    import torch

    from supernets.calibration import require_calibrated

    require_calibrated(model)
    model.eval()
    right: Tensor | float = 0.0
    seen = 0
    with torch.inference_mode():
        for *inputs, labels in batches:
            right = right + (model(*inputs).argmax(dim=1) == labels).sum()
            seen += len(labels)
    if not seen:
        raise ValueError("an accuracy needs at least one image, got none")
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

    from supernets.calibration import require_calibrated

    require_calibrated(model)
    model.eval()
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with torch.inference_mode():
        for *inputs, labels in batches:
            logits = model(*inputs)
            predicted = logits.argmax(dim=1)
            confidence = logits.float().softmax(dim=1).gather(1, predicted[:, None])[:, 0]
            parts.append((labels.long(), predicted, confidence))
    if not parts:
        raise ValueError("an accuracy needs at least one image, got none")
    target, predicted, confidence = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
    return {"target": target, "predicted": predicted, "confidence": confidence}
