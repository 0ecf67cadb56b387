"""Scoring architectures without training: fresh networks, one training batch, all proxies on shared passes.

Proxies that count what the space knows exactly need no network: the space gives the same numbers in microseconds.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nas.search.journal import Evaluation, Journal
from proxies import Batch, Passes, Proxy, Score, ScoreError, score
from search_spaces import Architecture, Space
from supernets.tasks import Task


@dataclass(frozen=True)
class Scored:
    """The scores of one architecture.

    Attributes:
        values: Proxy -> score, of those that have one.
        reasons: Proxy -> why it has none.
        layers: Proxy -> layer -> its share, of those whose formula has shares.
        seconds: Time it took, the network's making included.
    """

    values: dict[str, float]
    reasons: dict[str, str]
    layers: dict[str, dict[str, float]]
    seconds: float


@dataclass(frozen=True)
class SpaceCost(Proxy):
    """A cost that only the space counts, as a proxy.

    Args:
        name: Name of one of the exact costs of the space.
    """

    name: str

    @property
    def counts(self) -> str:
        return self.name

    def __call__(self, passes: Passes) -> Score:
        raise ScoreError(f"{self.name} is a cost that the space counts; a network alone does not say it")


def counted_proxies(proxies: Mapping[str, Proxy], space: Space) -> dict[str, str]:
    """Return those of the proxies that are exact costs of the space: their names, and the names of the costs."""
    return {name: proxy.counts for name, proxy in proxies.items() if proxy.counts and proxy.counts in space.cost_names}


def counted_scores(
    counted: Mapping[str, str], space: Space, architectures: Sequence[Architecture]
) -> dict[str, np.ndarray]:
    """Return the scores [N] of proxies by name, as the space counts them.

    Args:
        counted: What `counted_proxies` gave.
        space: Space that counts them.
        architectures: N architectures of it.
    """
    costs = space.costs(architectures) if counted else {}
    return {name: np.asarray(costs[cost], dtype=float) for name, cost in counted.items()}


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """A function from an architecture to its scores, the same at every call. A network is made where some proxy needs
    one.

    Args:
        space: Space whose architectures are scored.
        proxies: Name -> proxy.
        task: Task that says what the networks read of the batch, their loss, and the classes.
        batch: One training batch as the data yield it, on the device to compute on.
        seed: Seed of the weights, the same for every architecture, and of whatever proxies draw.
        layers: Whether the shares of layers are wanted, which need networks.
    """

    space: Space
    proxies: Mapping[str, Proxy]
    task: Task
    batch: tuple[Tensor, ...]
    seed: int = 0
    layers: bool = False

    @cached_property
    def counted(self) -> dict[str, str]:
        """The proxies that need no network; see `counted_proxies`."""
        return {} if self.layers else counted_proxies(self.proxies, self.space)

    def __call__(self, architecture: Architecture) -> Scored:
        start = time.perf_counter()
        exact = counted_scores(self.counted, self.space, [architecture])
        results: dict[str, Score | ScoreError] = {name: Score(float(column[0])) for name, column in exact.items()}
        if len(results) < len(self.proxies):
            results |= self._of_network(architecture)
        results = {name: results[name] for name in self.proxies}
        found = {name: result for name, result in results.items() if isinstance(result, Score)}
        return Scored(
            values={name: result.value for name, result in found.items()},
            reasons={name: str(result) for name, result in results.items() if name not in found},
            layers={name: dict(result.layers) for name, result in found.items() if result.layers},
            seconds=time.perf_counter() - start,
        )

    def _of_network(self, architecture: Architecture) -> dict[str, Score | ScoreError]:
        """Return what the other proxies say of a fresh network."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = self.space.subnet(architecture)
        network = network.to(self.batch[0].device)
        others = {name: proxy for name, proxy in self.proxies.items() if name not in self.counted}
        return score(network, scored_batch(self.task, self.batch), others, seed=self.seed, copy=False)


def scored_batch(task: Task, batch: tuple[Tensor, ...]) -> Batch:
    """Return the batch as proxies know it: inputs of the networks, losses, and the classes where there are any.

    Raises:
        ValueError: An input is not finite.
    """

    plain = task.plain()

    def losses(output: Tensor, rows: slice) -> Tensor:
        return plain.losses(output, tuple(tensor[rows] for tensor in batch))

    return Batch(task.inputs(batch), losses, task.groups(batch))


class RememberedScores:
    """Scores of architectures, computed when first asked for; scores that a file remembers are not computed again.

    Args:
        scorer: Computes them.
        path: Journal to remember them in; None for memory only.
        header: What else the scores depend on, such as the data; a journal of other scores is refused.
    """

    def __init__(self, scorer: Scorer, path: Path | None = None, header: Mapping[str, Any] | None = None) -> None:
        self.scorer = scorer
        proxies = {name: repr(proxy) for name, proxy in scorer.proxies.items()}
        about = {"space": scorer.space.name, "proxies": proxies, "batch": len(scorer.batch[0]), "seed": scorer.seed}
        self.journal = Journal(path, {**about, **(header or {})})
        self._known = {e.architecture: as_scored(e) for e in self.journal.evaluations}

    def __call__(self, architecture: Architecture) -> Scored:
        if architecture not in self._known:
            scored = self.scorer(architecture)
            self.journal.append(as_evaluation(len(self.journal.evaluations), architecture, scored))
            self._known[architecture] = scored
        return self._known[architecture]


def as_evaluation(index: int, architecture: Architecture, scored: Scored) -> Evaluation:
    """Return scores as a line of a journal; shares of layers are not kept there."""
    reason = "; ".join(f"{name}: {why}" for name, why in scored.reasons.items())
    return Evaluation(
        index=index,
        architecture=architecture,
        status="ok" if scored.values else "failed",
        values=scored.values,
        reason=reason or None,
        seconds=round(scored.seconds, 4),
    )


def as_scored(evaluation: Evaluation) -> Scored:
    """Return the inverse of `as_evaluation`; reasons stand together under an empty name."""
    reasons = {"": evaluation.reason} if evaluation.reason else {}
    return Scored(values=evaluation.values, reasons=reasons, layers={}, seconds=evaluation.seconds)
