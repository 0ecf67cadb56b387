"""The stages of a traced network: lists of blocks, found from the modules that can be skipped or that hold channels.

No name is known here. A stage is the module whose children are the blocks, such as `layer1`, `blocks.3` or
`stages.0.blocks`, which is called `stages.0`. What lies in no stage belongs to its outermost module.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces.tracing import Group, Skippable, Traced

WHOLE = "network"
"""Name of the stage of blocks that lie in no module but the network itself."""


@dataclass(frozen=True)
class Stage:
    """A list of blocks.

    Args:
        name: What decisions call it.
        container: Module whose children the blocks are.
        blocks: Blocks that can be skipped, in the order of the graph.
        fixed: Blocks of the same kind beside them that always run.
    """

    name: str
    container: str
    blocks: tuple[Skippable, ...]
    fixed: int


class Stages:
    """The stages of a network, and which of them anything in it belongs to.

    Args:
        traced: What is known of the network.

    Attributes:
        all: Stages that have blocks to skip, by name.
    """

    def __init__(self, traced: Traced) -> None:
        self._traced = traced
        blocks, parents = traced.blocks, {_parent(block.scope) for block in traced.blocks}
        found: dict[str, list[Skippable]] = {}
        for block in blocks:  # a block inside a block of a list belongs to that list
            around = [parent for parent in parents if parent and is_inside(block.scope, parent)]
            found.setdefault(min(around, key=len, default=""), []).append(block)
        fixed = {container: self._fixed(container, own) for container, own in found.items()}
        found, fixed = _merged(found, fixed)
        self._containers = {container: _short(container, found) for container in found}
        self._families = {_parent(name) for name in self._containers.values() if _is_number(name)}
        self._scopes = {block.scope for block in blocks}
        self._add_others()
        self.all = {
            (name := self._containers[container]): Stage(name, container, tuple(own), fixed[container])
            for container, own in found.items()
        }

    def of(self, path: str) -> str:
        """Return the stage that a module or tensor belongs to."""
        inside = [container for container in self._containers if is_inside(path, container)]
        if inside:
            return self._containers[max(inside, key=len)]
        for family in sorted(self._families, key=len, reverse=True):
            rest = path.removeprefix(f"{family}.") if is_inside(path, family) else ""
            if rest.partition(".")[0].isdigit():
                return f"{family}.{rest.partition('.')[0]}"
        return path.partition(".")[0]

    def of_group(self, group: Group, tensors: Sequence[str]) -> str:
        """Return the stage of a group: the one that its scope lies in, else the one with most of its layers.

        Args:
            group: A group of the network.
            tensors: Names of the tensors that it has a part of, in the order of the network.
        """
        if group.kind != "stream" and group.scope and any(is_inside(group.scope, name) for name in self._containers):
            return self.of(group.scope)
        layers = dict.fromkeys(_parent(name) or name for name in tensors)
        return Counter(self.of(layer) for layer in layers).most_common(1)[0][0]

    def block_of(self, path: str) -> str | None:
        """Return the scope of the block that can be skipped and that a module lies in; None where there is none."""
        return next((scope for scope in self._scopes if is_inside(path, scope)), None)

    def block_around(self, path: str) -> str:
        """Return the child of a list of blocks that a module is, or lies in; empty where there is none."""
        inside = [container for container in self._containers if is_inside(path, container) and path != container]
        if not inside:
            return ""
        container = max(inside, key=len)
        child = path.removeprefix(f"{container}." if container else "").partition(".")[0]
        return f"{container}.{child}" if container else child

    def _add_others(self) -> None:
        """Find lists of blocks of which none can be skipped, from the modules that hold channels of their own."""
        for group in self._traced.groups:
            if group.kind == "stream" or not group.scope or self.block_of(group.scope):
                continue
            container = _parent(group.scope)
            near = [other for other in self._containers if is_inside(other, container) or is_inside(container, other)]
            if container and not near and not any(is_inside(container, family) for family in self._families):
                self._containers[container] = container

    def _fixed(self, container: str, blocks: Iterable[Skippable]) -> int:
        """Return how many children of a module are blocks like those that can be skipped, and always run."""
        module = self._traced.module.get_submodule(container)
        inside = [block.scope.removeprefix(f"{container}." if container else "") for block in blocks]
        skipped = {path.partition(".")[0] for path in inside}
        children = dict(module.named_children())
        kinds = {type(children[path]) for path in inside if path in children}
        return sum(name not in skipped and type(child) in kinds for name, child in children.items())


def is_inside(path: str, scope: str) -> bool:
    """Return whether a module or tensor is, or lies in, the module at `scope`; empty is the whole network."""
    return not scope or path == scope or path.startswith(f"{scope}.")


def tensors_of(traced: Traced) -> dict[str, list[str]]:
    """Return for every group the names of the tensors that it has a part of."""
    ends = np.array([group.first + group.size for group in traced.groups])
    found: dict[str, list[str]] = {group.name: [] for group in traced.groups}
    for name, units in traced.tensors.items():
        present = {unit for dimension in units if dimension is not None for unit in np.unique(dimension) if unit >= 0}
        for place in dict.fromkeys(int(np.searchsorted(ends, unit, side="right")) for unit in sorted(present)):
            found[traced.groups[place].name].append(name)
    return found


def _merged(
    found: dict[str, list[Skippable]], fixed: dict[str, int]
) -> tuple[dict[str, list[Skippable]], dict[str, int]]:
    """Join lists of one block each that are numbered beside each other: they are one stage."""
    families: dict[str, list[str]] = {}
    for container in found:
        if _is_number(container):
            families.setdefault(_parent(container), []).append(container)
    for family, containers in families.items():
        if len(containers) > 1 and all(len(found[one]) == 1 and not fixed[one] for one in containers):
            found = {name: own for name, own in found.items() if name not in containers} | {
                family: [block for one in containers for block in found[one]]
            }
            fixed = fixed | {family: 0}
    return found, fixed


def _short(container: str, containers: Collection[str]) -> str:
    """Return a container without a last part such as `blocks`, where no other one is meant then."""
    head, _, last = container.rpartition(".")
    alone = sum(is_inside(other, head) for other in containers) == 1
    return (head if not last.isdigit() and _is_number(head) and alone else container) or WHOLE


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _is_number(path: str) -> bool:
    return path.rpartition(".")[2].isdigit()
