"""What is relaxed in a space: every decision has weights of its choices, or edges of a graph have them instead.

Blocks beyond the chosen depth have decisions that depend on it. A mixture mixes the outputs of the depths, and a block
counts as much as the depths that have it, so these decisions have weights like all others.
"""

from search_spaces.errors import FieldError
from search_spaces.space import Space
from search_spaces.vectors import Vectors, vectors_of_decisions


def relaxing(space: Space) -> Vectors:
    """Return the vectors of weights that a space is relaxed by.

    Raises:
        FieldError: Its decisions have no weights of their own, or one says which inputs there are.
    """
    if space.vectors is not None:
        return space.vectors
    if space.fold is not None:
        raise FieldError(
            "relaxation",
            f"must be null: decisions of {space.name} depend on each other and have no weights of their own",
        )
    for decision in space.decisions:
        if decision.name in space.shared_decisions and len(decision.choices) > 1:
            several = f"{decision.name} of {space.name} has {len(decision.choices)} choices"
            raise FieldError("relaxation", f"must be null: {several}, and a mixture has inputs of one size")
    return vectors_of_decisions(space.decisions)
