"""Sub-accelerators as decisions: PEs, dataflow and bandwidth of each, within what all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np

from search_spaces.accelerators.cost_model import DATAFLOWS, area_um2, layer_costs
from search_spaces.accelerators.layer_shapes import LayerShape
from search_spaces.accelerators.schedule import NEVER
from search_spaces.architecture import Choice, Decision, InvalidArchitecture
from search_spaces.encodings import indices_of
from search_spaces.errors import FieldError
from search_spaces.limits import check_fields, rise

PES, DATAFLOW, BANDWIDTH = "pes", "dataflow", "bandwidth"
_MOST_LISTED = 10**6


class Table(NamedTuple):
    """What layers cost on every kind of sub-accelerator, the last of which is not there: cycles and energies [L, H]."""

    cycles: np.ndarray
    energy_nj: np.ndarray


@dataclass(frozen=True, kw_only=True)
class SubAccelerators:
    """Several sub-accelerators with the same choices, and what they have together.

    Args:
        count: Number of sub-accelerators.
        dataflows: Dataflows to choose from: dla, shi, rs.
        pes: Numbers of PEs to choose from; one that is not used has 0.
        bandwidths: Bytes for each cycle to choose from; at 1 GHz they are GB/s.
        most_pes: Most PEs of all together.
        most_bandwidth: Most bytes for each cycle of all together.
    """

    count: int = 2
    dataflows: tuple[str, ...] = DATAFLOWS
    pes: tuple[int, ...] = tuple(range(256, 4097, 256))
    bandwidths: tuple[int, ...] = tuple(range(8, 65, 8))
    most_pes: int = 4096
    most_bandwidth: int = 64

    def __post_init__(self) -> None:
        known = set(self.dataflows) <= set(DATAFLOWS) and len(set(self.dataflows)) == len(self.dataflows) > 0
        check_fields(
            self,
            [
                ("count", 1 <= self.count <= 8, "from 1 to 8"),
                ("dataflows", known, f"distinct and among {', '.join(DATAFLOWS)}"),
                ("pes", rise(self.pes) and self.pes[-1] <= 2**16, "rising numbers from 1 to 65,536"),
                ("bandwidths", rise(self.bandwidths) and self.bandwidths[-1] <= 2**16, "rising numbers from 1"),
                ("most_pes", bool(self.pes) and self.most_pes >= self.pes[0], "at least the least of pes"),
                (
                    "most_bandwidth",
                    bool(self.bandwidths) and self.most_bandwidth >= self.bandwidths[0],
                    "at least the least of bandwidths",
                ),
            ],
        )

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The decisions of one sub-accelerator."""
        used = {"parent": PES, "active_when": self.pes}
        return (
            Decision(PES, (0, *self.pes)),
            Decision(DATAFLOW, self.dataflows, **used),  # type: ignore[arg-type]
            Decision(BANDWIDTH, self.bandwidths, **used),  # type: ignore[arg-type]
        )

    def check(self, chosen: Sequence[Mapping[str, Choice]]) -> None:
        """Refuse sub-accelerators that need more than there is, or of which none is used.

        Args:
            chosen: Values of the decisions of each.

        Raises:
            InvalidArchitecture: Says what there is too much of.
        """
        pes = sum(int(one[PES]) for one in chosen)
        bandwidth = sum(int(one.get(BANDWIDTH, 0)) for one in chosen)
        if pes == 0:
            raise InvalidArchitecture("no sub-accelerator is used: one must have PEs")
        if pes > self.most_pes:
            raise InvalidArchitecture(f"all sub-accelerators have {pes} PEs, at most {self.most_pes} are there")
        if bandwidth > self.most_bandwidth:
            raise InvalidArchitecture(
                f"all sub-accelerators have {bandwidth} bytes for each cycle, at most {self.most_bandwidth} are there"
            )

    # ---- kinds: the number of a sub-accelerator among all that can be chosen ----------------------------------------

    @cached_property
    def kinds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Number of the dataflow, PEs and bandwidth [H + 1] of every kind; the last one is not used and has none."""
        flows, pes, bandwidths = (
            one.ravel() for one in np.meshgrid(np.arange(len(self.dataflows)), self.pes, self.bandwidths, indexing="ij")
        )
        return tuple(np.append(one, 0) for one in (flows, pes, bandwidths))  # type: ignore[return-value]

    def kinds_of(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the number of the kind [N] of columns of values [N] of the decisions of one sub-accelerator; those of
        inactive decisions may lack.
        """
        flow, pes, bandwidth = (
            indices_of(columns[name], choices) if name in columns else np.zeros(len(columns[PES]), dtype=np.int64)
            for name, choices in ((DATAFLOW, self.dataflows), (PES, (0, *self.pes)), (BANDWIDTH, self.bandwidths))
        )
        kind = (flow * len(self.pes) + pes - 1) * len(self.bandwidths) + bandwidth
        return np.where(pes == 0, len(self.kinds[0]) - 1, kind)

    def table(self, layers: Sequence[LayerShape]) -> Table:
        """Return what layers cost on every kind: cycles and energies [L, H + 1], `NEVER` where it is not used."""
        flows, pes, bandwidths = (one[:-1] for one in self.kinds)
        cycles = np.full((len(layers), len(flows) + 1), NEVER)
        energy = cycles.copy()
        for row, layer in enumerate(layers):
            for place, dataflow in enumerate(self.dataflows):
                of = np.flatnonzero(flows == place)
                cycles[row, of], energy[row, of] = layer_costs(layer, dataflow, pes[of], bandwidths[of])
        return Table(cycles, energy)

    def area_um2(self, kinds: np.ndarray) -> np.ndarray:
        """Return the area [N] of all sub-accelerators of kinds [N, K]."""
        _, pes, bandwidths = self.kinds
        return area_um2(pes[kinds], bandwidths[kinds]).sum(axis=1)

    def allocations(self) -> int | None:
        """Return how many different sets of sub-accelerators keep within what there is; None where that is too many
        to count.
        """
        _, pes, bandwidths = self.kinds
        kinds = len(pes)
        if kinds**self.count > _MOST_LISTED:
            return None
        rows = np.array(list(combinations_with_replacement(range(kinds), self.count)))
        total = pes[rows].sum(axis=1)
        inside = (total > 0) & (total <= self.most_pes) & (bandwidths[rows].sum(axis=1) <= self.most_bandwidth)
        return int(inside.sum())

    def ends(self) -> tuple[tuple[dict[str, Choice], ...], tuple[dict[str, Choice], ...]]:
        """Return values of the decisions of a set with the fewest PEs and one with the most."""
        unused: dict[str, Choice] = {PES: 0}
        least: dict[str, Choice] = {PES: self.pes[0], DATAFLOW: self.dataflows[0], BANDWIDTH: self.bandwidths[0]}
        most, pes, bandwidth = [], self.most_pes, self.most_bandwidth
        for _ in range(self.count):
            sizes = [size for size in self.pes if size <= pes]
            rates = [rate for rate in self.bandwidths if rate <= bandwidth]
            if not sizes or not rates:
                most.append(unused)
                continue
            most.append({PES: sizes[-1], DATAFLOW: self.dataflows[-1], BANDWIDTH: rates[-1]})
            pes, bandwidth = pes - sizes[-1], bandwidth - rates[-1]
        return (least, *[unused] * (self.count - 1)), tuple(most)


def checked_options(options: Mapping[str, object]) -> SubAccelerators:
    """Return the sub-accelerators that options of a space name.

    Raises:
        FieldError: One of them is unknown or wrong.
    """
    known = SubAccelerators.__dataclass_fields__
    if unknown := [name for name in options if name not in known]:
        raise FieldError("accelerators", f"has no option {unknown[0]!r}; allowed: {', '.join(known)}")
    lists = {name: tuple(value) if isinstance(value, list | tuple) else value for name, value in options.items()}
    try:
        return SubAccelerators(**lists)  # type: ignore[arg-type]
    except FieldError as error:
        raise FieldError("accelerators", f"{error.field} {error.text}") from error
    except TypeError as error:
        raise FieldError("accelerators", f"has an option of another type: {error}") from error
