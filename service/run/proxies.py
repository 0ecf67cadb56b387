"""Proxies in the search of a job: as objectives, as a filter of proposals, and their rank agreement at the end."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.data import Data
from nas.objectives import Objective
from nas.objectives.proxy import ProxyScore
from nas.rank_agreement import Agreement, no_better_than_baselines, rank_agreement
from nas.scoring import RememberedScores
from nas.search.journal import Evaluation
from nas.searchers import AutoScore, Filtered, Searcher, cost_scores
from nas.searchers.filtered import Score
from search_spaces import Architecture, Space
from service.catalogue import PROXIES
from service.job import proxies as job_proxies
from service.job.building import build_task
from service.job.folder import write_json
from service.job.job import Job
from service.job.objectives import QUALITY
from service.run.scoring import make_scorer, training_batch
from supernets.tasks import Metric

_LEAST = 10


class SearchProxies:
    """The proxies that one job names; nothing is computed before it is asked for.

    Args:
        job: Job that names them.
        space: Space that is searched.
        data: Function that loads the batch, called only where a score is needed.
        folder: Job folder; scores are remembered in it.
    """

    def __init__(self, job: Job, space: Space, data: Callable[[], Data], folder: Path) -> None:
        self.job, self.space, self.data, self.folder = job, space, data, folder
        config = job.proxies
        chosen = [config.filter] if config.filter not in (None, "auto") else []
        optimised = [name for name in job.search.objectives if name in PROXIES]
        self.named = list(dict.fromkeys([*config.names, *map(str, chosen), *optimised]))
        self._scores: RememberedScores | None = None

    @property
    def scores(self) -> RememberedScores:
        if self._scores is None:
            data = self.data()
            scorer = make_scorer(self.job, job_proxies.plain_names(self.named), training_batch(data, self.job))
            path = self.folder / "search" / "scores.jsonl"
            self._scores = RememberedScores(scorer, path, {"data": data.fingerprint})
        return self._scores

    @property
    def metric(self) -> Metric:
        """The quality that proxies stand for: what the task of the job is judged by."""
        return build_task(self.job).metric

    def objective(self, name: str) -> Objective:
        """Return a proxy as an objective that the search optimises."""
        return ProxyScore(name, self.scores)

    def noted(self) -> list[Objective]:
        """Return the proxies that are recorded of every candidate, beside the objectives."""
        names = job_proxies.plain_names(self.job.proxies.names)
        return [
            ProxyScore(name, self.scores)
            for name in names
            if name not in (*self.space.cost_names, *self.job.search.objectives)
        ]

    def filtered(self, searcher: Searcher) -> Searcher:
        """Return the searcher, behind the filter of its proposals that the job asks for."""
        config = self.job.proxies
        if config.filter is None:
            return searcher
        if config.filter != "auto":
            return Filtered(searcher, self._score(config.filter), candidates=config.proposals)
        names = (self.metric.name, QUALITY)
        objective = next(i for i, name in enumerate(self.job.search.objectives) if name in names)
        scores = {name: self._score(name) for name in config.names}
        chooser = AutoScore(scores, cost_scores(self.space), objective=objective)
        return Filtered(searcher, chooser, candidates=config.proposals, told=chooser.tell)

    def _score(self, name: str) -> Score:
        """Return what scores, higher is better; an aggregate ranks the architectures that it is given."""

        def of(architectures: Sequence[Architecture]) -> np.ndarray:
            scored = [self.scores(architecture).values for architecture in architectures]
            proxies = self.scores.scorer.proxies
            parts = job_proxies.plain_names([name])
            columns = {part: np.array([values.get(part, np.nan) for values in scored]) for part in parts}
            direction = 1 if name not in proxies or proxies[name].maximise else -1
            return direction * job_proxies.with_aggregates([name], columns, proxies)[name]

        return of

    # ---- honesty ----------------------------------------------------------------------------------------------------

    def report(self, evaluations: Sequence[Evaluation]) -> list[str]:
        """Write how well each proxy ranked the candidates whose quality is known; return what to warn of."""
        metric, costs = self.metric, self.space.cost_names
        known = [e for e in evaluations if e.status != "failed" and metric.name in e.values]
        names = [objective.name for objective in self.noted()]
        names += [name for name in self.job.search.objectives if name in PROXIES and name not in costs]
        if not names or len(known) < _LEAST:
            return []
        proxies = self.scores.scorer.proxies
        columns = {name: np.array([e.values.get(name, np.nan) for e in known], dtype=float) for name in costs}
        for name in names:
            sign = 1 if proxies[name].maximise else -1
            columns[name] = sign * np.array([e.values.get(name, np.nan) for e in known], dtype=float)
        qualities = (1 if metric.maximise else -1) * np.array([e.values[metric.name] for e in known])
        found = rank_agreement(columns, qualities, baselines=costs, seed=self.job.seed)
        write_json(self.folder / "search" / "proxies.json", {name: _as_json(a) for name, a in found.items()})
        warnings = (no_better_than_baselines(agreement) for name, agreement in found.items() if name in names)
        return [warning for warning in warnings if warning]


def _as_json(agreement: Agreement) -> dict[str, Any]:
    measures = {name: getattr(agreement, name) for name in ("spearman", "kendall", "top_precision")}
    return {
        "architectures": agreement.architectures,
        "without_score": agreement.not_finite,
        **{name: [estimate.value, estimate.low, estimate.high] for name, estimate in measures.items()},
    }
