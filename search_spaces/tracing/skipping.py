"""Parts of a network that can be skipped."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn

from search_spaces.tracing.traced import BATCH, Skippable, Units
from search_spaces.tracing.walk import Value, Walk, operation_name

IDENTITY = """
dropout feature_dropout alias clone contiguous to _to_copy detach relu relu6 hardtanh gelu silu hardswish mish
leaky_relu
"""
MOVES = "reshape view _unsafe_view flatten unflatten squeeze unsqueeze permute transpose t"
ADDS = ("add", "sub")
NORMS = "layer_norm batch_norm group_norm rms_norm"


@dataclass
class Scope:
    """A module, or one call of it, in the graph.

    Args:
        path: The module.
        nodes: Its operations, those of inner modules included.
        leaves: Node whose value leaves, where the module can be skipped.
        enters: Node whose value enters.
    """

    path: str
    nodes: list[fx.Node] = field(default_factory=list)
    enters: fx.Node | None = None
    leaves: fx.Node | None = None


def scopes_of(graph: fx.Graph) -> dict[str, Scope]:
    """Return modules with the operations in them; modules that are called more than once are left out."""
    found: dict[str, Scope] = {}
    several: set[str] = set()
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        path, call = node.meta["scope"], node.meta["call"]
        if path != call:
            several.add(path)
        parts = path.split(".") if path else []
        for length in range(1, len(parts) + 1):
            prefix = ".".join(parts[:length])
            found.setdefault(prefix, Scope(prefix)).nodes.append(node)
    return {path: scope for path, scope in found.items() if path not in several}


def skippable_blocks(walk: Walk, units: Mapping[str, Units], module: nn.Module) -> tuple[Skippable, ...]:
    """Return the parts that an identity path bypasses, in the order of the graph."""
    scopes = {path: scope for path, scope in scopes_of(walk.flat.graph).items() if can_be_skipped(scope, walk, units)}
    chosen = [scope for path, scope in scopes.items() if "." not in path or not_inside(path, scopes)]
    picked = [block for scope in chosen for block in pick(scope, scopes, module)]
    place = {node: number for number, node in enumerate(walk.flat.graph.nodes)}
    return tuple(as_block(scope) for scope in sorted(picked, key=lambda scope: place[scope.leaves]))


def not_inside(path: str, scopes: Mapping[str, Scope]) -> bool:
    """Return whether no module around a path can be skipped."""
    parts = path.split(".")
    return not any(".".join(parts[:length]) in scopes for length in range(1, len(parts)))


def pick(scope: Scope, scopes: Mapping[str, Scope], module: nn.Module) -> list[Scope]:
    """Return a module, or those inside it where it is a row of blocks.

    A row holds several blocks with the same weights, or is a container, or is nothing but its one block.
    """
    inner = [other for path, other in scopes.items() if is_directly_inside(path, scope.path, scopes)]
    if not inner:
        return [scope]
    owner = module.get_submodule(scope.path)
    alike = len({signature(module, other.path) for other in inner}) < len(inner)
    container = isinstance(owner, nn.Sequential | nn.ModuleList) and len(inner) > 1
    wrapper = len(inner) == 1 and len(signature(module, inner[0].path)) == len(list(owner.parameters()))
    if alike or container or wrapper:
        return [block for other in inner for block in pick(other, scopes, module)]
    return [scope]


def is_directly_inside(path: str, outer: str, scopes: Mapping[str, Scope]) -> bool:
    """Return whether a module lies in another one, and in none that can be skipped between them."""
    if not path.startswith(outer + "."):
        return False
    parts = path.split(".")
    between = [".".join(parts[:length]) for length in range(outer.count(".") + 2, len(parts))]
    return not any(prefix in scopes for prefix in between)


def signature(module: nn.Module, path: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return names and shapes of the weights of a module."""
    return tuple((name, tuple(tensor.shape)) for name, tensor in module.get_submodule(path).named_parameters())


def can_be_skipped(scope: Scope, walk: Walk, units: Mapping[str, Units]) -> bool:
    """Return whether a module has one input and one output of the same shape and units and an identity between them."""
    inside = set(scope.nodes)
    entering = {
        source
        for node in scope.nodes
        for source in node.all_input_nodes
        if source not in inside and is_live(walk, source)
    }
    leaving = [node for node in scope.nodes if any(user not in inside for user in node.users)]
    if len(entering) != 1 or len(leaving) != 1:
        return False
    enters, leaves = entering.pop(), leaving[0]
    if walk.flat.shapes.get(enters.name) != walk.flat.shapes.get(leaves.name) or enters.op == "placeholder":
        return False
    if not same_units(units[enters.name], units[leaves.name]) or not is_identity(enters, leaves, inside, walk):
        return False
    scope.enters, scope.leaves = enters, leaves
    return True


def is_live(walk: Walk, node: fx.Node) -> bool:
    """Return whether a node follows from the network's input."""
    value = walk.values.get(node.name)
    items = value if isinstance(value, list) else [value]
    return any(isinstance(item, Value) and item.live for item in items)


def same_units(one: Units, other: Units) -> bool:
    """Return whether two values have the same units in all dimensions."""
    return all(
        (a is None and b is None) or (a is not None and b is not None and bool((a == b).all()))
        for a, b in zip(one, other, strict=True)
    )


def is_identity(enters: fx.Node, leaves: fx.Node, inside: set[fx.Node], walk: Walk) -> bool:
    """Return whether some path of additions and moves of dimensions brings each element to its own place.

    The moves are carried out on the numbers of the elements. Activations and norms on the path are let pass: what
    enters has been through those of the block before.
    """
    shape = [size // BATCH if size % BATCH == 0 else size for size in walk.flat.shapes[enters.name]]
    start = torch.arange(int(torch.tensor(shape).prod())).reshape(shape)
    reached: dict[fx.Node, Tensor] = {enters: start}
    added: set[fx.Node] = set()
    for node in walk.flat.graph.nodes:
        if node in inside:
            moved = step(node, reached, walk)
            if moved is not None:
                reached[node] = moved
            if moved is not None and (operation_name(node) in ADDS or added.intersection(node.all_input_nodes)):
                added.add(node)
    found = reached.get(leaves)
    return leaves in added and found is not None and found.shape == start.shape and bool(found.equal(start))


def step(node: fx.Node, reached: Mapping[fx.Node, Tensor], walk: Walk) -> Tensor | None:
    """Return the elements' numbers after one operation; None where it is no part of an identity path."""
    name = operation_name(node)
    sources = [source for source in node.all_input_nodes if source in reached]
    if not sources:
        return None
    value = reached[sources[0]]
    if name in ADDS and not (name == "sub" and node.args[0] not in reached):
        return value if passes(node, sources[0], walk) else None
    if name == "mul":
        weights = [source for source in node.all_input_nodes if source is not sources[0]]
        return (
            value if all(not is_live(walk, source) for source in weights) and passes(node, sources[0], walk) else None
        )
    if node.args[0] is not sources[0]:
        return None
    if name in IDENTITY.split() or name in NORMS.split():
        return value
    return moved_numbers(node, value) if name in MOVES.split() else None


def passes(node: fx.Node, source: fx.Node, walk: Walk) -> bool:
    """Return whether an operation keeps the shape of a source."""
    return walk.flat.shapes[node.name] == walk.flat.shapes[source.name]


def moved_numbers(node: fx.Node, value: Tensor) -> Tensor:
    """Carry out a move of dimensions for a batch of one."""

    def single(item: object) -> object:
        return item // BATCH if isinstance(item, int) and item and item % BATCH == 0 else item

    args = [[single(item) for item in arg] if isinstance(arg, list | tuple) else single(arg) for arg in node.args[1:]]
    moved = node.target(value.contiguous(), *args, **node.kwargs)  # type: ignore[operator]
    assert isinstance(moved, Tensor)
    return moved


def as_block(scope: Scope) -> Skippable:
    """Return a module that can be skipped, with the nodes and tensors that only it needs."""
    assert scope.enters is not None
    assert scope.leaves is not None
    inside = set(scope.nodes)
    own = [*only_for(inside, scope.nodes), *scope.nodes]
    return Skippable(scope.path, scope.enters.name, scope.leaves.name, tuple(node.name for node in own))


def only_for(inside: set[fx.Node], nodes: Sequence[fx.Node]) -> Iterator[fx.Node]:
    """Yield the nodes outside that only nodes inside read: tensors, and what is computed from tensors alone."""
    seen: set[fx.Node] = set()
    for node in nodes:
        for source in node.all_input_nodes:
            if source.op == "get_attr" and source not in seen and all(user in inside for user in source.users):
                seen.add(source)
                yield source
