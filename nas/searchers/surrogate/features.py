"""The features of an architecture that a surrogate sees."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from search_spaces import Decision, Space

_SAMPLE = 512  # random architectures by which the numeric columns are standardised
_MOST_NUMBERS = 24  # summary columns; more would outweigh the rest

Columns = Callable[[np.ndarray], np.ndarray]
"""Encodings [N, D] -> further columns [N, C], such as proxies; what is not finite counts as the mean."""


class Features:
    """Encodings as columns in groups: each decision one-hot, and numbers.

    A decision is a group of columns in which different choices are 1 apart, inactive being a choice of its own. Where
    the choices are numbers, half of that distance is by their order. Numbers are the logarithms of exact costs, the
    traits of the space, further columns, and how often each choice occurs among decisions of the same kind (their sum,
    where choices are numbers), in all and by stage; each is a group of its own, standardised over random architectures.

    Args:
        space: Space of the architectures.
        generator: Generator of the random architectures.
        further: Further columns.
    """

    def __init__(self, space: Space, generator: np.random.Generator, further: Sequence[Columns] = ()) -> None:
        self.space, self.further = space, tuple(further)
        self._free = [i for i, decision in enumerate(space.decisions) if len(decision.choices) > 1]
        self._tables = [_choice_columns(space.decisions[i]) for i in self._free]
        self._kinds = _kinds(space)
        self.has_costs = bool(space.cost_names)
        sample = space.sample_encodings(_SAMPLE, generator).astype(np.int64)
        numbers = self._numbers(sample)
        with np.errstate(invalid="ignore"):
            self._mean = np.nan_to_num(np.nanmean(np.where(np.isfinite(numbers), numbers, np.nan), axis=0))
            spread = np.nanstd(np.where(np.isfinite(numbers), numbers, np.nan), axis=0)
        self._kept = np.flatnonzero(spread > 1e-9)[:_MOST_NUMBERS]
        self._scale = np.where(spread > 1e-9, spread, 1.0)
        widths = [table.shape[1] for table in self._tables]
        self.groups = np.concatenate(
            [np.repeat(np.arange(len(widths)), widths), len(widths) + np.arange(len(self._kept))]
        ).astype(int)
        self.numeric = list(range(len(widths), len(widths) + len(self._kept)))

    def __call__(self, encodings: np.ndarray) -> np.ndarray:
        """Return the features [N, F] of canonical encodings [N, D]."""
        active = self.space.active(encodings)
        choices = [table[np.where(active[:, i], encodings[:, i] + 1, 0)] for i, table in zip(self._free, self._tables)]
        numbers = self._numbers(encodings)
        numbers = (np.where(np.isfinite(numbers), numbers, self._mean) - self._mean) / self._scale
        return np.concatenate([*choices, np.clip(numbers, -5, 5)[:, self._kept]], axis=1)

    def costs(self, encodings: np.ndarray) -> np.ndarray:
        """Return logarithms of exact costs [N, C] by name, or [N, 0] where the space has none."""
        if not self.has_costs:
            return np.zeros((len(encodings), 0))
        costs = self.space.costs(encodings)
        return np.log1p(np.stack([costs[name] for name in sorted(costs)], axis=1).astype(float))

    def _numbers(self, encodings: np.ndarray) -> np.ndarray:
        active = self.space.active(encodings)
        columns = [self.costs(encodings), self.space.traits_of(encodings)]
        columns += [np.asarray(further(encodings), dtype=float).reshape(len(encodings), -1) for further in self.further]
        columns += [_summary(encodings[:, kind], active[:, kind], decision) for kind, decision in self._kinds]
        return np.concatenate(columns, axis=1)


def _choice_columns(decision: Decision) -> np.ndarray:
    """Return rows of columns: inactive, then each choice; squared distances are 1, less between near numbers."""
    n = len(decision.choices)
    one_hot = np.eye(n + 1) * np.sqrt(0.5)
    if n < 3 or not _is_numeric(decision):
        return one_hot
    steps = np.arange(n)[:, None] > np.arange(n - 1)[None]
    ladder = np.concatenate([np.full((1, n - 1), 0.5), steps.astype(float)]) * np.sqrt(0.5 / (n - 1))
    return np.concatenate([one_hot * np.sqrt(0.5), ladder], axis=1)


def _is_numeric(decision: Decision) -> bool:
    return all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in decision.choices)


def _kinds(space: Space) -> list[tuple[np.ndarray, Decision]]:
    """Return columns of decisions with the same choices, all together and by stage, and one of these decisions."""
    found: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, decision in enumerate(space.decisions):
        if len(decision.choices) > 1:
            kind = decision.name.rpartition(".")[2] if "." in decision.name else ""
            stage = decision.name.partition(".")[0] if "." in decision.name else ""
            found[decision.choices, kind].append(i)
            if stage:
                found[decision.choices, kind, stage].append(i)
    kept = {tuple(columns): columns for columns in found.values() if len(columns) > 1}
    return [(np.array(columns), space.decisions[columns[0]]) for columns in kept.values()]


def _summary(chosen: np.ndarray, active: np.ndarray, decision: Decision) -> np.ndarray:
    """Return the sum of the values [N, 1] of active decisions, or how often each choice occurs [N, C]."""
    if _is_numeric(decision):
        return np.where(active, np.array(decision.choices, dtype=float)[chosen], 0.0).sum(1, keepdims=True)
    choices = range(len(decision.choices))
    return np.stack([((chosen == choice) & active).sum(1) for choice in choices], axis=1).astype(float)
