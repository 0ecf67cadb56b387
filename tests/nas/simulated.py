"""Workers that exist in simulated time only."""

import heapq
from collections.abc import Collection, Sequence

from nas.objectives import Objective
from nas.search.evaluators import Candidate, Measured, measure


class SimulatedWorkers:
    """Evaluators whose processes take so many seconds for a candidate, each its own time.

    Args:
        objectives: What they evaluate.
        seconds: Of every worker.
    """

    def __init__(self, objectives: Sequence[Objective], seconds: Sequence[float]) -> None:
        self.objectives, self.seconds = objectives, list(seconds)
        self.slots = len(self.seconds)
        self.names: Collection[str] = [objective.name for objective in objectives]
        self.now = self.busy = 0.0
        self._idle = list(range(self.slots))
        self._ends: list[tuple[float, int, Candidate]] = []

    def start(self, candidate: Candidate) -> None:
        worker = self._idle.pop(0)
        self.busy += self.seconds[worker]
        heapq.heappush(self._ends, (self.now + self.seconds[worker], worker, candidate))

    def finished(self) -> tuple[Candidate, Measured]:
        self.now, worker, candidate = heapq.heappop(self._ends)
        self._idle.append(worker)
        return candidate, measure(self.objectives, candidate)
