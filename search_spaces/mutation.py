"""Small random changes of architectures."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from search_spaces.architecture import Architecture, Choice, Decision

_DRAWS_BEFORE_WIDER = 50


def mutated(
    decisions: Sequence[Decision],
    member: Callable[[Mapping[str, Choice]], Architecture | None],
    architecture: Architecture,
    generator: np.random.Generator,
    *,
    rate: float,
    draws: int,
) -> Architecture | None:
    """Return a different architecture near this one, or None where this many draws found none; see `Space.mutate`.

    Args:
        decisions: Decisions of the space.
        member: Makes an architecture of values of all decisions; None where they are no member.
        architecture: The one to change.
        generator: Generator of the draws.
        rate: Probability that a decision is redrawn.
        draws: Most draws.
    """
    free = [d for d in decisions if d.name in architecture and len(d.choices) > 1]
    for draw in range(draws if free else 0):
        least = min(1 + draw // _DRAWS_BEFORE_WIDER, len(free))
        chosen = [d for d in free if generator.random() < rate]
        while len(chosen) < least:
            chosen.append(free[generator.integers(len(free))])
        mutant = member(_redrawn(decisions, chosen, architecture, generator))
        if mutant is not None and mutant != architecture:
            return mutant
    return None


def _redrawn(
    decisions: Sequence[Decision],
    chosen: Sequence[Decision],
    architecture: Architecture,
    generator: np.random.Generator,
) -> dict[str, Choice]:
    """Return the values of all decisions; the chosen ones differ from those of the architecture."""
    values = {d.name: d.choices[generator.integers(len(d.choices))] for d in decisions}
    values.update(architecture)
    for decision in chosen:
        others = [choice for choice in decision.choices if choice != architecture[decision.name]]
        values[decision.name] = others[generator.integers(len(others))]
    return values
