"""Reinforced conservative search: the best architecture so far changes in one class of decisions at a time.

Paper: Zhou et al., Auto-GNN, arXiv 1909.03184, section 4 (RCNAS); rates of the controller as in GraphNAS, 1904.09981.
Differs: the rate of the encoders is 0.01 instead of 3.5e-4, with which they hardly move within the hundreds of
evaluations that searches have here. Rewards are gains relative to the spread of all losses told so far, so that they do
not depend on units; with several objectives, the gains are added. Offspring that are known, break a limit or are no
members are drawn again, and then the class of the next highest entropy has its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nas.searchers.new_architectures import NewArchitectures
from nas.searchers.searcher import Searcher
from search_spaces import Architecture, Space
from search_spaces.errors import FieldError
from supernets.streams import SEARCHER

if TYPE_CHECKING:
    from nas.searchers.class_encoders import ClassEncoders

_DRAWS = 32  # offspring of one class, before the next class has its turn


class _Change(NamedTuple):
    """An offspring that was asked for: the classes that changed, and what it changed from."""

    classes: tuple[str, ...]
    parent: np.ndarray
    losses: np.ndarray


class _Best(NamedTuple):
    encoding: np.ndarray
    losses: np.ndarray
    violation: float


class Conservative(Searcher):
    """Small steps from the best architecture, in the class of decisions that its encoder is least sure of.

    Classes are kinds of decisions: `layer1.heads` and `layer2.heads` are of one class.

    Args:
        space: Space to search.
        objectives: Number of objectives.
        seed: Seed of the whole search.
        violation: Exact violations [N] of encodings [N, D].
        classes: Number of classes that change at once.
        lr: Learning rate of the encoders.
        temperature: Divides the scores of choices.
        tanh_constant: Largest score of a choice.
        entropy_weight: Weight of the entropy in what encoders maximise.
        baseline_decay: Decay of the mean reward that rewards are compared with.
    """

    def __init__(
        self,
        space: Space,
        *,
        objectives: int,
        seed: int,
        violation: Callable[[np.ndarray], np.ndarray],
        classes: int = 1,
        lr: float = 0.01,
        temperature: float = 5.0,
        tanh_constant: float = 2.5,
        entropy_weight: float = 1e-4,
        baseline_decay: float = 0.95,
    ) -> None:
        for name, holds, allowed, value in (
            ("classes", classes >= 1, "at least 1", classes),
            ("lr", lr > 0, "more than 0", lr),
            ("temperature", temperature > 0, "more than 0", temperature),
            ("tanh_constant", tanh_constant > 0, "more than 0", tanh_constant),
            ("entropy_weight", entropy_weight >= 0, "0 or more", entropy_weight),
            ("baseline_decay", 0 <= baseline_decay < 1, "from 0 to below 1", baseline_decay),
        ):
            if not holds:
                raise FieldError(name, f"must be {allowed}, got {value}")
        self.space, self.violation, self.classes = space, violation, classes
        self.generator = SEARCHER.generator(seed)
        self._new = NewArchitectures(space, violation, self.generator)
        self._rates = {"lr": lr, "temperature": temperature, "tanh_constant": tanh_constant}
        self._rates |= {"entropy_weight": entropy_weight}
        self._decay, self._baseline = baseline_decay, 0.0
        self._encoders: ClassEncoders | None = None
        self._best: _Best | None = None
        self._changes: dict[bytes, _Change] = {}
        self._seen: list[np.ndarray] = []

    @property
    def encoders(self) -> ClassEncoders:
        """The encoders, made when they are first needed."""
        if self._encoders is None:
            from nas.searchers.class_encoders import ClassEncoders, ControllerConfig  # torch is needed from here on

            names = [decision.name for decision in self.space.decisions]
            seed = int(self.generator.integers(2**31))
            self._encoders = ClassEncoders(names, self.space.choice_counts, ControllerConfig(**self._rates), seed)
        return self._encoders

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        if self._best is None:
            return [self.space.decode(row) for row in self._new.random(1)]
        parent = self._best.encoding
        order = list(self.encoders.by_entropy(parent))
        for start in range(len(order)):
            turn = [order[(start + i) % len(order)] for i in range(min(self.classes, len(order)))]
            row = self._offspring(parent, turn)
            if row is not None:
                names = tuple(name for name, _ in turn)
                self._changes[row.tobytes()] = _Change(names, parent, self._best.losses)
                return [self.space.decode(row)]
        return [self.space.decode(row) for row in self._new.take(parent[None], 1)]

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        rows = [self.space.encode(architecture) for architecture in architectures]
        self._new.tell(architectures)
        self._seen += [row for row in losses if np.isfinite(row).all()]
        scale = self._scale()
        for row, own, violation in zip(rows, np.asarray(losses, dtype=float), violations):
            change = self._changes.get(row.tobytes())
            if change is not None:
                self._learn(row, change, _gain(own, change.losses, scale, float(violation)))
            self._keep_best(_Best(row, own, float(violation)), scale)
        self._changes.clear()

    def _offspring(self, parent: np.ndarray, turn: Sequence[tuple[str, list[np.ndarray]]]) -> np.ndarray | None:
        """Return a new member that differs from its parent in these classes alone; None where none was drawn."""
        drawn = np.repeat(parent[None], _DRAWS, axis=0)
        for name, probabilities in turn:
            for place, row in zip(self.encoders.encoders[name].places, probabilities, strict=True):
                drawn[:, place] = self.generator.choice(len(row), _DRAWS, p=row / row.sum())
        members = self.space.canonical(drawn[self.space.valid(drawn)])
        inside = self.violation(members) <= 0 if len(members) else np.zeros(0, dtype=bool)
        for row in members[inside]:
            if not self._new.is_known(row):
                return self._new.take(row[None], 1)[0]
        return None

    def _learn(self, row: np.ndarray, change: _Change, gain: float) -> None:
        """Let the encoders of the classes that changed learn from the gain, and no others."""
        for name in change.classes:
            encoder = self.encoders.encoders[name]
            encoder.learn(change.parent, [int(row[place]) for place in encoder.places], gain - self._baseline)
        self._baseline = self._decay * self._baseline + (1 - self._decay) * gain

    def _keep_best(self, found: _Best, scale: np.ndarray) -> None:
        """Move to what was found where it is better than the best so far."""
        if not np.isfinite(found.losses).all():
            return
        best = self._best
        if best is None or found.violation < best.violation:
            self._best = found
            return
        if found.violation == best.violation and _gain(found.losses, best.losses, scale, 0.0) > 0:
            self._best = found

    def _scale(self) -> np.ndarray:
        """Return the spread of each objective over all that was told [K]."""
        seen = np.array(self._seen)
        spread = seen.std(axis=0) if len(seen) > 1 else np.ones(seen.shape[1] if len(seen) else 1)
        return np.where(spread > 0, spread, 1.0)


def _gain(losses: np.ndarray, before: np.ndarray, scale: np.ndarray, violation: float) -> float:
    """Return how much lower losses are than before, in units of their spread; -1 for a failure or a broken limit."""
    if violation > 0 or not np.isfinite(losses).all():
        return -1.0
    return float(((before - losses) / scale).sum())
