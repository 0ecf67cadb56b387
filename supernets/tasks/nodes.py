"""Labels of the nodes of a graph: one class each, judged by accuracy, or several, judged by their micro-averaged F1.

The nodes of a batch are those whose loss counts; networks run on the whole graph for them.
Paper: micro-F1 over all labels of all nodes, as in GraphSAGE, arXiv 1706.02216.
Differs: nothing known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_spaces.errors import FieldError
from supernets.estimate import Estimate
from supernets.tasks.answers import answers
from supernets.tasks.classification import Classification
from supernets.tasks.outcomes import Breakdown, Outcomes, Table
from supernets.tasks.task import Batch, Metric, Task

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class Nodes(Classification):
    """Batches of nodes [B] and their classes [B]; networks give logits [B, classes]."""

    examples = "nodes"


@dataclass(frozen=True, kw_only=True)
class NodeLabels(Task):
    """Batches of nodes [B] and which labels each of them has, 0 or 1 [B, L]; networks give logits [B, L].

    Args:
        classes: Number of labels, to check networks by; None for whatever a network gives.
    """

    classes: int | None = None

    metric = Metric("micro_f1", "%", maximise=True, low=0.0, high=100.0)
    examples = "nodes"
    predicts = "the probability of each label"

    def __post_init__(self) -> None:
        if self.classes is not None and self.classes < 2:
            raise FieldError("classes", f"must be at least 2, got {self.classes}")

    def loss(
        self, output: Tensor, batch: Batch, *, teacher: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Return the binary cross entropy with the labels, or with the probabilities of a teacher; the mean over
        nodes and labels.

        Raises:
            ValueError: The network has another number of labels.
        """
        import torch.nn.functional as F

        if self.classes is not None and output.shape[1] != self.classes:
            raise ValueError(f"classes: the network gives {output.shape[1]} labels, the task has {self.classes}")
        targets = batch[-1].to(output.dtype) if teacher is None else teacher.sigmoid()
        losses = F.binary_cross_entropy_with_logits(output, targets, reduction="none").mean(1)
        return (losses if weights is None else losses * weights).mean()

    def prediction(self, output: Tensor) -> Tensor:
        """Return the probabilities [B, L] of logits."""
        return output.sigmoid()

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> Estimate:
        """Return the micro-averaged F1 in percent.

        Raises:
            ValueError: The model is not calibrated, or there are no nodes.
        """
        right, told, there = (int(column.sum()) for column in self._counted(model, batches))
        return Estimate(_f1(right, told, there))

    def outcomes(self, model: nn.Module, batches: Iterable[Batch]) -> Outcomes:
        """Return how many labels of each node are `right`, `predicted` and `present`, and scores whose mean is the F1.

        The F1 is a ratio of sums, 2 R / (P + T), no mean over nodes. Scores are its linear expansion, so intervals and
        differences that follow from them are those of the delta method.

        Raises:
            ValueError: The model is not calibrated, or there are no nodes.
        """
        right, told, there = self._counted(model, batches)
        value = _f1(int(right.sum()), int(told.sum()), int(there.sum()))
        mean = (told + there).mean()
        off = 200.0 * right - value * (told + there)
        scores = value + (off / mean if mean else 0.0 * off)
        return Outcomes(scores, {"right": right, "predicted": told, "present": there})

    def breakdown(self, outcomes: Outcomes, names: Sequence[str] = ()) -> Breakdown:
        """Return precision and recall over all labels."""
        right, told, there = (int(outcomes.columns[name].sum()) for name in ("right", "predicted", "present"))
        shares = {"precision": 100.0 * right / max(told, 1), "recall": 100.0 * right / max(there, 1)}
        rows: list[list[str | float]] = [[name, round(share, 4)] for name, share in shares.items()]
        return Breakdown(tables={"labels": Table(["share", "of all [%]"], rows)})

    def _counted(self, model: nn.Module, batches: Iterable[Batch]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return how many labels of each node are right, predicted and present, int64 [N] each."""
        import numpy as np
        import torch

        none = "a micro-averaged F1 needs at least one node, got none"
        parts = []
        for output, labels in answers(model, batches, none):
            told, there = output > 0, labels > 0
            parts.append(torch.stack([(told & there).sum(1), told.sum(1), there.sum(1)], dim=1))
        right, told, there = torch.cat(parts).cpu().numpy().astype(np.int64).T
        return right, told, there


def _f1(right: int, predicted: int, present: int) -> float:
    """Return the F1 in percent; 0 where nothing is predicted and nothing is there."""
    return 200.0 * right / (predicted + present) if predicted + present else 0.0
