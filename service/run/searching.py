"""The search of a job: its searcher, its journal, and the evaluators of its candidates."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nas.search.earlier_search import EarlierSearch
from nas.search.journal import Evaluation, Journal, StandardErrors, is_begun, read_evaluations
from nas.search.loop import search
from nas.search.pareto import hypervolume, pareto_front
from nas.search.problem import Problem
from nas.search.reachable import nearest_found
from nas.search.stopping import Stopping
from nas.searchers import PerPart, Searcher, violation_within
from nas.searchers.seeded import Seeded
from search_spaces import Space
from service import catalogue
from service.errors import InvalidJob
from service.job import searchers
from service.job.folder import write_json
from service.run.context import JobContext
from service.run.evaluators import EvaluationWorkers, Ready, SubnetEvaluator, devices
from service.run.stages.outputs import JOURNAL
from supernets import Partition
from supernets.learned import Learned
from supernets.streams import PART

_LEARNED = "learned"  # argument of searchers that follow what a training has learned


def search_supernet(context: JobContext, volume_path: Path) -> None:
    """Search the supernet of a job; the journal holds what was evaluated.

    Args:
        context: The job with its supernet.
        volume_path: Path of the file that the hypervolume over the search is written to in the end.

    Raises:
        InvalidJob: No architecture within the limits could be evaluated.
    """
    searching = _Search(context)
    evaluations = searching.evaluations()
    problem = context.problem
    for warning in context.proxies.report(evaluations):
        context.events({"event": "warning", "time": time.time(), "message": warning})
    if not pareto_front(evaluations, problem.directions):
        reasons = sorted({e.reason or "" for e in evaluations}) or ["the searcher found none within them"]
        reason = nearest_found(evaluations, problem.bounds) or reasons[0]
        raise InvalidJob([f"no candidate of {len(evaluations)} kept every limit and could be evaluated: {reason}"])
    for warning in _idle_limits(evaluations, problem):
        context.events({"event": "warning", "time": time.time(), "message": warning})
    refused = {"refused": searching.refused} if searching.refused else {}
    write_json(volume_path, {**hypervolume(evaluations, problem.directions).to_json(), **refused})


def _idle_limits(evaluations: Sequence[Evaluation], problem: Problem) -> Iterator[str]:
    """Yield a line for each limit on what is measured that every evaluated network keeps."""
    for objective in problem.measured:
        values = [e.values[objective.name] for e in evaluations if objective.name in e.values]
        bound = problem.bounds.get(objective.name)
        if bound is not None and values and all(bound.violation(value) == 0 for value in values):
            reached = f"{min(values):.4g} to {max(values):.4g} {objective.unit}".rstrip()
            all_kept = f"all {len(values)} networks kept this limit, they have {reached}"
            yield f"search.constraints.{objective.name}: {all_kept}"


@dataclass
class _Search:
    """The search of the supernet of a job.

    Args:
        context: The job with its supernet.
    """

    context: JobContext
    refused: int = field(default=0, init=False)

    def evaluations(self) -> list[Evaluation]:
        config, events = self.context.job.search, self.context.events
        path = self.context.folder / JOURNAL
        slots, earlier = self._slots(path), self._earlier()
        errors = StandardErrors(self.context.problem.optimised)
        searcher = self._searcher_per_leaf() if config.per_leaf else self._warm(earlier, errors)
        journal = Journal(path, self._header(slots, earlier, follows_evaluations=searcher.follows_evaluations))
        stopping = Stopping(gain_percent=config.stop_gain, hours=config.hours)
        errors.journal = journal
        with self._evaluators(slots) as evaluators, closing(journal):
            found = search(
                self.context.proxies.filtered(searcher),
                self.context.problem,
                journal,
                space=self.context.space,
                evaluations=config.evaluations,
                observer=self._told,
                evaluators=evaluators,
                stopping=stopping,
            )
        if stopping.reason is not None:
            events({"event": "ended", "time": time.time(), "reason": stopping.reason})
        return found

    def _told(self, event: dict[str, Any]) -> None:
        """Pass an event on, and remember how many architectures limits have kept from an evaluation."""
        self.refused = event.get("refused", self.refused)
        self.context.events(event)

    def _header(self, slots: int, earlier: EarlierSearch | None, *, follows_evaluations: bool) -> dict[str, Any]:
        """Return what the search is; a journal of another one is refused."""
        config, chooser = self.context.job.search, self.context.job.proxies
        header = {
            "space": self.context.space.name,
            "searcher": config.searcher,
            **({"searcher_options": config.searcher_options} if config.searcher_options else {}),
            **({"filter": [chooser.filter, chooser.proposals]} if chooser.filter else {}),
            "objectives": self.context.problem.describe(),
            "population": config.population,
            "seed": self.context.job.seed,
            **({"per_leaf": config.per_leaf} if config.per_leaf else {}),
            **({"bf16": True} if config.bf16 else {}),
            **({"alone": asdict(config.alone)} if config.alone is not None else {}),
        }
        if self.context.table:
            header["latency_table"] = self.context.table.fingerprint
        if follows_evaluations:
            header["evaluations"] = config.evaluations
        if slots > 1:
            header["workers"] = slots
        if earlier is not None:
            header["warm_start"] = {"evaluations": len(earlier.evaluations), "front": [a.key for a in earlier.front()]}
        return header

    def _slots(self, path: Path) -> int:
        """Return how many candidates are evaluated at the same time.

        The questions to the searcher depend on it, so a resumed search keeps the number it began with, for any number
        of processes.
        """
        if is_begun(path):
            return int(read_evaluations(path)[0].get("workers", 1))
        return self.context.workers

    @contextmanager
    def _evaluators(self, slots: int) -> Iterator[EvaluationWorkers | None]:
        """Open the processes that evaluate what takes long; what is measured one after the other stays here."""
        elsewhere = [objective.name for objective in self.context.problem.measured if not objective.serial]
        if (slots == 1 and self.context.workers == 1) or not elsewhere:
            yield None
            return

        def warn(message: str) -> None:
            self.context.events({"event": "warning", "time": time.time(), "message": message})

        ready = [
            Ready(SubnetEvaluator(self.context.folder, self.context.job, device, self.context.inputs, elsewhere))
            for device in devices(self.context.job.device, self.context.workers)
        ]
        self.context.workers = max(self.context.workers, slots)  # quality is read elsewhere, on any number of processes
        with EvaluationWorkers(ready, names=elsewhere, slots=slots, warn=warn) as workers:
            yield workers

    def _earlier(self) -> EarlierSearch | None:
        path = self.context.job.search.warm_start
        return None if path is None else EarlierSearch.read(Path(path), self.context.space)

    def _warm(self, earlier: EarlierSearch | None, errors: StandardErrors) -> Searcher:
        """Return the searcher of the whole space, told of noise and of an earlier search if there was one."""
        known: dict[str, Any] = {"standard_errors": errors}
        if _LEARNED in catalogue.parameters("searcher", self.context.job.search.searcher):
            known[_LEARNED] = self._learned()
        if earlier is not None:
            known["warm_start"] = earlier.rows(self.context.problem.directions)
        searcher = self._searcher(self.context.space, known=known)
        if searcher.derives and known.get(_LEARNED) is None:
            name = self.context.job.search.searcher
            kinds = "train.relaxation or train.tickets"
            raise InvalidJob([f"search.searcher: {name} needs a supernet of a training with {kinds}"])
        if earlier is None or searcher.learns_from_earlier:
            return searcher
        return Seeded(searcher, earlier.front())

    def _learned(self) -> Learned | None:
        """Return what the training has learned about choices: probabilities, or a ticket, which is one architecture."""
        supernet = self.context.supernet
        return supernet.learned if supernet.ticket is None else supernet.ticket.learned(supernet.space)

    def _searcher(self, space: Space, part: int | None = None, *, known: Mapping[str, Any] | None = None) -> Searcher:
        """Return the searcher of the space, or of one part of it, with a seed of its own."""
        seed, problem = self.context.job.seed, self.context.problem
        violation = problem.exact_violation
        if part is None:
            known = {"exact": problem.exact_losses, "limits": problem.loss_limits, **(known or {})}
            return searchers.make(self.context.job.search, space, seed, violation, known)
        own_seed = PART.seed(seed, part)
        return searchers.make(
            self.context.job.search, space, own_seed, violation_within(space, self.context.space, violation)
        )

    def _searcher_per_leaf(self) -> Searcher:
        """Return a searcher for each part of a supernet that was split."""
        config = self.context.job.search
        if not isinstance(self.context.supernet, Partition):
            raise InvalidJob(["search.per_leaf: must be false, the supernet is not split (train.split)"])
        halving = config.per_leaf == "halving"
        parts = [leaf.space for leaf in self.context.supernet.leaves]
        return PerPart(parts, self._searcher, halving=halving, evaluations=config.evaluations)
