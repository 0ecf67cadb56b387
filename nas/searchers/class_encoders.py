"""Encoders that say how the decisions of one class should be made, from all others of an architecture.

Paper: Zhou et al., Auto-GNN, arXiv 1909.03184, section 4; sizes and rates of the controller as in GraphNAS, 1904.09981.
Differs: nothing known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

HIDDEN = 100


def class_of(decision: str) -> str:
    """Return the class of a decision: the last part of its name, without numbers."""
    return re.sub(r"\d+", "", decision.rsplit(".", 1)[-1]).strip("_")


def classes_of(decisions: Sequence[str]) -> dict[str, list[int]]:
    """Return class -> the places of its decisions, which may be made together."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(decisions):
        found.setdefault(class_of(name), []).append(place)
    return found


@dataclass(frozen=True, kw_only=True)
class ControllerConfig:
    """The settings of encoders.

    Args:
        lr: Learning rate of Adam.
        temperature: Divides the scores of choices.
        tanh_constant: Largest score of a choice.
        entropy_weight: Weight of the entropy in what is maximised.
    """

    lr: float
    temperature: float
    tanh_constant: float
    entropy_weight: float


class ClassEncoder(nn.Module):
    """Reads the decisions of an architecture outside a class, and scores the choices of those inside.

    Args:
        choice_counts: Choices of every decision [D].
        places: Decisions of the class.
        config: Its settings.
    """

    def __init__(self, choice_counts: np.ndarray, places: Sequence[int], config: ControllerConfig) -> None:
        super().__init__()
        self.places, self.config = list(places), config
        self.others = [place for place in range(len(choice_counts)) if place not in set(places)]
        first = np.concatenate([[0], np.cumsum(choice_counts)])
        self.first, self.start = torch.from_numpy(first[self.others]), int(first[-1])
        self.tokens = nn.Embedding(self.start + 1, HIDDEN)  # the last one stands at the beginning
        self.cell = nn.LSTM(HIDDEN, HIDDEN)
        self.heads = nn.ModuleList([nn.Linear(HIDDEN, int(choice_counts[place])) for place in places])
        self.optimizer = torch.optim.Adam(self.parameters(), lr=config.lr)

    def distributions(self, encoding: np.ndarray) -> list[Tensor]:
        """Return the logarithms of the probabilities of choices [C] of each decision of the class.

        Args:
            encoding: The architecture [D], of which the decisions of the class are not read.
        """
        read = self.first + torch.from_numpy(encoding[self.others])
        tokens = torch.cat([torch.tensor([self.start]), read])
        _, (state, _) = self.cell(self.tokens(tokens))
        config = self.config
        return [
            (config.tanh_constant * torch.tanh(head(state[0]) / config.temperature)).log_softmax(0)
            for head in self.heads
        ]

    def learn(self, encoding: np.ndarray, chosen: Sequence[int], reward: float) -> None:
        """Take a step of REINFORCE.

        Args:
            encoding: What was read.
            chosen: The choice of each decision of the class.
            reward: Reward of these choices, less its baseline.
        """
        logarithms = self.distributions(encoding)
        likelihood = torch.stack([row[choice] for row, choice in zip(logarithms, chosen, strict=True)]).sum()
        self.optimizer.zero_grad()
        (-(reward * likelihood) - self.config.entropy_weight * _entropy(logarithms)).backward()
        self.optimizer.step()


def _entropy(logarithms: Sequence[Tensor]) -> Tensor:
    return -torch.stack([(row.exp() * row).sum() for row in logarithms]).sum()


class ClassEncoders:
    """One encoder for each class of decisions.

    Args:
        names: Names of the decisions.
        choice_counts: Choices of each of them [D].
        config: Settings of the encoders.
        seed: Seed of their first weights.
    """

    def __init__(self, names: Sequence[str], choice_counts: np.ndarray, config: ControllerConfig, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoders = {
                name: ClassEncoder(choice_counts, places, config) for name, places in classes_of(names).items()
            }

    @torch.no_grad()
    def probabilities(self, encoding: np.ndarray) -> dict[str, list[np.ndarray]]:
        """Return class -> the probabilities of the choices [C] of each of its decisions."""
        return {
            name: [np.exp(row.double().numpy()) for row in encoder.distributions(encoding)]
            for name, encoder in self.encoders.items()
        }

    def by_entropy(self, encoding: np.ndarray) -> Iterator[tuple[str, list[np.ndarray]]]:
        """Yield the classes and their probabilities, that of the highest decision entropy first."""
        found = self.probabilities(encoding)
        yield from sorted(found.items(), key=lambda one: -decision_entropy(one[1]))


def decision_entropy(probabilities: Sequence[np.ndarray]) -> float:
    """Return the sum of the entropies of decisions in nats."""
    return float(-sum((row * np.log(np.maximum(row, 1e-300))).sum() for row in probabilities))
