"""What a network does otherwise in training, found by a second trace in training mode."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from torch import Tensor, fx, nn

from search_spaces.tracing.flat import Flat, TraceError, flatten
from search_spaces.tracing.traced import Training
from search_spaces.tracing.walk import operation_name

DROPOUTS = ("dropout", "feature_dropout", "alpha_dropout")
KNOWN = (*DROPOUTS, "batch_norm")
"""Operations that follow the mode of their module when they run."""
LAYOUTS = ("contiguous", "clone", "alias")
"""Operations that change no numbers."""
Literals = Mapping[int, Mapping[str, tuple[Any, ...]]]


@dataclass(frozen=True)
class Compared:
    """Two flat graphs of a network, side by side.

    Args:
        flat: That of evaluation.
        other: That of training.
        same: Operation of training -> the same one of evaluation.
        only: Operations of training that evaluation has not, and the other way round.
    """

    flat: Flat
    other: Flat
    same: dict[fx.Node, fx.Node] = field(default_factory=dict)
    only: list[fx.Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        ours, theirs = calls(self.flat), calls(self.other)
        inputs = zip(*(one.graph.find_nodes(op="placeholder") for one in (self.other, self.flat)))
        outputs = zip(*(one.graph.find_nodes(op="output") for one in (self.other, self.flat)))
        self.same.update([*inputs, *outputs])
        matcher = SequenceMatcher(None, [*map(key_of, ours)], [*map(key_of, theirs)], autojunk=False)
        for tag, start, end, their_start, their_end in matcher.get_opcodes():
            if tag == "equal":
                self.same.update(zip(theirs[their_start:their_end], ours[start:end]))
            else:
                self.only.extend([*theirs[their_start:their_end], *ours[start:end]])


def flat_of(module: nn.Module, example: tuple[Tensor, ...]) -> tuple[Flat, Flat | TraceError | None]:
    """Return the flat graphs of a network in evaluation and in training.

    That of training is None where it does nothing otherwise but drop values and normalise by batches, and the reason
    where it has none. Modules that only training shows, such as stochastic depth of the user's own, become dropouts.
    """
    flat = flatten(module, example)
    if not flat.asked:
        return flat, None
    try:
        other = flatten(module, example, training=True)
        silent = silent_modules(module, Compared(flat, other))
        if silent:
            heard = flatten(module, example, drops=silent)
            if [*map(key_of, calls(flat))] == [
                key_of(node) for node in calls(heard) if node.meta["scope"] not in silent
            ]:
                return heard, flatten(module, example, drops=silent, training=True)
    except TraceError as error:
        return flat, error
    return flat, other


def silent_modules(module: nn.Module, compared: Compared) -> frozenset[str]:
    """Return the modules without tensors that training alone shows."""
    ours = {str(node.meta["scope"]) for node in calls(compared.flat)}
    shown = {str(node.meta["scope"]) for node in compared.only} - ours - {""}
    leaves = {path: list(module.get_submodule(path).children()) for path in shown}
    return frozenset(
        path for path, inner in leaves.items() if not inner and not module.get_submodule(path).state_dict()
    )


def training_of(
    module: nn.Module, flat: Flat, other: Flat | TraceError | None, literals: Literals
) -> tuple[Training, Literals]:
    """Return what a network does otherwise in training, and the literals of other sides for its graph.

    Dropouts that only training has are written into the graph of evaluation.
    """
    held = held_in_evaluation(module)
    if other is None:
        return Training(held=held), literals
    if isinstance(other, TraceError):
        return Training(held=held, left_out=(f"all that it does otherwise: {other}",)), literals
    compared = Compared(flat, other)
    dropped = [node for node in compared.only if operation_name(node) in DROPOUTS and node.args[0] in compared.same]
    lost = [node for node in compared.only if node not in dropped and operation_name(node) not in LAYOUTS]
    for node in dropped:
        literals = insert(node, compared, literals)
    arguments: dict[str, Mapping[int, Any]] = {}
    for its, mine in compared.same.items():
        differs = differing(mine, its)
        if differs is None:
            lost.append(mine)
        elif differs:
            arguments[mine.name] = differs
    return Training(arguments=arguments, held=held, left_out=shown(lost)), literals


def insert(node: fx.Node, compared: Compared, literals: Literals) -> Literals:
    """Write a dropout of training into the graph of evaluation; return literals that read it where training does."""
    graph, before = compared.flat.graph, compared.same[node.args[0]]  # type: ignore[index]
    with graph.inserting_after(before):
        new = graph.create_node("call_function", node.target, (before, node.args[1], False))
    new.meta = dict(node.meta)
    compared.flat.shapes[new.name] = compared.flat.shapes[before.name]  # type: ignore[index]
    compared.same[node] = new
    readers = {compared.same[user] for user in node.users if user in compared.same}
    for reader in readers:
        reader.replace_input_with(before, new)

    def moved(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        reads = any(reader.name == name for reader in readers)
        return fx.map_arg(args, lambda one: new if one is before else one) if reads else args

    return {side: {name: moved(name, args) for name, args in own.items()} for side, own in literals.items()}


def held_in_evaluation(module: nn.Module) -> tuple[str, ...]:
    """Return the modules that stay in evaluation mode when the network is trained, by a `train` of its own."""
    if all(type(inner).train is nn.Module.train for inner in module.modules()):
        return ()
    return tuple(path for path, inner in deepcopy(module).train().named_modules() if not inner.training)


def shown(nodes: Sequence[fx.Node]) -> tuple[str, ...]:
    """Return for people which operations of which modules these are."""
    found: dict[str, dict[str, None]] = {}
    for node in nodes:
        found.setdefault(str(node.meta["scope"]) or "the network", {})[operation_name(node)] = None
    return tuple(f"{scope} ({', '.join(names)})" for scope, names in found.items())


def calls(flat: Flat) -> list[fx.Node]:
    """Return the operations of a graph."""
    return [node for node in flat.graph.nodes if node.op == "call_function"]


def key_of(node: fx.Node) -> tuple[str, str, Any]:
    """Return by what two operations are taken for the same one: a dropout also by its rate."""
    rate = node.args[1] if operation_name(node) in DROPOUTS else None
    return str(node.target), str(node.meta["call"]), rate


def differing(mine: fx.Node, its: fx.Node) -> dict[int, Any] | None:
    """Return the arguments that differ in training by their position; None where those are no plain values."""
    if operation_name(mine) in KNOWN or not hasattr(mine.target, "_schema"):
        return {}
    if plain(mine.kwargs) != plain(its.kwargs) or len(its.args) < len(mine.args):
        return None
    padded = [*mine.args, *defaults(mine, len(mine.args), len(its.args))]
    places = [place for place, (one, other) in enumerate(zip(padded, its.args)) if plain(one) != plain(other)]
    if any(has_node(its.args[place]) or has_node(padded[place]) for place in places):
        return None
    return {place: its.args[place] for place in places}


def defaults(node: fx.Node, start: int, end: int) -> Iterator[Any]:
    """Yield the values of arguments that are not given."""
    for argument in node.target._schema.arguments[start:end]:  # type: ignore[union-attr]
        yield argument.default_value


def plain(value: Any) -> Any:
    """Return an argument with all values of nodes taken as equal."""
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    return fx.Node if isinstance(value, fx.Node) else value


def has_node(value: Any) -> bool:
    """Return whether a value of the graph is in an argument."""
    return any(map(has_node, value)) if isinstance(value, list | tuple) else isinstance(value, fx.Node)
