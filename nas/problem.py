"""What is searched for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.archive import Direction
from nas.objectives import Bound, Cost, Objective, describe


@dataclass(frozen=True)
class Problem:
    """What is searched for.

    Args:
        exact: Exactly computable costs; all are recorded, and limits on them are kept without evaluating anything.
        measured: Objectives that take time, in the order they are evaluated.
        noted: What is recorded of a candidate where it has it, without deciding anything, such as proxies.
        optimised: Names of the objectives that are traded off.
        bounds: Hard limits by objective name.
    """

    exact: Sequence[Cost]
    measured: Sequence[Objective]
    optimised: Sequence[str]
    bounds: Mapping[str, Bound]
    noted: Sequence[Objective] = ()

    @property
    def objectives(self) -> list[Objective]:
        """Everything that is recorded of a candidate."""
        return [*self.measured, *self.exact]

    @property
    def directions(self) -> list[Direction]:
        """Name and direction of the objectives that are traded off."""
        maximise = {objective.name: objective.maximise for objective in self.objectives}
        return [(name, maximise[name]) for name in self.optimised]

    @property
    def computed(self) -> dict[int, Callable[[np.ndarray], np.ndarray]]:
        """Index of an optimised objective that is exact -> losses [N] of encodings [N, D]."""
        exact = {cost.name: cost for cost in self.exact}
        return {i: exact[name].evaluate_encodings for i, name in enumerate(self.optimised) if name in exact}

    @property
    def loss_limits(self) -> dict[int, float]:
        """Index of an optimised objective that is measured -> largest loss its bound allows; none at all where these
        do not say everything that the bounds on measured objectives do."""
        measured = {name: bound for name, bound in self.bounds.items() if name not in {c.name for c in self.exact}}
        limits = {}
        for i, (name, maximise) in enumerate(self.directions):
            bound = measured.pop(name, Bound())
            limit, other = (bound.low, bound.high) if maximise else (bound.high, bound.low)
            if other is not None:
                return {}
            if limit is not None:
                limits[i] = -limit if maximise else limit
        return {} if measured else limits

    def describe(self) -> list[dict[str, Any]]:
        """Every objective, for journals and reports; `optimised` ones first, in their order."""
        described = [describe(o, self.bounds.get(o.name)) for o in self.objectives]
        rank = {name: i for i, name in enumerate(self.optimised)}
        marked = [{**d, "optimised": d["name"] in rank} for d in described]
        return sorted(marked, key=lambda d: rank.get(d["name"], len(rank)))

    def exact_values(self, encodings: np.ndarray) -> dict[str, np.ndarray]:
        """Exact costs [N] by name, of encodings [N, D]."""
        return {cost.name: cost.evaluate_encodings(encodings) for cost in self.exact}

    def exact_violation(self, encodings: np.ndarray) -> np.ndarray:
        """How far encodings [N, D] break limits on exact costs [N]."""
        total = np.zeros(len(encodings))
        for cost in self.exact:
            if cost.name in self.bounds:
                bound = self.bounds[cost.name]
                total += [bound.violation(float(value)) for value in cost.evaluate_encodings(encodings)]
        return total

    def violation(self, values: Mapping[str, float]) -> float:
        """How far the limited values among these break their limits."""
        return sum(bound.violation(values[name]) for name, bound in self.bounds.items() if name in values)
