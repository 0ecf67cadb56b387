"""One walk over a flat graph that labels every index of every dimension and ties what operations tie."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import fx

from search_spaces.tracing.flat import Flat
from search_spaces.tracing.labels import Labels, LabelTable
from search_spaces.tracing.traced import BATCH

ONE = "a size of 1"
PIXELS = "positions"
INPUT = "network input"
OUTPUT = "network output"


@dataclass(frozen=True, eq=False)
class Value:
    """Labels of a tensor.

    Args:
        dims: For each dimension the labels of its indices; for the dimension with the batch those of its size divided
            by `BATCH`.
        batch: The dimension that holds the batch, if any does.
        live: Whether the value follows from the network's input.
    """

    dims: tuple[Labels, ...]
    batch: int | None = None
    live: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes without the batch."""
        return tuple(len(labels) for labels in self.dims)


Result = Value | list["Value | None"]


@dataclass
class Notes:
    """What rules note of labels besides ties.

    Args:
        heads: Labels of batch dimensions of products of two values that follow from the input.
        grouped: Labels of grouped convolutions with several channels in a group.
        kernels: Depthwise convolutions and the node of their weight.
    """

    heads: list[Labels] = field(default_factory=list)
    grouped: list[Labels] = field(default_factory=list)
    kernels: list[tuple[fx.Node, fx.Node]] = field(default_factory=list)


@dataclass
class Walk:
    """State of a walk.

    Args:
        flat: The graph.
        tried: Node and block of a reshape -> candidates that ended up pinned in earlier walks.
        labels: All labels.
        values: Node -> value; a list for operations that return several.
        tensors: Name -> value of a tensor.
        notes: What rules noted.
        chosen: Node and block of a reshape -> candidate and the labels that it kept free.
        unknown: Operations without a rule, in the order of the graph.
    """

    flat: Flat
    tried: Mapping[tuple[str, int], tuple[int, ...]] = field(default_factory=dict)
    labels: LabelTable = field(default_factory=LabelTable)
    values: dict[str, Result | None] = field(default_factory=dict)
    tensors: dict[str, Value] = field(default_factory=dict)
    notes: Notes = field(default_factory=Notes)
    chosen: dict[tuple[str, int], tuple[int, Labels, int]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def tensor(self, name: str) -> Value:
        """Return the labels of a tensor of the checkpoint; names of one tensor share them."""
        first = self.flat.same[name]
        if first not in self.tensors:
            dims = [self.size(size) for size in self.flat.tensors[name].shape]
            self.tensors[first] = Value(tuple(dims))
        self.tensors[name] = self.tensors[first]
        return self.tensors[name]

    def size(self, size: int) -> Labels:
        """Return new labels of a dimension that nothing ties yet; a size of 1 stays."""
        return self.labels.fresh(size) if size != 1 else self.labels.fixed(1, ONE)

    def fixed(self, shape: Sequence[int], reason: str, live: bool) -> Value:
        """Return the value of a given shape in which every index stays."""
        batch = next((d for d, size in enumerate(shape) if live and size and size % BATCH == 0), None)
        sizes = [size // BATCH if d == batch else size for d, size in enumerate(shape)]
        return Value(tuple(self.labels.fixed(size, reason) for size in sizes), batch, live)

    def pin(self, value: Value, reason: str) -> None:
        """Pin all indices of a value."""
        for labels in value.dims:
            self.labels.pin(labels, reason)


@dataclass(frozen=True)
class Call:
    """One operation of the graph, as its rule sees it.

    Args:
        walk: The walk.
        node: The operation.
        arguments: Argument by the name in its schema; tensors are values, lists of tensors lists of values.
    """

    walk: Walk
    node: fx.Node
    arguments: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """Return an argument by name."""
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument that some operations of a family lack."""
        value = self.arguments.get(name)
        return default if value is None else value

    @property
    def labels(self) -> LabelTable:
        """All labels of the walk."""
        return self.walk.labels

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result, with the batch."""
        return self.walk.flat.shapes[self.node.name]

    @property
    def inputs(self) -> list[Value]:
        """All tensors that enter, in order."""
        found: list[Value] = []
        for value in self.arguments.values():
            found += [
                item for item in (value if isinstance(value, list | tuple) else [value]) if isinstance(item, Value)
            ]
        return found

    @property
    def live(self) -> bool:
        """Whether the network's input enters."""
        return any(value.live for value in self.inputs)

    @property
    def batch(self) -> int | None:
        """Dimension of the result that holds the batch, where sizes alone tell it."""
        if not any(value.batch is not None for value in self.inputs):
            return None
        return next((d for d, size in enumerate(self.shape) if size and size % BATCH == 0), None)

    def sizes(self) -> list[int]:
        """Return the sizes of the result without the batch."""
        batch = self.batch
        return [size // BATCH if d == batch else size for d, size in enumerate(self.shape)]

    def result(self, dims: Sequence[Labels | None], reason: str = PIXELS) -> Value:
        """Return the result with given labels; a missing dimension stays, for the reason."""
        sizes = self.sizes()
        filled = []
        for labels, size in zip(dims, sizes, strict=True):
            mixes_examples = labels is not None and size == BATCH * len(labels)
            filled.append(self.labels.fixed(size, reason) if labels is None or mixes_examples else labels)
        if [len(labels) for labels in filled] != sizes:
            raise ValueError(f"rule of {self.node.target} gives {[len(d) for d in filled]}, not {sizes}")
        return Value(tuple(filled), self.batch, self.live)

    def pinned(self, reason: str) -> Result:
        """Pin everything that enters, and return a result in which everything stays."""
        for value in self.inputs:
            self.walk.pin(value, reason)
        parts = self.node.meta.get("parts")
        if parts is not None:
            return [None if shape is None else self.walk.fixed(shape, reason, self.live) for shape in parts]
        return self.walk.fixed(self.shape, reason, self.live)


Rule = Callable[[Call], Result]


def walk_graph(flat: Flat, rules: Mapping[str, Rule], tried: Mapping[tuple[str, int], tuple[int, ...]]) -> Walk:
    """Label a whole graph."""
    walk = Walk(flat, tried)
    for name in flat.tensors:
        walk.tensor(name)
    for node in flat.graph.nodes:
        walk.values[node.name] = label_node(walk, node, rules)
    return walk


def label_node(walk: Walk, node: fx.Node, rules: Mapping[str, Rule]) -> Result | None:
    """Label the result of one node."""
    if node.op == "placeholder":
        return walk.fixed(walk.flat.shapes[node.name], INPUT, live=True)
    if node.op == "get_attr":
        return walk.tensor(str(node.target))
    if node.op == "output":
        for source in node.all_input_nodes:
            value = walk.values[source.name]
            walk.pin(value, OUTPUT) if isinstance(value, Value) else None
        return None
    return label_call(walk, node, rules)


def label_call(walk: Walk, node: fx.Node, rules: Mapping[str, Rule]) -> Result | None:
    """Label the result of one operation, by the rule of its name."""
    if getattr(node.target, "__name__", "") == "getitem":
        source, number = node.args
        assert isinstance(source, fx.Node)
        assert isinstance(number, int)
        parts = walk.values[source.name]
        assert isinstance(parts, list)
        return parts[number]
    call = Call(walk, node, named_arguments(walk, node))
    name = operation_name(node)
    rule = rules.get(name)
    if node.name not in walk.flat.shapes and "parts" not in node.meta:
        return None
    if rule is None:
        walk.unknown.append(name)
        return call.pinned(f"the operation {name} has no rule")
    return rule(call)


def operation_name(node: fx.Node) -> str:
    """Return the name of an ATen operation without overload and without the mark of in-place ones."""
    schema = getattr(node.target, "_schema", None)
    name = schema.name.rpartition("::")[2] if schema is not None else getattr(node.target, "__name__", str(node.target))
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def named_arguments(walk: Walk, node: fx.Node) -> dict[str, Any]:
    """Return the arguments of an operation by the names in its schema, defaults included."""

    def labelled(old: fx.Node) -> Any:
        return walk.values[old.name]

    args, kwargs = fx.map_arg((node.args, node.kwargs), labelled)
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {str(index): value for index, value in enumerate(args)} | dict(kwargs)
    named = {item.name: item.default_value for item in schema.arguments if item.has_default_value()}
    named |= {item.name: value for item, value in zip(schema.arguments, args)}
    return named | dict(kwargs)


def tie_all(labels: LabelTable, groups: np.ndarray) -> None:
    """Tie all labels in each row [rows, labels]."""
    if groups.shape[1] > 1:
        labels.merge(groups[:, :1], groups[:, 1:])
