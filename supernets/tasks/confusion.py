"""Accuracy by class, balanced accuracy and the confusion matrix, from targets and predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from supernets.tasks.outcomes import Breakdown, Matrix, Table
from supernets.tasks.task import Resolution

if TYPE_CHECKING:
    import numpy as np

_NORMAL_95 = 1.959964
_DISAGREEMENT = 0.25
_LEAST_DECIDED = 6
_SHOWN_CLASSES = 50  # a matrix of more classes cannot be read
_SHOWN_MISTAKES = 20


def classification_breakdown(target: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> Breakdown:
    """Return the quality of predictions by class.

    The accuracy of a class is the share of its examples that were recognised (its recall). The balanced accuracy is the
    mean of these shares over the classes that have examples: each class counts the same, however many examples it has.

    Args:
        target: Classes, int64 [N].
        predicted: Predicted classes, int64 [N].
        names: Name of each class; classes beyond them are called by their numbers.
    """
    counts = confusion(target, predicted, len(names))
    labels = [names[i] if i < len(names) else str(i) for i in range(len(counts))]
    examples, right = counts.sum(1), counts.diagonal()
    there = examples > 0
    shares = 100.0 * right[there] / examples[there]
    rows: list[list[str | float]] = [
        [label, int(n), round(100.0 * int(hits) / int(n), 4)]
        for label, n, hits in zip(labels, examples, right, strict=True)
        if n
    ]
    return Breakdown(
        numbers={
            "accuracy": (100.0 * int(right.sum()) / len(target), "%"),
            "balanced_accuracy": (float(shares.mean()), "%"),
        },
        groups={"accuracy": {str(label): float(share) for label, _, share in rows}},
        grouped_by="class",
        tables={
            "accuracy by class": Table(["class", "examples", "accuracy [%]"], rows),
            "most frequent mistakes": Table(["class", "taken for", "examples"], _mistakes(counts, labels)),
        },
        matrix=Matrix(labels, counts.tolist()) if len(counts) <= _SHOWN_CLASSES else None,
    )


def balanced_scores(target: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return scores, float64 [N], whose mean is the balanced accuracy in percent.

    Args:
        target: Classes, int64 [N].
        predicted: Predicted classes, int64 [N].
    """
    import numpy as np

    examples = np.bincount(target)
    share = len(target) / (np.count_nonzero(examples) * examples[target])
    return np.where(target == predicted, 100.0 * share, 0.0)


def resolution_of_accuracy(counts: Sequence[int], *, balanced: bool) -> Resolution:
    """Return the differences in accuracy of two networks on the same examples that exceed chance.

    Only examples on which one network is right and the other is wrong count: b for the one, c for the other. Without a
    real difference, b - c has the variance b + c (McNemar). With b + c = q n of n examples a difference has to exceed
    1.96 sqrt(q / n). How much networks disagree is not known in advance, so q = 1/4 is assumed. This gives the half
    width of the interval of an accuracy of 50 %. Even for small disagreement, five examples are not enough: the
    probability that all b + c examples favour the same network is 2 / 2^(b + c), which is below 5 % from 6 on.

    The balanced accuracy is a mean over C classes of n_c examples: (1.96 / C) sqrt(sum of q / n_c).

    Args:
        counts: Number of examples of each class.
        balanced: Whether each class counts the same.
    """
    there = [count for count in counts if count]
    if balanced:
        likely = 100 * _NORMAL_95 * math.sqrt(sum(_DISAGREEMENT / count for count in there)) / len(there)
        least = 100 * _LEAST_DECIDED / (len(there) * max(there))
    else:
        likely = 100 * _NORMAL_95 * math.sqrt(_DISAGREEMENT / sum(there))
        least = 100 * _LEAST_DECIDED / sum(there)
    least = min(100.0, least)
    return Resolution(min(100.0, max(likely, least)), least, "points", "that disagree on a quarter of the examples")


def confusion(target: np.ndarray, predicted: np.ndarray, classes: int = 0) -> np.ndarray:
    """Return the number of examples of each class (row) predicted as each class (column), int64 [classes, classes].

    Args:
        target: Classes, int64 [N].
        predicted: Predicted classes, int64 [N].
        classes: Least number of rows; there are more where an example has a higher class.
    """
    import numpy as np

    size = max(classes, int(target.max()) + 1, int(predicted.max()) + 1)
    return np.bincount(target * size + predicted, minlength=size * size).reshape(size, size)


def _mistakes(counts: np.ndarray, labels: Sequence[str]) -> list[list[str | float]]:
    """Return the pairs of classes that were confused most often, the most frequent first."""
    import numpy as np

    wrong = counts - np.diag(counts.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[:_SHOWN_MISTAKES]
    pairs = (divmod(int(place), len(counts)) for place in order)
    return [[labels[row], labels[column], int(wrong[row, column])] for row, column in pairs if wrong[row, column]]
