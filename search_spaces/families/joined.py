"""Several networks and the accelerator that runs them, as one space.

Paper: Yang et al., Co-Exploration of Neural Architectures and Heterogeneous ASIC Accelerator Designs Targeting Multiple
Tasks (NASAIC), arXiv 2002.04116, sections II and III.
Differs: any spaces of networks that are made of blocks can be joined, on the same inputs; costs are those of our own
model, see `search_spaces.accelerators.cost_model`. The published grid of PEs has smaller steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from search_spaces.accelerators.evaluation import AREA, CYCLES, ENERGY, UNITS, Accelerated, encoded
from search_spaces.accelerators.sub_accelerator import SubAccelerators, checked_options
from search_spaces.architecture import Architecture
from search_spaces.decisions import values_within
from search_spaces.errors import FieldError
from search_spaces.families.nasbench_macro import nasbench_macro
from search_spaces.inputs import Input
from search_spaces.joined_parts import Joined, Part
from search_spaces.space import Space

if TYPE_CHECKING:
    from torch import nn

HARDWARE = "accelerator"
_DEFAULT = {"name": "nasbench_macro", "times": 2}
_MOST_TIMES = 8
_PART_FIELDS = ("name", "options", "times")
MakeSpace = Callable[[str, Mapping[str, Any]], Space]
"""Name and options of a space -> the space."""


@dataclass(frozen=True, kw_only=True)
class Codesign:
    """Networks and sub-accelerators that are chosen together.

    Args:
        networks: Parts whose members are networks.
        accelerators: Sub-accelerators to choose from.
        deadline: Most cycles until all networks have ended, see `Accelerated`.
    """

    networks: tuple[Part, ...]
    accelerators: SubAccelerators
    deadline: float | None = None

    @property
    def hardware(self) -> Part:
        """The part whose members are sub-accelerators."""
        space = Space(name=HARDWARE, decisions=self.accelerators.decisions)
        return Part(name=HARDWARE, space=space, times=self.accelerators.count, check=self.accelerators.check)

    @property
    def joined(self) -> Joined:
        """All parts as one."""
        return Joined(parts=(*self.networks, self.hardware))

    def space(self) -> Space:
        """Return the joined space."""
        allocations = self.accelerators.allocations()
        networks = Joined(parts=self.networks).size
        joined = self.joined
        space = Space(
            name="joined",
            decisions=joined.decisions,
            inputs=_inputs(self.networks),
            network=self.network,
            fold=joined.fold,
            size=None if allocations is None else networks * allocations,
            extremes=self._extremes(joined),
            places=joined.places,
            cost=Costs(self),
            unordered=tuple(UNITS),
            units=UNITS,
            parts={part.name: part.space for part in self.networks},
        )
        elastic = all(part.space.is_elastic for part in self.networks)
        return replace(space, build=self.supernet) if elastic else space

    def _extremes(self, joined: Joined) -> tuple[dict[str, Any], dict[str, Any]]:
        ends = []
        for end, hardware in enumerate(self.accelerators.ends()):
            members: dict[str, Any] = {
                part.name: [part.space.largest() if end else part.space.smallest()] * part.times
                for part in self.networks
            }
            ends.append(joined.joined(members | {HARDWARE: hardware}))
        return ends[0], ends[1]

    # ---- networks ---------------------------------------------------------------------------------------------------

    def network(self, architecture: Architecture) -> nn.Module:
        """Return the networks of one architecture with fresh weights."""
        from search_spaces.elastic import SideBySide
        from search_spaces.networks.joined_network import JoinedNetwork

        return JoinedNetwork(
            {
                part.name: SideBySide([part.space.subnet(values_within(name, architecture)) for name in part.names])
                for part in self.networks
            }
        )

    def supernet(self) -> nn.Module:
        """Return the networks of all architectures; members of one part share all weights."""
        from search_spaces.elastic import ElasticSideBySide
        from search_spaces.networks.joined_network import JoinedNetwork

        return JoinedNetwork({part.name: ElasticSideBySide(part.space.build(), part.names) for part in self.networks})


class Costs:
    """The costs of a joined space: those of its networks, added up, and those on its sub-accelerators."""

    def __init__(self, codesign: Codesign) -> None:
        self.codesign = codesign
        self.accelerated = Accelerated(
            networks=codesign.networks,
            hardware=codesign.hardware,
            accelerators=codesign.accelerators,
            deadline=codesign.deadline,
        )

    def __reduce__(self) -> tuple[type[Costs], tuple[Codesign]]:
        return Costs, (self.codesign,)

    def __call__(self, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return columns of costs [N] of columns of values [N]."""
        on_chip = self.accelerated.costs(columns)
        return {**_summed(self.codesign.networks, columns), **{name: on_chip[name] for name in (CYCLES, ENERGY, AREA)}}


def _summed(networks: tuple[Part, ...], columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what the networks cost themselves, added up."""
    total: dict[str, np.ndarray] = {}
    for part in networks:
        for name in part.names:
            for cost, values in part.space.costs(encoded(part, values_within(name, columns))).items():
                total[cost] = total.get(cost, 0) + values
    return total


def joined(
    *,
    parts: Mapping[str, Any] | None = None,
    accelerators: Mapping[str, Any] | None = None,
    deadline_cycles: float | None = None,
    make_space: MakeSpace | None = None,
) -> Space:
    """Return the space of several networks and the sub-accelerators that run them.

    Args:
        parts: Networks by name, each a mapping of `name` and `options` of its space; `times` says how many networks of
            this kind there are, which are then alike: they share weights, and their order does not matter. By default
            two networks of `nasbench_macro`.
        accelerators: Fields of `SubAccelerators` that differ from the default: count, dataflows, pes, bandwidths,
            most_pes, most_bandwidth.
        deadline_cycles: Most cycles of all networks together, which layers are mapped by; a job that limits `cycles`
            need not say it.
        make_space: Makes a space of its name and options.
    """
    if parts is None:
        parts = {"net": Part(name="net", space=nasbench_macro(), times=2) if make_space is None else _DEFAULT}
    if not parts:
        raise FieldError("parts", "must name at least one network")
    if deadline_cycles is not None and not deadline_cycles > 0:
        raise FieldError("deadline_cycles", f"must be more than 0, got {deadline_cycles}")
    networks = tuple(_part(name, one, make_space) for name, one in parts.items())
    names = [called for part in networks for called in part.names]
    hardware = checked_options(accelerators or {})
    names += Part(name=HARDWARE, space=networks[0].space, times=hardware.count).names
    if len(set(names)) < len(names):
        raise FieldError("parts", f"must have names of their own, got {', '.join(names)}")
    return Codesign(networks=networks, accelerators=hardware, deadline=deadline_cycles).space()


def _part(name: str, one: Any, make_space: MakeSpace | None) -> Part:
    """Return a part as a job writes it; a space in its place is taken as it is."""
    if not str(name).isidentifier():
        raise FieldError("parts", f"must be called by letters, digits and '_', got {name!r}")
    if isinstance(one, Part | Space):
        part = one if isinstance(one, Part) else Part(name=name, space=one)
        space, times = part.space, part.times
    else:
        space, times = _read(name, one, make_space)
    if space.places is None:
        raise FieldError("parts", f"must be networks that are made of blocks; {name} is {space.name}, which says none")
    return Part(name=name, space=space, times=times)


def _read(name: str, one: Any, make_space: MakeSpace | None) -> tuple[Space, int]:
    if not isinstance(one, Mapping) or "name" not in one or set(one) - set(_PART_FIELDS):
        raise FieldError("parts", f"must be mappings of {', '.join(_PART_FIELDS)}; {name} is {one!r}")
    times, options = one.get("times", 1), one.get("options") or {}
    if not isinstance(times, int) or not 1 <= times <= _MOST_TIMES or not isinstance(options, Mapping):
        raise FieldError(
            "parts", f"must have times from 1 to {_MOST_TIMES} and a mapping of options; {name} is {one!r}"
        )
    if make_space is None:
        raise TypeError("parts given by name need `make_space`")
    try:
        return make_space(str(one["name"]), options), times
    except (ValueError, TypeError) as error:
        raise FieldError("parts", f"can't be made: {name}: {error}") from error


def _inputs(networks: tuple[Part, ...]) -> tuple[Input, ...]:
    """Return the inputs that all networks take; each resizes them as its architecture says."""
    first = networks[0].space.inputs
    for part in networks[1:]:
        if [(one.shape, one.dtype) for one in part.space.inputs] != [(one.shape, one.dtype) for one in first]:
            shapes = " and ".join(str([one.shape for one in space.inputs]) for space in (networks[0].space, part.space))
            raise FieldError("parts", f"must take the same inputs; {networks[0].name} and {part.name} take {shapes}")
    return tuple(Input(one.shape, one.dtype, values=one.values, lengths=one.lengths) for one in first)
