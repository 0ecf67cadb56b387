"""Scoring architectures without training: a fresh network each, one training batch, all proxies on shared passes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.search.journal import Evaluation, Journal
from proxies import Proxy, Score, score
from search_spaces import Architecture, Space


@dataclass(frozen=True, kw_only=True)
class ProxyConfig:
    """How architectures are scored without training.

    Args:
        names: Proxies, by catalogue name or `package.module:object`. A search computes them for every candidate and
            says how well they rank beside parameters and MACs.
        options: Options of proxies by name, such as ``{gradsign: {reduction: mean}}``.
        batch: Training images of one scoring.
        filter: Proxy that decides which proposals of the searcher are evaluated; `auto` for all of `names`, as far as
            they have ranked better than parameters and MACs; `null` for none.
        proposals: Proposals for each architecture that is evaluated, where there is a filter.
    """

    names: list[str] = field(default_factory=list)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    batch: int = 64
    filter: str | None = None
    proposals: int = 10

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"names must be distinct, got {self.names}")
        for name, least in (("batch", 2), ("proposals", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.filter == "auto" and not self.names:
            raise ValueError("filter must be a proxy, or null, unless names lists the proxies for auto, got 'auto'")


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
        images: One training batch [B, C, H, W], on the device to compute on.
        labels: Its classes [B].
        seed: Of the weights, the same for every architecture, and of whatever proxies draw.
    """

    space: Space
    proxies: Mapping[str, Proxy]
    images: Tensor
    labels: Tensor
    seed: int = 0

    def __call__(self, architecture: Architecture) -> Scored:
        start = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = self.space.subnet(architecture)
        network = network.to(self.images.device)
        results = score(network, self.images, self.labels, self.proxies, seed=self.seed, copy=False)
        found = {name: result for name, result in results.items() if isinstance(result, Score)}
        return Scored(
            values={name: result.value for name, result in found.items()},
            reasons={name: str(result) for name, result in results.items() if name not in found},
            layers={name: dict(result.layers) for name, result in found.items() if result.layers},
            seconds=time.perf_counter() - start,
        )


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
        about = {"space": scorer.space.name, "proxies": proxies, "batch": len(scorer.labels), "seed": scorer.seed}
        self.journal = Journal(path, {**about, **(header or {})})
        self._known = {e.architecture: as_scored(e) for e in self.journal.evaluations}

    def __call__(self, architecture: Architecture) -> Scored:
        if architecture not in self._known:
            scored = self.scorer(architecture)
            self.journal.append(as_evaluation(len(self.journal.evaluations), architecture, scored))
            self._known[architecture] = scored
        return self._known[architecture]


def as_evaluation(index: int, architecture: Architecture, scored: Scored) -> Evaluation:
    """Scores as a line of a journal; shares of layers are not kept there."""
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
    """The inverse of `as_evaluation`; reasons stand together under an empty name."""
    reasons = {"": evaluation.reason} if evaluation.reason else {}
    return Scored(values=evaluation.values, reasons=reasons, layers={}, seconds=evaluation.seconds)
