"""A controller that chooses networks and hardware, one decision after the other, and learns by REINFORCE.

Paper: Yang et al., NASAIC, arXiv 2002.04116, section IV: an RNN emits the hyper-parameters of every network and then of
every sub-accelerator. After each joint step come up to ten steps on hardware alone, with the networks as they are; a
network is trained only if some hardware keeps all limits.
Differs: the reward of a design within the limits is its quality against the spread of all that were told, not the
accuracy less a penalty, so that it does not depend on units. The penalty of a limit S is 10 (r - S) / S, which is that
of the paper where its upper bound is twice the limit. What is no member, such as more PEs than there are, is drawn
again. Designs that were judged before are not judged again. The rates of the optimizer are those of GraphNAS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from nas.searchers.new_architectures import NewArchitectures
from nas.searchers.searcher import Searcher
from search_spaces import Architecture, Space
from search_spaces.errors import FieldError
from supernets.streams import SEARCHER

if TYPE_CHECKING:
    from nas.searchers.decision_policy import DecisionPolicy

_DRAWS = 64  # of one step, until one of them is a member
_EPISODES = 20  # in a row that find nothing to judge, before a random design is


class Controller(Searcher):
    """REINFORCE on all decisions in their order, with further steps on some of them.

    Args:
        space: Space to search.
        objectives: Number of objectives; their gains are added.
        seed: Seed of the whole search.
        violation: Exact violations [N] of encodings [N, D].
        hardware: Pattern of the decisions that further steps draw again.
        hardware_steps: Most of these steps after a joint one.
        penalty: Factor of the violation in the reward.
        lr: Learning rate of the controller.
        baseline_decay: Decay of the mean reward that rewards are compared with.
    """

    def __init__(
        self,
        space: Space,
        *,
        objectives: int,
        seed: int,
        violation: Callable[[np.ndarray], np.ndarray],
        hardware: str = "accelerator*",
        hardware_steps: int = 10,
        penalty: float = 10.0,
        lr: float = 0.01,
        baseline_decay: float = 0.95,
    ) -> None:
        for name, holds, allowed, value in (
            ("hardware_steps", hardware_steps >= 0, "0 or more", hardware_steps),
            ("penalty", penalty >= 0, "0 or more", penalty),
            ("lr", lr > 0, "more than 0", lr),
            ("baseline_decay", 0 <= baseline_decay < 1, "from 0 to below 1", baseline_decay),
        ):
            if not holds:
                raise FieldError(name, f"must be {allowed}, got {value}")
        self.space, self.violation, self.penalty = space, violation, penalty
        self.hardware_steps, self.decay, self.lr = hardware_steps, baseline_decay, lr
        self.hardware = np.array([fnmatchcase(one.name, hardware) for one in space.decisions])
        self.generator = SEARCHER.generator(seed)
        self._new = NewArchitectures(space, violation, self.generator)
        self._policy: DecisionPolicy | None = None
        self._drawn: dict[bytes, np.ndarray] = {}
        self._seen: list[np.ndarray] = []
        self._baseline = 0.0

    @property
    def policy(self) -> DecisionPolicy:
        """The controller itself, made when it is first needed."""
        if self._policy is None:
            from nas.searchers.decision_policy import DecisionPolicy  # torch is needed from here on

            self._policy = DecisionPolicy(self.space.choice_counts, self.lr, int(self.generator.integers(2**31)))
        return self._policy

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        for _ in range(_EPISODES):
            row = self._episode()
            if row is not None:
                return [self.space.decode(row)]
        return [self.space.decode(row) for row in self._new.random(1)]

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        self._new.tell(architectures)
        self._seen += [row for row in np.asarray(losses, dtype=float) if np.isfinite(row).all()]
        for architecture, own, violation in zip(architectures, np.asarray(losses, dtype=float), violations):
            drawn = self._drawn.get(self.space.encode(architecture).tobytes())
            if drawn is not None:
                self._learn(drawn, self._reward(own, float(violation)))
        self._drawn.clear()

    def _episode(self) -> np.ndarray | None:
        """Return a new design within the limits after a joint step and steps on hardware; None where none was found."""
        networks = None
        for _ in range(1 + (self.hardware_steps if self.hardware.any() else 0)):
            drawn = self._member(networks)
            if drawn is None:
                return None
            networks = drawn
            row = self.space.canonical(drawn[None])[0]
            violation = float(self.violation(row[None])[0])
            if violation > 0:
                self._learn(drawn, -self.penalty * violation)
            elif not self._new.is_known(row):
                self._drawn[row.tobytes()] = drawn
                return self._new.take(row[None], 1)[0]
        return None

    def _member(self, networks: np.ndarray | None) -> np.ndarray | None:
        """Return choices [D] that are a member, with the networks of another one where they are given."""
        given = np.full(len(self.hardware), -1) if networks is None else np.where(self.hardware, -1, networks)
        for _ in range(_DRAWS):
            drawn = self.policy.drawn(given, self.generator)
            if self.space.valid(drawn[None])[0]:
                return drawn
        return None

    def _learn(self, drawn: np.ndarray, reward: float) -> None:
        self.policy.learn(drawn, reward - self._baseline)
        self._baseline = self.decay * self._baseline + (1 - self.decay) * reward

    def _reward(self, losses: np.ndarray, violation: float) -> float:
        """Return how much better than the mean losses are, in units of their spread."""
        if not np.isfinite(losses).all() or violation > 0:
            return -self.penalty * (violation if np.isfinite(violation) else 1.0)
        seen = np.array(self._seen)
        spread = seen.std(axis=0)
        return float(((seen.mean(axis=0) - losses) / np.where(spread > 0, spread, 1.0)).sum())
