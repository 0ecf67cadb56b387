"""Scoring architectures without training: a fresh network each, one training batch, all proxies on shared passes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.search.journal import Evaluation, Journal
from proxies import Batch, Proxy, Score, score
from search_spaces import Architecture, Space
from supernets.tasks import Task


@dataclass(frozen=True)
class Scored:
    """What proxies say of one architecture.

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


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Architecture -> scores, the same at every call.

    Args:
        space: What is scored.
        proxies: Name -> proxy.
        task: Says what of the batch the networks read, what they lose and what classes there are.
        batch: One training batch as the data yield it, on the device to compute on.
        seed: Of the weights, the same for every architecture, and of whatever proxies draw.
    """

    space: Space
    proxies: Mapping[str, Proxy]
    task: Task
    batch: tuple[Tensor, ...]
    seed: int = 0

    def __call__(self, architecture: Architecture) -> Scored:
        start = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = self.space.subnet(architecture)
        network = network.to(self.batch[0].device)
        results = score(network, scored_batch(self.task, self.batch), self.proxies, seed=self.seed, copy=False)
        found = {name: result for name, result in results.items() if isinstance(result, Score)}
        return Scored(
            values={name: result.value for name, result in found.items()},
            reasons={name: str(result) for name, result in results.items() if name not in found},
            layers={name: dict(result.layers) for name, result in found.items() if result.layers},
            seconds=time.perf_counter() - start,
        )


def scored_batch(task: Task, batch: tuple[Tensor, ...]) -> Batch:
    """Return what proxies know of a batch: what networks read, what they lose, and the classes where there are any.

    Raises:
        ValueError: An input is not finite.
    """

    plain = task.plain()

    def losses(output: Tensor, rows: slice) -> Tensor:
        return plain.losses(output, tuple(tensor[rows] for tensor in batch))

    return Batch(task.inputs(batch), losses, task.groups(batch))


class RememberedScores:
    """Scores of architectures, computed when first asked for; what a file remembers is not computed again.

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
