"""Logits of the choices of a space, and the weights of choices that a pass draws from them.

Paper: DARTS, arXiv 1806.09055 (softmax); sparsemax, Martins & Astudillo, arXiv 1602.02068; GDAS, arXiv 1910.04465;
DrNAS, arXiv 2006.10355; TangleNAS, PMLR v256, for their use on entangled weights.
Differs: the straight-through weight of GDAS is exactly 1. Choices that it does not draw do not run, and terms whose
value is zero are left out with their gradient; one released version keeps them. Draws of it that are not finite are
repeated a hundred times at most. The regulariser of DrNAS is half the squared distance of the concentrations from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import Relaxation
from search_spaces.vectors import Vectors
from supernets.learned import Learned, concentration, sparsemax
from supernets.training.relaxation_config import RelaxationConfig

_DRAWS = 100
_SPREAD = 1e-3  # of the logits at first, as published


@dataclass(frozen=True)
class Noise:
    """What one draw of weights depends on beside the logits.

    Attributes:
        gumbel: Noise of each group of vectors [V, C], for GDAS.
        seed: Seed of the draw of a Dirichlet distribution.
        temperature: Temperature of GDAS.
    """

    gumbel: Sequence[Tensor] = ()
    seed: int = 0
    temperature: float = 1.0


@dataclass(eq=False)
class Relaxed:
    """Logits of all vectors of a space, on the CPU; vectors with as many choices make one tensor.

    Args:
        vectors: Vectors that have weights.
        config: Method and regulariser.
        generator: Draws the first logits, small numbers around 0.

    Attributes:
        logits: One tensor [V, C] for each number C of choices.
    """

    vectors: Vectors
    config: RelaxationConfig
    generator: np.random.Generator
    logits: list[nn.Parameter] = field(init=False)

    def __post_init__(self) -> None:
        counts = sorted({len(vector.choices) for vector in self.vectors.all})
        self._groups = [[vector for vector in self.vectors.all if len(vector.choices) == count] for count in counts]
        self.logits = [
            nn.Parameter(torch.from_numpy(_SPREAD * self.generator.standard_normal((len(group), count))).float())
            for group, count in zip(self._groups, counts)
        ]

    # ---- draws ------------------------------------------------------------------------------------------------------

    def noise(self, generator: np.random.Generator, temperature: float = 1.0) -> Noise:
        """Return what a draw of weights needs; the same noise gives the same draw for the same logits.

        Raises:
            FloatingPointError: The logits are not finite.
        """
        if self.config.method == "drnas":
            return Noise(seed=int(generator.integers(2**62)))
        if self.config.method != "gdas":
            return Noise()
        for _ in range(_DRAWS):
            gumbel = [torch.from_numpy(generator.gumbel(size=tuple(one.shape))).to(one.dtype) for one in self.logits]
            noise = Noise(gumbel=gumbel, temperature=temperature)
            with torch.no_grad():
                if all(bool(part.isfinite().all()) for part in self._perturbed(noise)):
                    return noise
        raise FloatingPointError("weights of choices are not finite: the logits have diverged")

    def weights(self, noise: Noise) -> list[Tensor]:
        """Return the weights [V, C] of each group of vectors, in the graph of the logits.

        Weights of `gdas` are those of the chosen choices, 1, and 0 for all others.
        """
        match self.config.method:
            case "sparsemax":
                return [sparsemax(one) for one in self.logits]
            case "gdas":
                return [_straight_through(part) for part in self._perturbed(noise)]
            case "drnas":
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(noise.seed)
                    return [torch.distributions.Dirichlet(concentration(one)).rsample() for one in self.logits]
        return [one.softmax(1) for one in self.logits]

    def uniform(self) -> list[Tensor]:
        """Return equal weights of all choices."""
        return [torch.full_like(one, 1 / one.shape[1], requires_grad=False) for one in self.logits]

    def _perturbed(self, noise: Noise) -> list[Tensor]:
        return [((one.log_softmax(1) + g) / noise.temperature).softmax(1) for one, g in zip(self.logits, noise.gumbel)]

    def setting(self, weights: Sequence[Tensor], like: Tensor) -> Relaxation:
        """Return the mixture with these weights; a choice whose weight is 0 does not run.

        Args:
            weights: What `weights` gave.
            like: Gives device and type.
        """
        values = [part.tolist() for part in weights]
        moved = torch.cat([part.reshape(-1) for part in weights]).to(like.device, like.dtype).unbind()
        place, found = 0, {}
        for group, rows in zip(self._groups, values):
            for vector, row in zip(group, rows):
                there = zip(vector.choices, row, moved[place : place + len(row)])
                found[vector.name] = {choice: weight for choice, value, weight in there if value != 0}
                place += len(row)
        return self.vectors.relaxation(found)

    # ---- what is learned --------------------------------------------------------------------------------------------

    def regulariser(self) -> Tensor | None:
        """Return what is added to the loss of the logits; None where nothing is."""
        if self.config.method != "drnas" or not self.config.decay:
            return None
        distances = [(concentration(one) - 1).square().sum() for one in self.logits]
        return self.config.decay / 2 * torch.stack(distances).sum()

    def expected(self) -> dict[str, Tensor]:
        """Return the mean weights [C] of the choices of every vector by name, in the graph of the logits."""
        match self.config.method:
            case "sparsemax":
                means = [sparsemax(one) for one in self.logits]
            case "drnas":
                means = [concentration(one) / concentration(one).sum(1, keepdim=True) for one in self.logits]
            case _:
                means = [one.softmax(1) for one in self.logits]
        return {vector.name: row for group, part in zip(self._groups, means) for vector, row in zip(group, part)}

    def learned(self) -> Learned:
        """Return the logits by the names of vectors; they follow those that learn."""
        rows = {
            vector.name: row
            for group, part in zip(self._groups, self.logits)
            for vector, row in zip(group, part.detach().unbind())
        }
        return Learned(self.config.method, {vector.name: rows[vector.name] for vector in self.vectors.all})

    def named_probabilities(self) -> dict[str, float]:
        """Return the probabilities as numbers by vector and choice, such as ``edge0_1/skip_connect``."""
        found = self.learned().probabilities()
        return {
            f"{vector.name}/{choice}": float(p)
            for vector in self.vectors.all
            for choice, p in zip(vector.choices, found[vector.name])
        }

    def state_dict(self) -> list[Tensor]:
        """Return a copy of the logits."""
        return [one.detach().clone() for one in self.logits]

    @torch.no_grad()
    def load_state_dict(self, state: Sequence[Tensor]) -> None:
        """Take logits that `state_dict` gave.

        Raises:
            ValueError: They are of other vectors.
        """
        if [tuple(one.shape) for one in state] != [tuple(one.shape) for one in self.logits]:
            raise ValueError("its logits are of other decisions")
        for one, kept in zip(self.logits, state):
            one.copy_(kept)


def _straight_through(probabilities: Tensor) -> Tensor:
    """Return one-hot weights [V, C] with the gradient of the probabilities for what is chosen."""
    chosen = F.one_hot(probabilities.argmax(1), probabilities.shape[1]).to(probabilities.dtype)
    return chosen * (1 + (probabilities - probabilities.detach()))
