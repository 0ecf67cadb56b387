"""A recurrent policy over decisions: each is drawn from what was chosen before it.

Paper: the controller of NASAIC, arXiv 2002.04116, after Zoph & Le, arXiv 1611.01578; size, temperature and range of the
scores as in GraphNAS, arXiv 1904.09981.
Differs: nothing known.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

HIDDEN = 100
_TEMPERATURE, _MOST_SCORE, _ENTROPY = 5.0, 2.5, 1e-4


class DecisionPolicy(nn.Module):
    """An LSTM that reads the choices made so far and scores those of the next decision.

    Args:
        choice_counts: Choices of every decision [D].
        lr: Learning rate of Adam.
        seed: Seed of the first weights.
    """

    def __init__(self, choice_counts: np.ndarray, lr: float, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = np.concatenate([[0], np.cumsum(choice_counts)])
            self.tokens = nn.Embedding(int(self.first[-1]) + 1, HIDDEN)  # the last one stands at the beginning
            self.cell = nn.LSTMCell(HIDDEN, HIDDEN)
            self.heads = nn.ModuleList([nn.Linear(HIDDEN, int(count)) for count in choice_counts])
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr)

    @torch.no_grad()
    def drawn(self, given: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return choices [D]; those that are given are kept, and those that are -1 are drawn."""
        return self._walk(given, generator)[0]

    def learn(self, choices: np.ndarray, advantage: float) -> None:
        """Take a step of REINFORCE.

        Args:
            choices: What was chosen [D].
            advantage: Reward of it, less its baseline.
        """
        _, likelihood, entropy = self._walk(choices, None)
        self.optimizer.zero_grad()
        (-(advantage * likelihood) - _ENTROPY * entropy).backward()
        self.optimizer.step()

    def _walk(self, given: np.ndarray, generator: np.random.Generator | None) -> tuple[np.ndarray, Tensor, Tensor]:
        """Return the choices [D], the logarithm of their probability, and the entropy on the way."""
        token, state = int(self.first[-1]), None
        choices = np.array(given, dtype=np.int64)
        likelihood, entropy = torch.zeros(()), torch.zeros(())
        for place, head in enumerate(self.heads):
            state = self.cell(self.tokens(torch.tensor([token])), state)
            scores = _MOST_SCORE * torch.tanh(head(state[0][0]) / _TEMPERATURE)
            logarithms = scores.log_softmax(0)
            if choices[place] < 0:
                assert generator is not None
                probabilities = np.exp(logarithms.double().numpy())
                choices[place] = generator.choice(len(probabilities), p=probabilities / probabilities.sum())
            likelihood = likelihood + logarithms[int(choices[place])]
            entropy = entropy - (logarithms.exp() * logarithms).sum()
            token = int(self.first[place] + choices[place])
        return choices, likelihood, entropy
