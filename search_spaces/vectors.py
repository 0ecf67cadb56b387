"""Vectors of weights that a space is relaxed by, and the way from them to architectures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from search_spaces.architecture import Choice, Decision, Relaxation, Weight

Scores: TypeAlias = Mapping[str, np.ndarray]
"""Logarithms of the probabilities of the choices of each vector, by its name."""


@dataclass(frozen=True)
class Vectors:
    """The vectors of weights that a space is relaxed by.

    Args:
        all: Names and choices of the vectors, two or more; elastic layers follow these names in a mixture.
        values: Scores -> the decisions of the architecture with the best ones.
        score: Scores, and the decisions of an architecture -> the sum of the scores of what it has; `values` gives the
            architecture with the highest. A decision that is inactive counts as its best choice.
        fixed: Decisions that have one choice only.
    """

    all: tuple[Decision, ...]
    values: Callable[[Scores], dict[str, Choice]]
    score: Callable[[Scores, Mapping[str, Choice]], float]
    fixed: Mapping[str, Choice] = field(default_factory=dict)

    def relaxation(self, weights: Mapping[str, Mapping[Choice, Weight]]) -> Relaxation:
        """Return the mixture in which each vector has these weights of choices."""
        return Relaxation({**self.fixed, **weights})


def vectors_of_decisions(decisions: tuple[Decision, ...]) -> Vectors:
    """Return one vector for each decision that leaves a choice."""
    free = tuple(d for d in decisions if len(d.choices) > 1)
    fixed = {d.name: d.choices[0] for d in decisions if len(d.choices) == 1}
    places = {d.name: {choice: i for i, choice in enumerate(d.choices)} for d in free}

    def values(scores: Scores) -> dict[str, Choice]:
        return {**fixed, **{d.name: d.choices[int(np.argmax(scores[d.name]))] for d in free}}

    def score(scores: Scores, architecture: Mapping[str, Choice]) -> float:
        best = {name: float(scores[name].max()) for name in architecture if name in places}
        return sum((float(scores[name][places[name][architecture[name]]]) - most for name, most in best.items()), 0.0)

    return Vectors(free, values, score, fixed)
