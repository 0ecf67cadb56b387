"""Kendall's rank correlation made differentiable, as a loss to minimise.

Paper: Zheng et al., DiffKendall, NeurIPS 2023, arXiv 2307.15317; as ParZC uses it (arXiv 2402.02105).
Differs: nothing known. As in the code released for ParZC, ordered pairs are summed and divided by the number of
unordered ones, so that the correlation lies in [-2, 2]; a constant only.
"""

import torch


def diff_kendall(predictions: torch.Tensor, targets: torch.Tensor, *, alpha: float = 0.5) -> torch.Tensor:
    """Return the soft rank correlation of predictions [N] and targets [N], in [-2, 2].

    Every pair gives the product of two soft signs of its differences, sigmoid(alpha d) - sigmoid(-alpha d), which is
    tanh(alpha d / 2). It is near the sign only where differences are large beside 1 / alpha: standardise targets.

    Raises:
        ValueError: Shapes differ or there is no pair.
    """
    if predictions.ndim != 1 or predictions.shape != targets.shape:
        raise ValueError(
            f"predictions have shape {list(predictions.shape)} and targets {list(targets.shape)}; both must be [N]"
        )
    count = len(predictions)
    if count < 2:
        raise ValueError(f"{count} predictions make no pair; at least 2 are needed")
    signs = _soft_signs(predictions, alpha) * _soft_signs(targets, alpha)
    return signs.sum() / (count * (count - 1) / 2)


def diff_kendall_loss(predictions: torch.Tensor, targets: torch.Tensor, *, alpha: float = 0.5) -> torch.Tensor:
    """Return what training minimises: the negative of `diff_kendall`."""
    return -diff_kendall(predictions, targets, alpha=alpha)


def _soft_signs(values: torch.Tensor, alpha: float) -> torch.Tensor:
    return torch.tanh((values[:, None] - values[None, :]) * (alpha / 2))
