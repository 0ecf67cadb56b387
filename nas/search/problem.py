"""What is searched for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from nas.objectives.objective import (
    Bound,
    Computed,
    Objective,
    Predicted,
    describe,
    is_computed,
    is_measured,
    is_predicted,
)
from nas.search.pareto import Direction


@dataclass(frozen=True)
class Problem:
    """What is searched for.

    Limits on computed objectives are kept without evaluating anything, and limits on predicted ones by the far end of
    their intervals. Measured objectives take time and are evaluated in the order given.

    Args:
        objectives: All objectives that are recorded for a candidate.
        optimised: Names of the objectives that are traded off.
        bounds: Hard limits by objective name.
        noted: Names of values that are recorded where a candidate has them, and decide nothing, such as proxies.
    """

    objectives: Sequence[Objective]
    optimised: Sequence[str]
    bounds: Mapping[str, Bound]
    noted: Sequence[Objective] = ()

    @cached_property
    def computed(self) -> list[Computed]:
        """The objectives that are computed exactly."""
        return [objective for objective in self.objectives if is_computed(objective)]

    @cached_property
    def predicted(self) -> list[Predicted]:
        """The objectives that are predicted."""
        return [objective for objective in self.objectives if is_predicted(objective)]

    @cached_property
    def measured(self) -> list[Objective]:
        """The objectives that take time."""
        return [objective for objective in self.objectives if is_measured(objective)]

    @cached_property
    def ordered(self) -> list[Objective]:
        """All objectives: `optimised` ones first, in their order, then what is measured, predicted, computed."""
        rank = {name: i for i, name in enumerate(self.optimised)}
        by_source: list[Objective] = [*self.measured, *self.predicted, *self.computed]
        return sorted(by_source, key=lambda objective: rank.get(objective.name, len(rank)))

    @property
    def directions(self) -> list[Direction]:
        """Name and direction of the objectives that are traded off."""
        maximise = {objective.name: objective.maximise for objective in self.objectives}
        return [(name, maximise[name]) for name in self.optimised]

    @property
    def exact_losses(self) -> dict[int, Callable[[np.ndarray], np.ndarray]]:
        """Index of an optimised objective that is computed or predicted -> losses [N] of encodings [N, D]."""
        known = {objective.name: objective for objective in (*self.computed, *self.predicted)}
        return {i: known[name].evaluate_encodings for i, name in enumerate(self.optimised) if name in known}

    @property
    def loss_limits(self) -> dict[int, float]:
        """Index of an optimised objective that is measured -> largest loss its bound allows; none at all where these
        do not say everything that the bounds on measured objectives do."""
        known = {objective.name for objective in (*self.computed, *self.predicted)}
        measured = {name: bound for name, bound in self.bounds.items() if name not in known}
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
        """Return every objective, for journals and reports; `optimised` ones first, in their order."""
        return [{**describe(o, self.bounds.get(o.name)), "optimised": o.name in self.optimised} for o in self.ordered]

    def known(self, encodings: np.ndarray) -> list["Known"]:
        """Return what is known of encodings [N, D] without evaluating them."""
        exact = {cost.name: cost.evaluate_encodings(encodings) for cost in self.computed}
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
        """Return how far encodings [N, D] break limits [N] on what is computed or, by far ends, predicted."""
        total = np.zeros(len(encodings))
        for objective in self.predicted:
            if objective.name in self.bounds:
                bound = self.bounds[objective.name]
                _, low, high = objective.estimate_encodings(encodings)
                total += [bound.violation_within(*map(float, ends)) for ends in zip(low, high)]
        for cost in self.computed:
            if cost.name in self.bounds:
                bound = self.bounds[cost.name]
                total += [bound.violation(float(value)) for value in cost.evaluate_encodings(encodings)]
        return total

    def violation(self, values: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]) -> float:
        """Return how far the limited values break their limits; predicted ones by the ends of their intervals."""
        predicted = {objective.name for objective in self.predicted}
        return sum(
            bound.violation_within(*intervals[name]) if name in predicted else bound.violation(values[name])
            for name, bound in self.bounds.items()
            if name in values
        )


class Known(NamedTuple):
    """What is known about an architecture without evaluating it: values, and intervals of predicted ones."""

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
