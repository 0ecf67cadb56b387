"""The search of a job: its searcher, its journal, and who evaluates its candidates."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.search.earlier_search import EarlierSearch
from nas.search.journal import Evaluation, Journal, StandardErrors, read_evaluations
from nas.search.loop import search
from nas.search.stopping import Stopping
from nas.searchers import PerPart, Searcher, violation_within
from nas.searchers.seeded import Seeded
from search_spaces import Space
from service.errors import InvalidJob
from service.job import searchers
from service.run.context import Work
from service.run.evaluators import EvaluationWorkers, Ready, SubnetEvaluator, devices
from supernets import Partition
from supernets.streams import PART


@dataclass
class SearchStage:
    """Searches the supernet of a job.

    Args:
        work: The job with its supernet.
    """

    work: Work

    def evaluations(self) -> list[Evaluation]:
        config = self.work.job.search
        chooser = self.work.job.proxies
        header = {
            "space": self.work.space.name,
            "searcher": config.searcher,
            **({"searcher_options": config.searcher_options} if config.searcher_options else {}),
            **({"filter": [chooser.filter, chooser.proposals]} if chooser.filter else {}),
            "objectives": self.work.problem.describe(),
            "population": config.population,
            "seed": self.work.job.seed,
            **({"per_leaf": config.per_leaf} if config.per_leaf else {}),
        }
        if self.work.table:
            header["latency_table"] = self.work.table.fingerprint
        earlier = self._earlier()
        errors = StandardErrors(self.work.problem.optimised)
        searcher = self._searcher_per_leaf() if config.per_leaf else self._warm(earlier, errors)
        if searcher.follows_evaluations:
            header["evaluations"] = config.evaluations
        path = self.work.folder / "search" / "journal.jsonl"
        slots = self._slots(path)
        if slots > 1:
            header["workers"] = slots
        if earlier is not None:
            header["warm_start"] = {"evaluations": len(earlier.evaluations), "front": [a.key for a in earlier.front()]}
        journal = Journal(path, header)
        stopping = Stopping(gain_percent=config.stop_gain, hours=config.hours)
        errors.journal = journal
        with self._evaluators(slots) as evaluators, closing(journal):
            found = search(
                self.work.proxies.filtered(searcher),
                self.work.problem,
                journal,
                space=self.work.space,
                evaluations=config.evaluations,
                observer=self.work.recorder,
                evaluators=evaluators,
                stopping=stopping,
            )
        if stopping.reason is not None:
            self.work.recorder({"event": "ended", "time": time.time(), "reason": stopping.reason})
        return found

    def _slots(self, path: Path) -> int:
        """Candidates evaluated at the same time: what the searcher is asked follows it, so a search that was begun with
        some goes on with as many, on however many processes there are now."""
        if path.exists() and path.stat().st_size:
            return int(read_evaluations(path)[0].get("workers", 1))
        return self.work.workers

    @contextmanager
    def _evaluators(self, slots: int) -> Iterator[EvaluationWorkers | None]:
        """Processes that evaluate what takes long; latency and proxies stay here."""
        elsewhere = [objective.name for objective in self.work.problem.measured if not objective.serial]
        if (slots == 1 and self.work.workers == 1) or not elsewhere:
            yield None
            return

        def warn(message: str) -> None:
            self.work.recorder({"event": "warning", "time": time.time(), "message": message})

        ready = [
            Ready(SubnetEvaluator(self.work.folder, self.work.job, device, self.work.supernet_from, elsewhere))
            for device in devices(self.work.job.device, self.work.workers)
        ]
        self.work.workers = max(self.work.workers, slots)  # accuracy is read elsewhere, on however many processes
        with EvaluationWorkers(ready, names=elsewhere, slots=slots, warn=warn) as workers:
            yield workers

    def _earlier(self) -> EarlierSearch | None:
        path = self.work.job.search.warm_start
        return None if path is None else EarlierSearch.read(Path(path), self.work.space)

    def _warm(self, earlier: EarlierSearch | None, errors: StandardErrors) -> Searcher:
        """The searcher of the whole space, told of noise and of an earlier search if there was one."""
        known: dict[str, Any] = {"standard_errors": errors}
        if earlier is not None:
            known["warm_start"] = earlier.rows(self.work.problem.directions)
        searcher = self._searcher(self.work.space, known=known)
        if earlier is None or searcher.learns_from_earlier:
            return searcher
        return Seeded(searcher, earlier.front())

    def _searcher(self, space: Space, part: int | None = None, *, known: Mapping[str, Any] | None = None) -> Searcher:
        """The searcher of the space, or of one part of it, with a seed of its own."""
        seed, problem = self.work.job.seed, self.work.problem
        violation = problem.exact_violation
        if part is None:
            known = {"exact": problem.exact_losses, "limits": problem.loss_limits, **(known or {})}
            return searchers.make(self.work.job.search, space, seed, violation, known)
        own_seed = PART.seed(seed, part)
        return searchers.make(
            self.work.job.search, space, own_seed, violation_within(space, self.work.space, violation)
        )

    def _searcher_per_leaf(self) -> Searcher:
        """A searcher for each part of a supernet that was split."""
        config = self.work.job.search
        if not isinstance(self.work.supernet, Partition):
            raise InvalidJob(["search.per_leaf: must be false, the supernet is not split (train.split)"])
        halving = config.per_leaf == "halving"
        parts = [leaf.space for leaf in self.work.supernet.leaves]
        return PerPart(parts, self._searcher, halving=halving, evaluations=config.evaluations)
