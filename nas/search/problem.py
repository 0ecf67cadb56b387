"""What is searched for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nas.objectives import Bound, Computed, Objective, describe
from nas.objectives.objective import Predicted
from nas.search.pareto import Direction


@dataclass(frozen=True)
class Problem:
    """What is searched for.

    Args:
        exact: Exactly computable costs; all are recorded, and limits on them are kept without evaluating anything.
        predicted: The same for predictions; a limit is kept by the far end of their intervals.
        measured: Objectives that take time, in the order they are evaluated.
        noted: What is recorded of a candidate where it has it, without deciding anything, such as proxies.
        optimised: Names of the objectives that are traded off.
        bounds: Hard limits by objective name.
    """

    exact: Sequence[Computed]
    measured: Sequence[Objective]
    optimised: Sequence[str]
    bounds: Mapping[str, Bound]
    noted: Sequence[Objective] = ()
    predicted: Sequence[Predicted] = ()

    @property
    def objectives(self) -> list[Objective]:
        """Everything that is recorded of a candidate."""
        return [*self.measured, *self.predicted, *self.exact]

    @property
    def directions(self) -> list[Direction]:
        """Name and direction of the objectives that are traded off."""
        maximise = {objective.name: objective.maximise for objective in self.objectives}
        return [(name, maximise[name]) for name in self.optimised]

    @property
    def computed(self) -> dict[int, Callable[[np.ndarray], np.ndarray]]:
        """Index of an optimised objective that is exact or predicted -> losses [N] of encodings [N, D]."""
        exact = {cost.name: cost for cost in (*self.exact, *self.predicted)}
        return {i: exact[name].evaluate_encodings for i, name in enumerate(self.optimised) if name in exact}

    @property
    def loss_limits(self) -> dict[int, float]:
        """Index of an optimised objective that is measured -> largest loss its bound allows; none at all where these
        do not say everything that the bounds on measured objectives do."""
        computed = {objective.name for objective in (*self.exact, *self.predicted)}
        measured = {name: bound for name, bound in self.bounds.items() if name not in computed}
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

    def known(self, encodings: np.ndarray) -> list["Known"]:
        """What is known of encodings [N, D] without evaluating them."""
        exact = {cost.name: cost.evaluate_encodings(encodings) for cost in self.exact}
        predicted = {p.name: p.estimate_encodings(encodings) for p in self.predicted}
        return [
            Known(
                {name: values[i].item() for name, values in exact.items()}
                | {name: values[i].item() for name, (values, _, _) in predicted.items()},
                {name: (low[i].item(), high[i].item()) for name, (_, low, high) in predicted.items()},
            )
            for i in range(len(encodings))
        ]

    def exact_violation(self, encodings: np.ndarray) -> np.ndarray:
        """How far encodings [N, D] break limits on exact costs and, by the ends of intervals, on predictions [N]."""
        total = np.zeros(len(encodings))
        for objective in self.predicted:
            if objective.name in self.bounds:
                bound = self.bounds[objective.name]
                _, low, high = objective.estimate_encodings(encodings)
                total += [bound.violation_within(*map(float, ends)) for ends in zip(low, high)]
        for cost in self.exact:
            if cost.name in self.bounds:
                bound = self.bounds[cost.name]
                total += [bound.violation(float(value)) for value in cost.evaluate_encodings(encodings)]
        return total

    def violation(self, values: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]) -> float:
        """How far the limited values among these break their limits; predicted ones by the ends of their intervals."""
        predicted = {objective.name for objective in self.predicted}
        return sum(
            bound.violation_within(*intervals[name]) if name in predicted else bound.violation(values[name])
            for name, bound in self.bounds.items()
            if name in values
        )


class Known(NamedTuple):
    """What is known of an architecture without evaluating it: values, and intervals of those that are predicted."""

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
