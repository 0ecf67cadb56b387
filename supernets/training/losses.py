"""The loss of one subnet in one step.

Paper: Once-for-All, arXiv 1908.09791, appendix B: soft labels of a teacher beside the labels. In-place distillation,
arXiv 1903.05134: soft labels of the largest subnet instead of them.
Differs: nothing known.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from supernets.training.config import TrainConfig


def subnet_loss(
    logits: Tensor,
    labels: Tensor,
    config: TrainConfig,
    *,
    soft: Tensor | None = None,
    weights: Tensor | None = None,
    in_place: bool = False,
) -> Tensor:
    """Cross entropy with the labels, with soft labels, or both; the mean over images.

    Args:
        logits: Of the subnet [B, classes].
        labels: int64 [B].
        config: Label smoothing and the weight of distillation.
        soft: Probabilities to learn from [B, classes].
        weights: Of the images [B].
        in_place: Whether soft labels stand instead of the labels, as far as their weight says.
    """
    weight = config.kd_weight if soft is not None else 0.0
    label_weight = 1.0 if not in_place or soft is None else max(0.0, 1.0 - weight)
    reduction = "mean" if weights is None else "none"
    loss = torch.zeros((), device=logits.device)
    if label_weight:
        hard = F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing, reduction=reduction)
        loss = label_weight * hard
    if soft is not None and weight:
        loss = loss + weight * F.cross_entropy(logits, soft, reduction=reduction)
    return loss if weights is None else (loss * weights).mean()
