"""Evaluation in processes: answers, deaths, replacement."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from nas.search.evaluators import Candidate, Measured
from search_spaces import Architecture
from service.run.evaluators import EvaluationWorkers


@dataclass(frozen=True)
class Fragile:
    """Says the number of an architecture; its process is killed at some numbers, the first time or always."""

    folder: Path

    def __call__(self):
        return self.evaluate

    def evaluate(self, candidate: Candidate) -> Measured:
        number = int(candidate.architecture["number"])
        again = self.folder / str(number)
        if number == 13 or (number == 7 and not again.exists()):
            again.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 5:
            raise LookupError("no supernet")
        return Measured(values={"accuracy": float(number), "process": float(os.getpid())})


def candidate(number: int) -> Candidate:
    return Candidate(Architecture({"number": number}))


@pytest.mark.integration
def test_candidates_of_killed_processes_are_evaluated_again_and_given_up_after_the_third(tmp_path):
    warnings: list[str] = []
    with EvaluationWorkers([Fragile(tmp_path)] * 2, names=["accuracy"], slots=4, warn=warnings.append) as workers:
        for number in (1, 7, 13, 2):
            workers.start(candidate(number))
        found = dict(workers.finished() for _ in range(4))
        processes = [worker.process for worker in workers._workers if worker is not None]
    assert {c.architecture["number"]: m.values.get("accuracy") for c, m in found.items()} == {
        1: 1,
        7: 7,
        13: None,
        2: 2,
    }
    assert "3 processes ended, the last with exit code -9" in found[candidate(13)].reason
    assert len(warnings) == 4
    assert not any(process.is_alive() for process in processes)


@pytest.mark.integration
def test_an_evaluator_that_cannot_be_made_ends_the_search_with_its_reason(tmp_path):
    with EvaluationWorkers([Fragile(tmp_path)], names=["accuracy"]) as workers:
        workers.start(candidate(5))
        with pytest.raises(LookupError, match="no supernet"):
            workers.finished()
