"""ParZC: a small Bayesian mixer network ranks architectures from their layer-wise zero-cost scores.

Paper: Dong et al., ParZC: Parametric Zero-Cost Proxies for Efficient NAS, AAAI 2025, arXiv 2402.02105: section 3 and
the released regressor of the scores alone (batch 10, 200 epochs, Adam 1e-4 with cosine to 0, weight decay 1e-3).
Differs: weights are their means at prediction, or averaged over draws, where the released code draws once and so ranks
at random. Labels are standardised with the training targets' own statistics, not with the benchmark's. Scores are
scaled per architecture as the paper says, each proxy by itself; the released loader does not scale (`scaling="none"`).
Fewer rows than a batch are one batch. The graph encoder of the ablation's "NP" rows and the training-free ParZC-dagger,
whose weighting we could not recover, are left out. `mix_segments`, `log`, `scaling="column"`, `width` and `depth` are
ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Self

import numpy as np
import torch

from nas.predictors.diff_kendall import diff_kendall_loss
from nas.predictors.mabn import MABN
from nas.predictors.predictor import Prediction, Standardiser, feature_rows, fitted, training_data

BATCH_ROWS = 256


class _Fitted(NamedTuple):
    network: MABN
    columns: int
    standardise: Standardiser | None


@dataclass(kw_only=True)
class ParZC:
    """A predictor from layer-wise scores [N, proxies * layers] to a ranking score: only the order of the means is
    meaningful.

    NaN counts as 0, as does the padding of networks with fewer layers: the depth is visible to the network.

    Attributes:
        proxies: How many blocks of equally many columns the features consist of, each scaled by itself.
        log: Take sign(x) log(1 + |x|) first; layer scores of one network can span many orders of magnitude.
        scaling: `architecture` takes each row's scores of one proxy to [0, 1], `column` standardises columns as seen in
            training, `none` takes scores as they are.
        mix_segments: Let the first feed-forward of each block act across segments; published: within each.
        draws: 0 predicts with mean weights; with 2 or more, that many draws of the weights give mean and std.
        width: Channels of each segment; time grows with its square.
        depth: Mixer blocks.
        dropout: Rate in training.
        epochs: Passes over the training rows.
        batch_size: Rows whose pairs are ranked together; a last, smaller batch is dropped.
        lr: Learning rate of Adam, falling to 0 as a cosine.
        weight_decay: Weight decay of Adam.
        device: Device to train and predict on, as torch names it.
        seed: Seed of initial weights, order of rows, and noise.
    """

    proxies: int = 1
    log: bool = False
    scaling: Literal["architecture", "column", "none"] = "architecture"
    mix_segments: bool = False
    draws: int = 0
    width: int = 512
    depth: int = 4
    dropout: float = 0.1
    epochs: int = 200
    batch_size: int = 10
    lr: float = 1e-4
    weight_decay: float = 1e-3
    device: str = "cpu"
    seed: int = 0
    _state: _Fitted | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.scaling not in ("architecture", "column", "none"):
            raise ValueError(f"scaling is {self.scaling!r}; allowed: architecture, column, none")
        if self.draws < 0 or self.draws == 1:
            raise ValueError(f"draws is {self.draws}; it must be 0 (mean weights) or at least 2")
        lowest = {"proxies": 1, "width": 2, "depth": 1, "epochs": 1, "batch_size": 2}
        for name, least in lowest.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must lie in [0, 1)")
        if self.lr <= 0 or self.weight_decay < 0:
            raise ValueError(f"lr is {self.lr} and weight_decay {self.weight_decay}; they must be > 0 and >= 0")

    def fit(self, features: np.ndarray, targets: np.ndarray) -> Self:
        """Learn as every predictor; moreover, targets must differ and columns be a multiple of `proxies`."""
        x, y = training_data(features, targets, nan_allowed=True)
        if np.ptp(y) == 0:
            raise ValueError(f"targets are all {y[0]}; there is no order to learn")
        x = self._compressed(x)
        standardise = Standardiser.of(x) if self.scaling == "column" else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = MABN(
                x.shape[1], width=self.width, depth=self.depth, dropout=self.dropout, mix_segments=self.mix_segments
            )
        self._train(network.to(self.device), self._scaled(x, standardise), self._tensor(Standardiser.of(y)(y)))
        self._state = _Fitted(network, x.shape[1], standardise)
        return self

    def predict(self, features: np.ndarray) -> Prediction:
        network, columns, standardise = fitted(self._state)
        x = feature_rows(features, columns=columns, nan_allowed=True)
        inputs = self._scaled(self._compressed(x), standardise)
        if not self.draws:
            return Prediction(self._scores(network, inputs, None))
        drawn = np.stack([self._scores(network, inputs, draw) for draw in range(self.draws)])
        return Prediction(drawn.mean(0), drawn.std(0, ddof=1))

    def _train(self, network: MABN, x: torch.Tensor, y: torch.Tensor) -> None:
        order, noise = self._generator("cpu", 0), self._generator(self.device, 1)
        optimiser = torch.optim.Adam(network.parameters(), lr=self.lr, weight_decay=self.weight_decay, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.epochs)
        network.train()
        for _ in range(self.epochs):
            for rows in self._batches(len(x), order):
                optimiser.zero_grad()
                diff_kendall_loss(network(x[rows], noise), y[rows]).backward()
                optimiser.step()
            schedule.step()
        network.eval().requires_grad_(False)

    def _batches(self, rows: int, order: torch.Generator) -> Iterator[torch.Tensor]:
        size = min(self.batch_size, rows)
        shuffled = torch.randperm(rows, generator=order).to(self.device)
        return iter(shuffled[: rows // size * size].split(size))

    def _scores(self, network: MABN, inputs: torch.Tensor, draw: int | None) -> np.ndarray:
        """Return scores [M]; all batches have the same drawn weights: a score does not depend on its neighbours."""
        parts = [
            network(batch, None if draw is None else self._generator(self.device, 2 + draw))
            for batch in inputs.split(BATCH_ROWS)
        ]
        return torch.cat(parts).double().cpu().numpy()

    def _compressed(self, x: np.ndarray) -> np.ndarray:
        if x.shape[1] % self.proxies:
            raise ValueError(f"features have {x.shape[1]} columns; they must be a multiple of proxies={self.proxies}")
        x = np.nan_to_num(x, nan=0.0)
        return np.sign(x) * np.log1p(np.abs(x)) if self.log else x

    def _scaled(self, x: np.ndarray, standardise: Standardiser | None) -> torch.Tensor:
        if standardise is not None:
            x = standardise(x)
        elif self.scaling == "architecture":
            blocks = x.reshape(len(x), self.proxies, x.shape[1] // self.proxies)
            low, span = blocks.min(2, keepdims=True), np.ptp(blocks, axis=2, keepdims=True)
            x = ((blocks - low) / np.where(span > 0, span, 1.0)).reshape(x.shape)
        largest = np.abs(x).max(initial=0.0)
        if largest > np.finfo(np.float32).max:
            raise ValueError(f"features: {largest:.3g} is beyond float32; use log=True or another scaling")
        return self._tensor(x)

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)

    def _generator(self, device: str, stream: int) -> torch.Generator:
        state = np.random.SeedSequence([self.seed, stream]).generate_state(1, np.uint64)[0]
        return torch.Generator(device).manual_seed(int(state >> np.uint64(1)))
