"""Search problems with known answers."""

import numpy as np

from nas.objectives import Bound, Objective, Role, costs_of
from nas.search.problem import Problem
from search_spaces import Architecture, Columns, Decision, Space
from supernets.estimate import Estimate


def bits(n: int = 12) -> Space:
    """`n` binary decisions; MACs count the ones, parameters are ten times as many."""

    def cost(columns: Columns) -> dict[str, np.ndarray]:
        ones = sum(columns[f"bit{i}"].astype(np.int64) for i in range(n))
        return {"params": 10 * ones, "macs": ones}

    return Space(name="bits", decisions=tuple(Decision(f"bit{i}", (0, 1)) for i in range(n)), cost=cost)


class Leading(Objective):
    """Accuracy: number of leading ones, so that the true front is every prefix of ones."""

    name, unit, maximise = "accuracy", "%", True
    role: Role = "quality"

    def __init__(self) -> None:
        self.calls: list[Architecture] = []

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        self.calls.append(architecture)
        values = list(architecture.values())
        return Estimate(float(values.index(0) if 0 in values else len(values)))


def problem(space: Space, objective=None, **bounds: Bound) -> Problem:
    return Problem(
        objectives=[*costs_of(space), objective or Leading()],
        optimised=["accuracy", "macs"],
        bounds=bounds,
    )
