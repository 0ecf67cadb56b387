"""Samplers of Optuna as searchers: TPE, Gaussian process, NSGA-III.

Paper: Watanabe, Tree-Structured Parzen Estimator, arXiv 2304.11127; multi-objective as in Ozaki et al., GECCO 2020.
Akiba et al., Optuna, arXiv 1907.10902, whose samplers these are, with their defaults.
Differs: a proposal that was evaluated before, breaks an exact limit or is no member of the space gives way to a new one
near it, and the study is told of that one. Every decision is a categorical parameter. TPE is asked for active decisions
only. The other two learn from parameters that all trials have in common, so they are asked for all decisions, and told
the canonical value of inactive ones. Limits on what is measured are constraints from when one of them is broken first;
candidates that failed are failed trials. NSGA-III has as many reference points as the population has places for.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from nas.searchers.new_architectures import NewArchitectures
from nas.searchers.nsga3 import direction_steps
from nas.searchers.searcher import Searcher
from search_spaces import Architecture, Choice, Space
from supernets.streams import OPTUNA_NEW

_CONSTRAINT = "limits"
_NAME = "architecture"


class OptunaSearcher(Searcher, ABC):
    """A sampler of Optuna by ask and tell.

    The study that the sampler learns from is kept in memory, and rebuilt by replay as every search is; a study in an
    Optuna storage is a mirror for people to look at. What the mirror holds already is not written again.

    Args:
        space: Space to search.
        objectives: Number of objectives.
        seed: Seed of the whole search.
        violation: Exact violations [N] of encodings [N, D].
        population: Architectures of the random start of TPE and Gaussian process, which then propose one at a time;
            of every generation of NSGA-III.
        storage: Storage where Optuna mirrors the study, such as `sqlite:///search.db`; None for no mirror.
        study: Name of the study there; each search needs its own.
    """

    active_only: ClassVar[bool] = False
    """Whether inactive decisions are left out of the parameters of a trial."""

    def __init__(
        self,
        space: Space,
        *,
        objectives: int,
        seed: int,
        violation: Callable[[np.ndarray], np.ndarray],
        population: int = 24,
        storage: str | None = None,
        study: str | None = None,
    ) -> None:
        if population < 2:
            raise ValueError(f"population must be at least 2, got {population}")
        if (storage is None) != (study is None):
            raise ValueError(f"storage and study go together, got storage {storage!r} and study {study!r}")
        self.space, self.objectives, self.seed, self.population = space, objectives, seed, population
        self._new = NewArchitectures(space, violation, OPTUNA_NEW.generator(seed))
        self._distributions: dict[str, BaseDistribution] = {
            decision.name: CategoricalDistribution(decision.choices) for decision in space.decisions
        }
        self._storage, self._study_name = storage, study
        self._mirror: optuna.Study | None = None
        self._mirrored: set[str | None] = set()
        self._constrained = False
        self._running: list[Trial] = []
        self._known: set[Architecture] = set()
        with _silent_optuna():
            self.study = self._new_study([])

    @abstractmethod
    def _sampler(self, seed: int) -> BaseSampler:
        """Return the sampler."""

    def _wanted(self) -> int:
        """Return trials of one ask; 0 for a random start."""
        return 1 if len(self._known) >= self.population else 0

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        wanted = self._wanted()
        if wanted == 0:
            encodings = self._new.random(self.population - len(self._known))
        else:
            with _silent_optuna():
                proposals = np.stack([self._proposal() for _ in range(wanted)])
            encodings = self._new.take(proposals, wanted)
        return [self.space.decode(encoding) for encoding in encodings]

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        self._new.tell(architectures)
        with _silent_optuna():
            attributes = self._close()
            if not self._constrained and np.any((violations > 0) & np.isfinite(violations)):
                self._constrained = True
                self.study = self._new_study(self.study.get_trials(deepcopy=False))
            for architecture, loss, violation in zip(architectures, losses, violations):
                if architecture not in self._known:
                    self._known.add(architecture)
                    self._add(self._trial(architecture, loss, float(violation), attributes))

    def _proposal(self) -> np.ndarray:
        """Return choice indices [D] of a new trial; 0 for decisions it was not asked for."""
        trial = self.study.ask()
        self._running.append(trial)
        values: dict[str, Choice] = {}
        for decision in self.space.decisions:
            if self.active_only and decision.parent and values.get(decision.parent) not in decision.active_when:
                continue
            values[decision.name] = trial.suggest_categorical(decision.name, decision.choices)
        return np.array(
            [d.choices.index(values[d.name]) if d.name in values else 0 for d in self.space.decisions], dtype=np.int64
        )

    def _close(self) -> dict[str, Any]:
        """End the trials that were asked for; what is told is added as trials of its own."""
        attributes: dict[str, Any] = {}
        for trial in self._running:
            noted = self.study.get_trials(deepcopy=False)[trial.number].system_attrs
            attributes = {name: value for name, value in noted.items() if name.endswith(":generation")}
            self.study.tell(trial, state=TrialState.FAIL)
        self._running.clear()
        return attributes

    def _trial(
        self, architecture: Architecture, losses: np.ndarray, violation: float, attributes: dict[str, Any]
    ) -> FrozenTrial:
        encoding = self.space.encode(architecture)
        params = {
            decision.name: decision.choices[index]
            for decision, index in zip(self.space.decisions, encoding)
            if not self.active_only or decision.parent is None or decision.name in architecture
        }
        ok = bool(np.isfinite(losses).all() and np.isfinite(violation))
        return create_trial(
            state=TrialState.COMPLETE if ok else TrialState.FAIL,
            values=losses.tolist() if ok else None,
            params=params,
            distributions={name: self._distributions[name] for name in params},
            user_attrs={_NAME: architecture.key},
            system_attrs=dict(attributes) if ok else {},
            constraints={_CONSTRAINT: violation} if ok and self._constrained else None,
        )

    def _add(self, trial: FrozenTrial) -> None:
        self.study.add_trial(trial)
        if self._storage is None:
            return
        if self._mirror is None:
            self._mirror = self._opened(self._storage)
            self._mirrored = {t.user_attrs.get(_NAME) for t in self._mirror.get_trials(deepcopy=False)}
        name = trial.user_attrs[_NAME]
        if name not in self._mirrored:
            self._mirrored.add(name)
            self._mirror.add_trial(trial)

    def _new_study(self, trials: Sequence[FrozenTrial]) -> optuna.Study:
        """Return a study with what these trials came to, and a constraint that they kept."""
        study = optuna.create_study(
            sampler=self._sampler(self.seed + (len(trials) > 0)), directions=["minimize"] * self.objectives
        )
        for trial in trials:
            if trial.state == TrialState.COMPLETE:
                study.add_trial(
                    create_trial(
                        values=trial.values,
                        params=trial.params,
                        distributions=trial.distributions,
                        user_attrs=trial.user_attrs,
                        system_attrs=trial.system_attrs,
                        constraints={_CONSTRAINT: 0.0},
                    )
                )
        return study

    def _opened(self, storage: str) -> optuna.Study:
        """Return the mirror.

        Raises:
            ValueError: The study exists with another number of objectives.
        """
        directions = ["minimize"] * self.objectives
        study = optuna.create_study(
            storage=storage, study_name=self._study_name, directions=directions, load_if_exists=True
        )
        if len(study.directions) != self.objectives:
            raise ValueError(
                f"study {self._study_name!r} in {storage} has {len(study.directions)} objectives, "
                f"the search has {self.objectives}"
            )
        return study


class OptunaTPE(OptunaSearcher):
    """Tree-structured Parzen estimator; several asks before a tell avoid each other.

    With one objective, decisions that are active together are modelled together; with several, each by itself, as
    Optuna does.
    """

    active_only: ClassVar[bool] = True

    def _sampler(self, seed: int) -> TPESampler:
        together = True if self.objectives == 1 else None
        return TPESampler(
            seed=seed, n_startup_trials=self.population, multivariate=together, group=bool(together), constant_liar=True
        )


class OptunaGP(OptunaSearcher):
    """Gaussian process with expected (hypervolume) improvement; a proposal takes seconds where decisions are many."""

    def _sampler(self, seed: int) -> GPSampler:
        return GPSampler(seed=seed, n_startup_trials=self.population)


class OptunaNSGA3(OptunaSearcher):
    """NSGA-III of Optuna, a generation at a time."""

    def _sampler(self, seed: int) -> NSGAIIISampler:
        steps = direction_steps(self.objectives, self.population)
        return NSGAIIISampler(seed=seed, population_size=self.population, dividing_parameter=steps)

    def _wanted(self) -> int:
        return self.population


@contextmanager
def _silent_optuna() -> Iterator[None]:
    """Silence Optuna, which logs every study and warns of what it calls experimental; neither is news here."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
