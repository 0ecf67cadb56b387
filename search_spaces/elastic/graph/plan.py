"""What a setting asks of a traced network, as numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from search_spaces.architecture import Choice, Setting
from search_spaces.errors import FieldError
from search_spaces.sizes import AnySize, Size, largest, resolve_number
from search_spaces.tracing.traced import Traced

Runs = tuple[str, frozenset[Choice]]


@dataclass(frozen=True)
class Plan:
    """One setting of a traced network.

    Args:
        counts: Units that each following group keeps, in the order of `Following.groups`.
        skipped: Scopes of the blocks that do not run.
        kernels: Kernel size of each following depthwise convolution, by node.
        side: Side of the images in pixels; None for that of the trace.
    """

    counts: tuple[int, ...]
    skipped: frozenset[str]
    kernels: Mapping[str, int]
    side: int | None


class Following:
    """What follows decisions in a traced network, and how.

    Args:
        traced: The trace.
        groups: Group -> units that it keeps.
        blocks: Scope of a block that can be skipped -> decision, and the choices of it under which the block runs.
        kernels: Node of a depthwise convolution -> its kernel size.
        resolution: Side of the images in pixels; None for that of the trace.

    Raises:
        FieldError: A name or number is not one of the trace.
    """

    def __init__(
        self,
        traced: Traced,
        groups: Mapping[str, AnySize],
        blocks: Mapping[str, Runs],
        kernels: Mapping[str, AnySize],
        resolution: AnySize | None,
    ) -> None:
        known = {"groups": traced.group, "blocks": {one.scope for one in traced.blocks}}
        known["kernels"] = {one.node for one in traced.kernels}
        for field, given in (("groups", groups), ("blocks", blocks), ("kernels", kernels)):
            for name in given:
                if name not in known[field]:
                    raise FieldError(field, f"name {name!r}, which the trace does not have")
        for name, size in groups.items():
            _check(f"groups.{name}", size, range(1, traced.group[name].size + 1))
        for kernel in traced.kernels:
            if kernel.node in kernels:
                _check(f"kernels.{kernel.node}", kernels[kernel.node], range(kernel.size, 0, -2))
        if resolution is not None:
            _check("resolution", resolution, traced.literals)
        whole = {name: traced.group[name].size for name in groups}
        self.groups = {name: size for name, size in groups.items() if size != whole[name]}
        self.blocks, self.resolution = dict(blocks), resolution
        self.kernels = _by_weight(traced, kernels)

    def largest(self) -> Plan:
        """Return the largest setting."""
        return Plan(
            tuple(largest(size) for size in self.groups.values()),
            frozenset(),
            {node: largest(size) for node, size in self.kernels.items()},
            None if self.resolution is None else largest(self.resolution),
        )

    def plan(self, setting: Setting, before: Plan) -> Plan:
        """Return what a setting asks for; what an inactive decision says stays as before.

        Raises:
            TypeError: The setting mixes choices of a decision.
        """
        numbers = {name: resolve_number(size, setting) for name, size in self.groups.items()}
        counts = tuple(old if new is None else new for new, old in zip(numbers.values(), before.counts))
        kernels = {node: resolve_number(size, setting) for node, size in self.kernels.items()}
        side = None if self.resolution is None else resolve_number(self.resolution, setting)
        skipped = set()
        for scope, (decision, runs) in self.blocks.items():
            choice = setting.get(decision)
            if isinstance(choice, Mapping):
                raise TypeError(f"{decision} skips blocks: its choices {tuple(choice)} cannot be mixed")
            if scope in before.skipped if choice is None else choice not in runs:
                skipped.add(scope)
        return Plan(
            counts,
            frozenset(skipped),
            {node: before.kernels[node] if size is None else size for node, size in kernels.items()},
            before.side if side is None else side,
        )

    def sizes(self) -> Iterator[tuple[str, Size]]:
        """Yield each group that follows a decision, with its size."""
        for name, size in self.groups.items():
            if isinstance(size, Size):
                yield name, size


def _by_weight(traced: Traced, kernels: Mapping[str, AnySize]) -> dict[str, AnySize]:
    """Return the kernel size of every node that shares its weight with one that has a size.

    Raises:
        FieldError: Two nodes share a weight and have different sizes.
    """
    first: dict[str, tuple[str, AnySize]] = {}
    for kernel in traced.kernels:
        if kernel.node in kernels:
            node, size = first.setdefault(kernel.weight, (kernel.node, kernels[kernel.node]))
            if size != kernels[kernel.node]:
                raise FieldError(f"kernels.{kernel.node}", f"must be that of {node}, which has the same weight")
    return {one.node: first[one.weight][1] for one in traced.kernels if one.weight in first}


def _check(field: str, size: AnySize, allowed: range | Mapping[int, object]) -> None:
    for number in size.values.values() if isinstance(size, Size) else (size,):
        if number not in allowed:
            listed = list(allowed)
            shown = ", ".join(map(str, listed)) if len(listed) < 9 else f"{min(listed)} to {max(listed)}"
            raise FieldError(field, f"must be one of {shown}, got {number}")
