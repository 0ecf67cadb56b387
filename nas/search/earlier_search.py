"""An earlier search of the same space, for another one to learn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.search.evaluators import FULL
from nas.search.journal import Evaluation, read_evaluations
from nas.search.pareto import Direction, losses, pareto_front
from search_spaces import Architecture, Space


@dataclass(frozen=True)
class EarlierSearch:
    """Evaluations of an earlier search.

    Attributes:
        evaluations: Evaluations on all of the data, without those that failed or do not fit this space.
        objectives: Objectives of that search, with their directions.
    """

    evaluations: Sequence[Evaluation]
    objectives: Sequence[Direction]

    @classmethod
    def read(cls, path: Path, space: Space) -> "EarlierSearch":
        """Read an earlier search from a journal, or from the job folder that holds one.

        Raises:
            ValueError: There is no journal, or it is damaged or of another space.
        """
        journal = path / "search" / "journal.jsonl" if path.is_dir() else path
        if not journal.is_file() or not journal.stat().st_size:
            raise ValueError(f"{path}: there is no journal of a search")
        header, evaluations = read_evaluations(journal)
        if header.get("space") != space.name:
            raise ValueError(f"{path}: is a search of {header.get('space')}, this one is of {space.name}")
        described: Sequence[Mapping[str, Any]] = header.get("objectives", [])
        directions = [(d["name"], bool(d["maximise"])) for d in described if d.get("optimised", True)]
        return cls.of(evaluations, directions, space)

    @classmethod
    def of(cls, evaluations: Sequence[Evaluation], objectives: Sequence[Direction], space: Space) -> "EarlierSearch":
        """Return it from its evaluations."""
        kept = [e for e in evaluations if e.status != "failed" and e.fidelity == FULL and e.architecture in space]
        return cls(kept, list(objectives))

    def front(self) -> list[Architecture]:
        """Return the best architectures then."""
        return [evaluation.architecture for evaluation in pareto_front(self.evaluations, self.objectives)]

    def rows(self, objectives: Sequence[Direction]) -> list[tuple[Architecture, np.ndarray]]:
        """Return architectures and their losses [K] in the objectives of this search.

        An objective that was not measured then is replaced by one that this search does not have, such as the latency
        of another device. If there is none, its losses are the same for all.
        """
        then = dict(self.objectives)
        ours = {name for name, _ in objectives}
        spare = [direction for direction in self.objectives if direction[0] not in ours]
        taken: list[Direction | None] = []
        for name, maximise in objectives:
            known = name in then or all(name in e.values for e in self.evaluations)
            taken.append((name, maximise) if known else spare.pop(0) if spare else None)
        columns = [
            losses(self.evaluations, [direction])[:, 0] if direction else np.zeros(len(self.evaluations))
            for direction in taken
        ]
        return [(e.architecture, row) for e, row in zip(self.evaluations, np.stack(columns, axis=1))]
