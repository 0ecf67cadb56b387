"""A small multilayer perceptron, or several whose spread is the uncertainty.

Paper: Lakshminarayanan et al., Deep ensembles, NeurIPS 2017, arXiv 1612.01474.
Differs: members minimise the squared error and give no variance of their own, and no adversarial examples are used; all
train at once as batched matrix products.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from nas.predictors.predictor import Prediction, Standardiser, feature_rows, fitted, training_data

BATCH_ROWS = 4096


class _Members(nn.Module):
    """K perceptrons side by side."""

    def __init__(self, members: int, sizes: list[int], generator: torch.Generator) -> None:
        super().__init__()
        pairs = list(pairwise(sizes))
        self.weights = nn.ParameterList(
            torch.randn(members, n, m, generator=generator) * math.sqrt(2 / n) for n, m in pairs
        )
        self.biases = nn.ParameterList(torch.zeros(members, 1, m) for _, m in pairs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x [K, B, F] to [K, B]."""
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            x = functional.relu(x) if i < last else x
        return x.squeeze(2)


class _Fitted(NamedTuple):
    features: Standardiser
    targets: Standardiser
    members: _Members


@dataclass(kw_only=True)
class MLP:
    """Standardised features to standardised targets by the squared error; the std is the spread of the members.

    Attributes:
        hidden: Width of each hidden layer.
        members: Networks of different initial weights and orders of rows; 1 gives no std.
        epochs: Passes over the training rows.
        batch_size: Rows of a step.
        lr: Learning rate of AdamW, falling to 0 as a cosine.
        weight_decay: Weight decay of AdamW.
        seed: Seed of initial weights and the order of rows.
    """

    hidden: tuple[int, ...] = (64, 64)
    members: int = 5
    epochs: int = 100
    batch_size: int = 16
    lr: float = 3e-3
    weight_decay: float = 1e-2
    seed: int = 0
    _state: _Fitted | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden is {self.hidden}; it must hold at least one width of 1 or more")
        for name in ("members", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.lr <= 0 or self.weight_decay < 0:
            raise ValueError(f"lr is {self.lr} and weight_decay {self.weight_decay}; they must be > 0 and >= 0")

    def fit(self, features: np.ndarray, targets: np.ndarray) -> Self:
        x, y = training_data(features, targets)
        scaled_x, scaled_y = Standardiser.of(x), Standardiser.of(y)
        generator = torch.Generator().manual_seed(self.seed)
        members = _Members(self.members, [x.shape[1], *self.hidden, 1], generator)
        self._train(members, _tensor(scaled_x(x)), _tensor(scaled_y(y)), generator)
        self._state = _Fitted(scaled_x, scaled_y, members)
        return self

    def predict(self, features: np.ndarray) -> Prediction:
        state = fitted(self._state)
        x = _tensor(state.features(feature_rows(features, columns=len(state.features.mean))))
        outputs = [state.members(rows.expand(self.members, -1, -1)) for rows in x.split(BATCH_ROWS)]
        values = state.targets.mean + state.targets.scale * torch.cat(outputs, 1).double().numpy()
        return Prediction(values.mean(0), values.std(0, ddof=1) if self.members > 1 else None)

    def _train(self, members: _Members, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> None:
        optimiser = torch.optim.AdamW(members.parameters(), lr=self.lr, weight_decay=self.weight_decay, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.epochs)
        for _ in range(self.epochs):
            for rows in self._batches(len(x), generator):
                optimiser.zero_grad()
                # the sum over members keeps each one's gradient what it would be alone
                ((members(x[rows]) - y[rows]) ** 2).mean(1).sum().backward()
                optimiser.step()
            schedule.step()
        members.requires_grad_(False)

    def _batches(self, rows: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
        """Return row numbers [K, B], another order for each member."""
        orders = torch.stack([torch.randperm(rows, generator=generator) for _ in range(self.members)])
        return iter(orders.split(self.batch_size, dim=1))


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float32)
