"""Measuring a latency table: every distinct block of a space, then a few dozen whole networks.

Blocks and networks are measured in groups, in an order drawn at random, each group beside the same reference network.
Where the reference was slower than elsewhere, the machine was slower too, and the group is corrected for it. The rest
of the time goes into further passes over everything, so that one bad minute decides nothing.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from nas.hardware.examples import Example
from nas.hardware.latency_correction import MIN_NETWORKS
from nas.hardware.latency_table import LatencyTable, MeasuredNetwork, Part, works
from nas.search.journal import Records
from search_spaces import Architecture, Space
from search_spaces.errors import FieldError
from search_spaces.simulated import measurable
from supernets import calibrate
from supernets.estimate import Estimate

Kind = Literal["block", "network"]
Measure = Callable[[list[nn.Module], list[Example]], Sequence[Estimate | Exception]]
"""Networks and what each is called with -> their latencies in ms, with interleaved repeats, or why one has none."""
_GROUP = 12
_DRAWN_PER_NETWORK = 25
_TILT = 2.0
_CALIBRATION_BATCH = 4


class TableFailed(RuntimeError):
    """A table cannot be built, because something that every prediction needs has no latency."""


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """Settings of a latency table.

    Args:
        networks: Whole networks that the correction is fitted to.
        held_out: Further whole networks that the table is judged by.
        minutes: Time to measure in; where it is short, there are fewer networks and passes.
        passes: Most times that everything is measured.
        seed: Seed of the networks that are drawn and of the order of measuring.
    """

    networks: int = 40
    held_out: int = 60
    minutes: float = 10.0
    passes: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for field, least in (("networks", MIN_NETWORKS), ("held_out", 0), ("passes", 1), ("seed", 0)):
            if getattr(self, field) < least:
                raise FieldError(field, f"must be at least {least}, got {getattr(self, field)}")
        if not self.minutes > 0:
            raise FieldError("minutes", f"must be more than 0, got {self.minutes:g}")


class _Group(NamedTuple):
    """Blocks or networks, by their numbers, that are measured together."""

    kind: Kind
    members: tuple[int, ...]


class TableBuilder:
    """The builder of the latency table of a space; what the journal knows already is not measured again.

    Args:
        space: Space whose blocks and networks are measured.
        config: Number of networks and time allowed.
        measure: Measures networks; they are in evaluation mode and on the CPU.
        journal: Records of the measurements, of this table alone.
        observer: Receives the progress.
    """

    def __init__(
        self,
        space: Space,
        config: TableConfig,
        measure: Measure,
        journal: Records,
        observer: Callable[[dict[str, Any]], None] = lambda event: None,
    ) -> None:
        self.space, self.config, self.measure, self.journal, self.observer = space, config, measure, journal, observer
        middle = space.canonical((space.choice_counts // 2)[None])[0]
        self.reference = space.decode(middle)
        self.done: dict[tuple[int, _Group], dict[str, Any]] = {}
        self.chosen: list[tuple[Architecture, Part]] = []
        for record in journal.records:
            self._remember(record)

    def build(self, *, options: dict[str, Any], conditions: dict[str, Any]) -> LatencyTable:
        """Measure what is missing, and return the table.

        Raises:
            TableFailed: A block has no latency, or too few networks have one.
        """
        blocks = self._groups("block", len(self.space.blocks.distinct))
        self._tell(len(blocks))
        for group in blocks:
            self._measured(0, group)
        if not self.chosen:
            architectures = [[architecture.to_json(), part] for architecture, part in self._choose()]
            self._keep({"networks": architectures})
        networks = self._groups("network", len(self.chosen))
        for group in networks:
            if self._in_time() or not self._enough_networks():
                self._measured(0, group)
        for number in range(1, self.config.passes):
            for group in self._shuffled([g for g in (*blocks, *networks) if (0, g) in self.done], number):
                if self._in_time():
                    self._measured(number, group)
        self.observer({"event": "table", "done": len(self.done), "total": len(self.done)})
        return self._table(options, conditions)

    # ---- measuring ------------------------------------------------------------------------------------------------

    def _groups(self, kind: Kind, count: int) -> list[_Group]:
        """Return all blocks or networks in groups, drawn at random."""
        order = self._generator(f"{kind}s").permutation(count).tolist()
        return [_Group(kind, tuple(order[i : i + _GROUP])) for i in range(0, count, _GROUP)]

    def _shuffled(self, groups: list[_Group], number: int) -> Iterator[_Group]:
        yield from (groups[i] for i in self._generator(f"pass {number}").permutation(len(groups)))

    def _generator(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, *purpose.encode()])

    def _measured(self, number: int, group: _Group) -> None:
        if (number, group) in self.done:
            return
        start = time.perf_counter()
        members = [self._member(group.kind, member) for member in group.members]
        modules, examples = zip(self._network(self.reference), *members)
        reference, *latencies = self.measure(list(modules), list(examples))
        if isinstance(reference, Exception):
            raise TableFailed(f"the network of the middle choices has no latency: {reference}")
        self._keep(
            {
                **{"pass": number, "kind": group.kind, "members": list(group.members)},
                **{"reference": _numbers(reference), "ms": [_numbers(latency) for latency in latencies]},
                "seconds": round(time.perf_counter() - start, 3),
            }
        )
        self._tell(len(self.done) + 1)

    def _member(self, kind: Kind, member: int) -> tuple[nn.Module, Example]:
        if kind == "network":
            return self._network(self.chosen[member][0])
        block = self.space.blocks.distinct[member]
        module = block.build()
        if next(module.parameters(), None) is None:  # the measuring function looks for the device there
            module.register_parameter("anchor", nn.Parameter(torch.empty(0)))
        return module.eval(), block.example()

    def _network(self, architecture: Architecture) -> tuple[nn.Module, Example]:
        """Return a network with norms that fit its weights: very small numbers are slow to compute."""
        example = self.space.example(architecture, _CALIBRATION_BATCH)
        network = measurable(self.space.simulated, self.space.subnet(architecture))
        return calibrate(network, [example]).eval(), example

    def _keep(self, record: dict[str, Any]) -> None:
        self.journal.append(record)
        self.journal.sync()
        self._remember(record)

    def _remember(self, record: dict[str, Any]) -> None:
        if "networks" in record:
            self.chosen = [(Architecture.from_json(a), part) for a, part in record["networks"]]
        else:
            self.done[record["pass"], _Group(record["kind"], tuple(record["members"]))] = record

    @property
    def _seconds(self) -> float:
        return sum(record["seconds"] for record in self.done.values())

    def _in_time(self) -> bool:
        """Return whether another group is likely to end within the time."""
        return self._seconds * (1 + 1 / max(len(self.done), 1)) <= 60 * self.config.minutes

    def _enough_networks(self) -> bool:
        measured = [member for _, group in self.done if group.kind == "network" for member in group.members]
        return sum(self.chosen[member][1] == "fit" for member in measured) >= MIN_NETWORKS

    def _tell(self, at_least: int) -> None:
        """Tell the progress in groups, out of all of them or of as many as there is time for."""
        networks = self.config.networks + self.config.held_out
        groups = -(-len(self.space.blocks.distinct) // _GROUP) - (-networks // _GROUP)
        in_time = int(60 * self.config.minutes * len(self.done) / self._seconds) if self.done else groups
        total = max(at_least, min(self.config.passes * groups, in_time))
        self.observer({"event": "table", "done": len(self.done), "total": total})

    # ---- which networks -------------------------------------------------------------------------------------------

    def _choose(self) -> list[tuple[Architecture, Part]]:
        """Return networks from the fastest to the slowest, so that each part is drawn from the whole range."""
        wanted = self.config.networks + self.config.held_out
        values = np.array([[estimate.value] for estimate in self._latencies("block")])
        generator = self._generator("networks")
        encodings = spread(self.space, lambda e: self.space.blocks.totals(values, e)[:, 0], wanted, generator)
        order = generator.permutation(wanted)
        parts: list[Part] = ["fit" if place < self.config.networks else "held_out" for place in order]
        return [(self.space.decode(encoding), part) for encoding, part in zip(encodings, parts)]

    # ---- the table ------------------------------------------------------------------------------------------------

    def _latencies(self, kind: Kind) -> list[Estimate]:
        """Return the latency of each block or network that was measured, over all passes."""
        found = self._by_member(kind)
        return [found[member] for member in sorted(found)]

    def _by_member(self, kind: Kind) -> dict[int, Estimate]:
        records = list(self.done.values())
        slowness = relative_slowness([Estimate(*record["reference"]) for record in records])
        samples: dict[int, list[np.ndarray]] = defaultdict(list)
        failures: dict[int, str] = {}
        for record, factor in zip(records, slowness):
            if record["kind"] == kind:
                for member, numbers in zip(record["members"], record["ms"]):
                    if isinstance(numbers, str):
                        failures[member] = numbers
                    else:
                        samples[member].append(np.array(numbers, dtype=float) / factor)
        if kind == "block" and (lacking := [member for member in failures if member not in samples]):
            key = self.space.blocks.distinct[lacking[0]].key
            raise TableFailed(f"{len(lacking)} blocks have no latency, such as {key}: {failures[lacking[0]]}")
        return {
            member: Estimate(*(float(v) for v in np.median(numbers, axis=0))) for member, numbers in samples.items()
        }

    def _table(self, options: dict[str, Any], conditions: dict[str, Any]) -> LatencyTable:
        networks = [
            MeasuredNetwork(architecture=self.chosen[member][0], latency=latency, part=self.chosen[member][1])
            for member, latency in sorted(self._by_member("network").items())
        ]
        if sum(network.part == "fit" for network in networks) < MIN_NETWORKS:
            raise TableFailed(f"fewer than {MIN_NETWORKS} whole networks have a latency")
        return LatencyTable(
            space=self.space,
            options=options,
            conditions=conditions,
            blocks_ms=self._latencies("block"),
            work=works(self.space),
            networks=networks,
            seconds=self._seconds,
        )


def spread(
    space: Space, cost: Callable[[np.ndarray], np.ndarray], n: int, generator: np.random.Generator
) -> np.ndarray:
    """Return distinct encodings [up to n, D] whose costs are spread evenly, in logarithm, from cheapest to dearest.

    Nearly all random architectures have a medium cost, so half of the pool takes cheap or dear choices more often than
    others.
    """
    drawn = n * _DRAWN_PER_NETWORK
    tilt = np.exp(_TILT * generator.uniform(-1, 1, size=(drawn, 1)))
    tilted = (generator.random((drawn, len(space.decisions))) ** tilt * space.choice_counts).astype(np.int64)
    ends = np.stack([space.encode(space.smallest()), space.encode(space.largest())])
    tilted = space.canonical(tilted[space.valid(tilted)])
    pool = np.unique(np.concatenate([ends, space.sample_encodings(drawn, generator), tilted]), axis=0)
    heights = np.log(cost(pool))
    free = np.ones(len(pool), dtype=bool)
    chosen = []
    for height in np.linspace(heights.min(), heights.max(), min(n, len(pool))):
        distance = np.where(free, np.abs(heights - height), np.inf)
        chosen.append(int(np.argmin(distance)))
        free[chosen[-1]] = False
    return pool[chosen]


def relative_slowness(references: Sequence[Estimate]) -> np.ndarray:
    """Return how slow the machine was [G] when the same network was measured with each of G groups; about 1.

    Differences that the intervals of the measurements explain do not count as a change of the machine.
    """
    values = np.array([reference.value for reference in references])
    if len(values) < 2:
        return np.ones(len(values))
    ratios = values / np.median(values)
    widths = np.array([(reference.high or 0.0) - (reference.low or 0.0) for reference in references]) / values
    noise = float(np.median((widths / 3.92) ** 2))
    changes = float(np.median(np.abs(ratios - 1)) * 1.4826) ** 2
    trusted = np.clip((ratios - 1) ** 2, changes, None)
    return 1 + (ratios - 1) * np.maximum(0.0, 1 - noise / np.maximum(trusted, 1e-12))


def _numbers(measured: Estimate | Exception) -> list[float | None] | str:
    return str(measured) if isinstance(measured, Exception) else [measured.value, measured.low, measured.high]
