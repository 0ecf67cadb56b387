"""What networks and sub-accelerators cost together: the layers of the networks, mapped and scheduled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from search_spaces.accelerators.layer_shapes import LayerShape, layers_of
from search_spaces.accelerators.mapping import assigned
from search_spaces.accelerators.schedule import Run, Work, timetable
from search_spaces.accelerators.sub_accelerator import SubAccelerators, Table
from search_spaces.architecture import Choice
from search_spaces.decisions import values_within
from search_spaces.encodings import indices_of
from search_spaces.joined_parts import Part

CYCLES, ENERGY, AREA = "cycles", "energy_nj", "area_um2"
UNITS = {CYCLES: "cycles", ENERGY: "nJ", AREA: "um2"}
_REMEMBERED = 1 << 17
_Row = tuple[float, float]


class Line(NamedTuple):
    """A layer in the schedule of one architecture: network, shape, sub-accelerator, and when it runs, in cycles."""

    network: str
    shape: LayerShape
    accelerator: str
    begin: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Accelerated:
    """Costs of networks on sub-accelerators.

    Args:
        networks: Parts whose members are networks made of blocks.
        hardware: Part whose members are the sub-accelerators.
        accelerators: Sub-accelerators to choose from.
        deadline: Most cycles, which the mapper tries to keep with the least energy; None for the least energy.
    """

    networks: tuple[Part, ...]
    hardware: Part
    accelerators: SubAccelerators
    deadline: float | None = None
    _known: dict[bytes, _Row] = field(default_factory=dict, compare=False, repr=False)

    def costs(self, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return cycles, energy and area [N], as whole numbers, of columns of values [N] of all decisions."""
        layers, kinds = self._layers(columns), self._kinds(columns)
        keys = [row.tobytes() for row in np.concatenate([layers.reshape(len(kinds), -1), kinds], axis=1)]
        first: dict[bytes, int] = {}
        for place, key in enumerate(keys):
            if key not in self._known:
                first.setdefault(key, place)
        if first:
            rows = np.array(list(first.values()))
            found = assigned(self._work(layers[rows], kinds[rows]), self.deadline)
            if len(self._known) + len(first) > _REMEMBERED:
                kept = {key: self._known[key] for key in keys if key in self._known}
                self._known.clear()
                self._known.update(kept)
            self._known.update(zip(first, zip(found.cycles.tolist(), found.energy.tolist())))
        cycles, energy = np.array([self._known[key] for key in keys]).reshape(len(keys), 2).T
        area = self.accelerators.area_um2(kinds)
        return {name: _whole(column) for name, column in ((CYCLES, cycles), (ENERGY, energy), (AREA, area))}

    def schedule(self, values: Mapping[str, Choice]) -> list[Line]:
        """Return which layer of one architecture runs when, and where, by the time at which it begins."""
        columns = {name: np.array([value]) for name, value in values.items()}
        layers, kinds = self._layers(columns), self._kinds(columns)
        work = self._work(layers, kinds)
        runs = timetable(work, assigned(work, self.deadline).maps[0])
        names = [name for part in self.networks for name in part.names]
        return sorted((self._line(run, names, layers[0]) for run in runs), key=lambda line: (line.begin, line.network))

    def _line(self, run: Run, names: Sequence[str], rows: np.ndarray) -> Line:
        shape = self._table[0][rows[run.network, run.layer]]
        return Line(names[run.network], shape, self.hardware.names[run.accelerator], run.begin, run.end)

    # ---- from values to layers --------------------------------------------------------------------------------------

    @cached_property
    def _table(self) -> tuple[list[LayerShape], Table, list[np.ndarray]]:
        """Distinct layers of all parts, what they cost on every kind, and which of them each block of a part has.

        The last are numbers of layers [M + 1, B], -1 where there is none; the last block is none.
        """
        numbers: dict[LayerShape, int] = {}
        parts = []
        for part in self.networks:
            own = [layers_of(block) for block in part.space.blocks.distinct]
            of_block = np.full((len(own) + 1, max(map(len, own), default=0)), -1, dtype=np.int64)
            for row, shapes in enumerate(own):
                of_block[row, : len(shapes)] = [numbers.setdefault(shape, len(numbers)) for shape in shapes]
            parts.append(of_block)
        return list(numbers), self.accelerators.table(list(numbers)), parts

    def _layers(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the numbers of the layers [N, C, L] of all networks, -1 behind the last."""
        found = []
        for part, of_block in zip(self.networks, self._table[2]):
            for name in part.names:
                encodings = encoded(part, values_within(name, columns))
                rows = part.space.blocks.rows_of(encodings)
                found.append(of_block[rows].reshape(len(rows), -1))
        longest = max(one.shape[1] for one in found)
        padded = [np.pad(one, ((0, 0), (0, longest - one.shape[1])), constant_values=-1) for one in found]
        layers = np.stack(padded, axis=1)
        layers = np.take_along_axis(layers, np.argsort(layers < 0, axis=2, kind="stable"), axis=2)
        return layers[:, :, : int((layers >= 0).sum(axis=2).max(initial=1))]

    def _kinds(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the number of the kind of every sub-accelerator [N, K]."""
        names = self.hardware.names
        return np.stack([self.accelerators.kinds_of(values_within(name, columns)) for name in names], axis=1)

    def _work(self, layers: np.ndarray, kinds: np.ndarray) -> Work:
        _, (cycles, energy), _ = self._table
        present = layers >= 0
        place = (layers[..., None], kinds[:, None, None, :])
        of = [np.where(present[..., None], values[place], 0.0) for values in (cycles, energy)]
        return Work(of[0], of[1], present.sum(axis=2))


def encoded(part: Part, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return encodings [N, D] of columns of values; those of inactive decisions may be anything."""
    places = [
        indices_of(columns[one.name], one.choices)
        if one.name in columns
        else np.zeros(len(next(iter(columns.values()))), dtype=np.int64)
        for one in part.space.decisions
    ]
    return np.stack(places, axis=1)


def _whole(values: np.ndarray) -> np.ndarray:
    return np.rint(values).astype(np.int64)
