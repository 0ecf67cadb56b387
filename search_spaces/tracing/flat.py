"""The flat graph of a network: regions of other modes inlined, tensors under the names of the checkpoint."""

import copy
import io
import logging
import operator
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import InputKind
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from search_spaces.tracing.folding import fold_creations
from search_spaces.tracing.traced import BATCH

HOLDS_TENSORS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
UNKNOWN_RATE = 0.5
DROPS_PATHS = ("DropPath", "StochasticDepth")
MODES_KNOWN = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    _BatchNorm,
    torch.jit.ScriptModule,
)
"""Modules whose training is no secret: the graph has their operation in evaluation too."""
NO_RESULT = {torch.ops.aten._assert_tensor_metadata.default}
"""Checks of the exporter, which say nothing of the network."""


class TraceError(ValueError):
    """A network that cannot be traced, with the reason in one line."""


@dataclass(frozen=True)
class Flat:
    """A flat graph of ATen operations and its tensors.

    Args:
        graph: The graph. The `meta` of a node has `scope`, the path of its module; `call`, the same with the number of
            the call if a module is called several times; `autocast`, where it lies in a region of other precision;
            `drops`, where it stands for a module that only training shows.
        tensors: Name -> tensor, for every `get_attr` node and for all of the state dict.
        constants: Names among them that the state dict does not have.
        shapes: Node -> shape of its value.
        same: Name of a tensor -> first name of the same tensor.
        asked: Modules that ask whether they are trained, dropouts and batch norms aside.
        drops: Modules that only training shows, and that are dropouts of the graph.
    """

    graph: fx.Graph
    tensors: Mapping[str, Tensor]
    constants: frozenset[str]
    shapes: Mapping[str, tuple[int, ...]]
    same: Mapping[str, str]
    asked: frozenset[str] = frozenset()
    drops: frozenset[str] = frozenset()


def flatten(
    module: nn.Module, example: tuple[Tensor, ...], *, drops: frozenset[str] = frozenset(), training: bool = False
) -> Flat:
    """Return the flat graph of a network for a batch of `BATCH`, in evaluation mode unless it is `training`.

    A copy is exported, because some networks keep tables of their first forward. The exporter works on shapes alone,
    so that the large batch costs nothing.

    Args:
        module: The network.
        example: Its inputs, with any batch.
        drops: Modules besides those of usual names that only training shows.
        training: Whether it is in training mode.

    Raises:
        TraceError: The network cannot be exported.
    """
    refuse_multiples(module, example)
    # Never written to: memory that is only reserved.
    inputs = tuple(tensor.new_empty(BATCH, *tensor.shape[1:]) for tensor in example)
    twin, drops = copied(module, drops, training)
    asked = watched(twin)
    try:
        with silent():
            program = torch.export.export(twin, inputs, strict=False)
    except Exception as error:  # The exporter fails in many ways, and each means the same.
        raise TraceError(f"the network cannot be exported as a graph: {said(error)}") from error
    writer = Writer(program, module, drops)
    graph, shapes = writer.graph, writer.shapes
    state = module.state_dict(keep_vars=True)
    folded = fold_creations(graph, shapes)
    constants = {**writer.constants, **folded}
    tensors = {**state, **constants}
    return Flat(graph, tensors, frozenset(constants), shapes, first_names(tensors), frozenset(asked), drops)


@contextmanager
def silent() -> Iterator[None]:
    """Keep the exporter from warning of tables of a copy, and from printing graphs and advice before it fails."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def said(error: Exception) -> str:
    """Return in one line what the exporter says, and the line of the network at which it stopped."""
    if type(error).__name__ == "GuardOnDataDependentSymNode":
        text = "what it computes next depends on the values of its input"
    else:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    library = str(Path(torch.__file__).parent)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(library)]
    last = frames[-1] if frames else None
    inside = last is not None and Path(last.filename) != Path(__file__)
    return f"{text} (line {last.lineno} of {Path(last.filename).name})" if last is not None and inside else text


def refuse_multiples(module: nn.Module, example: tuple[Tensor, ...]) -> None:
    """Refuse a network with a size that would be taken for the batch."""
    sizes = [(f"input {number}", tensor.shape[1:]) for number, tensor in enumerate(example)]
    sizes += [(name, tensor.shape) for name, tensor in module.state_dict().items()]
    for name, shape in sizes:
        if any(size and size % BATCH == 0 for size in shape):
            raise TraceError(f"{name} has the shape {tuple(shape)}: a size must not be a multiple of {BATCH}")


def copied(module: nn.Module, drops: frozenset[str], training: bool) -> tuple[nn.Module, frozenset[str]]:
    """Return a copy whose layers that drop whole paths are dropouts, so that the graph has them, and their paths.

    In training mode, its batch norms stay in evaluation mode: what they do in training is known.
    """
    twin = copy.deepcopy(module).eval()
    for path, inner in list(twin.named_modules()):
        rate = getattr(inner, "drop_prob", getattr(inner, "p", None))
        if path in drops or (type(inner).__name__ in DROPS_PATHS and isinstance(rate, float) and path):
            twin.set_submodule(path, nn.Dropout(rate if isinstance(rate, float) else UNKNOWN_RATE))
            drops |= {path}
    twin.train(training)
    for inner in twin.modules():
        if isinstance(inner, _BatchNorm):
            inner.eval()
    return twin, drops


def watched(twin: nn.Module) -> set[str]:
    """Let modules note when they are asked for their mode; return the paths of those that were, filled later."""
    asked: set[str] = set()

    def watching(kind: type[nn.Module], path: str) -> type[nn.Module]:
        def read(self: nn.Module) -> bool:
            asked.add(path)
            return bool(self.__dict__["training"])

        def write(self: nn.Module, value: bool) -> None:
            self.__dict__["training"] = value

        return type(kind.__name__, (kind,), {"training": property(read, write), "__module__": kind.__module__})

    for path, inner in twin.named_modules():
        if not isinstance(inner, MODES_KNOWN):
            inner.__class__ = watching(type(inner), path)
    return asked


def first_names(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return for each name the first name of the same tensor."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in tensors.items()}


@dataclass
class Writer:
    """What writes the graph of an exported program anew, without regions and with tensors as attributes."""

    program: torch.export.ExportedProgram
    module: nn.Module
    drops: frozenset[str]
    graph: fx.Graph = field(default_factory=fx.Graph)
    constants: dict[str, Tensor] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        source = self.program.graph_module
        values: dict[fx.Node, Any] = {}
        specs = {spec.arg.name: spec for spec in self.program.graph_signature.input_specs}
        for node in source.graph.find_nodes(op="placeholder"):
            spec = specs[node.name]
            if spec.kind in HOLDS_TENSORS:
                if node.users:
                    values[node] = self.tensor(node, spec.target)
            elif isinstance(node.meta.get("val"), Tensor):
                values[node] = self.put(self.graph.placeholder(node.name), node)
                values[node].meta |= {"dtype": node.meta["val"].dtype, "device": node.meta["val"].device}
        results = list(self.copied(source, values, None))
        self.graph.output(pytree.tree_unflatten(results, self.program.call_spec.out_spec))

    def tensor(self, node: fx.Node, name: str) -> fx.Node:
        """Write one tensor, under its name in the state dict if it is there."""
        if name in self.program.constants and name not in self.module.state_dict():
            held = self.program.constants[name]
            own = dict(self.module.named_buffers()).get(name)
            self.constants[name] = own if own is not None else held.detach().clone()
        attribute = self.graph.create_node("get_attr", name, name=node.name)
        return self.put(attribute, node, scope=name.rpartition(".")[0])

    def put(self, new: fx.Node, old: fx.Node, scope: str | None = None, region: Any = None) -> fx.Node:
        """Note shape and place of a node that is written."""
        stack = list((old.meta.get("nn_module_stack") or {}).items())
        path = scope if scope is not None else (stack[-1][1][0] if stack else "")
        new.meta = {"scope": path, "call": path + call_number(stack[-1][0] if stack and scope is None else "")}
        if region is not None:
            new.meta["autocast"] = region
        if path in self.drops:
            new.meta["drops"] = True
        value = old.meta.get("val")
        if isinstance(value, Tensor):
            self.shapes[new.name] = tuple(value.shape)
        elif isinstance(value, list | tuple):
            new.meta["parts"] = [tuple(part.shape) if isinstance(part, Tensor) else None for part in value]
        return new

    def copied(self, source: fx.GraphModule, values: dict[fx.Node, Any], region: Any) -> Iterator[Any]:
        """Write the operations of a graph and yield what it returns."""
        for node in source.graph.nodes:
            if node.op == "output":
                yield from pytree.tree_map(
                    lambda item: values[item] if isinstance(item, fx.Node) else item,
                    list(pytree.tree_leaves(node.args)),
                )
            elif node.op == "get_attr":
                values[node] = getattr(source, str(node.target))
            elif node.op == "call_function" and node.target not in NO_RESULT:
                values[node] = self.call(node, values, region)

    def call(self, node: fx.Node, values: dict[fx.Node, Any], region: Any) -> Any:
        """Write one operation, or all those of a region under another mode."""
        name, args = getattr(node.target, "__name__", str(node.target)), cast(tuple[Any, ...], node.args)
        if name == "wrap_with_set_grad_enabled":
            return self.region(values[args[1]], args[2:], values, region)
        if name == "wrap_with_autocast":
            device, dtype, enabled, _, inner = args[:5]
            return self.region(values[inner], args[5:], values, (device, dtype, enabled))
        if node.target is operator.getitem and not isinstance(values[args[0]], fx.Node):
            return values[args[0]][args[1]]
        new = self.graph.node_copy(node, lambda old: values[old])
        return self.put(new, node, region=region)

    def region(self, source: fx.GraphModule, arguments: Any, values: Mapping[fx.Node, Any], region: Any) -> list[Any]:
        """Write the operations of a region in place, and return its results."""
        inner = dict(zip(source.graph.find_nodes(op="placeholder"), [values[item] for item in arguments]))
        return list(self.copied(source, inner, region))


def call_number(key: str) -> str:
    """Return the part of a module's key in the trace that numbers its calls, such as `@1`; empty for the first."""
    _, mark, number = key.rpartition("@")
    return mark + number if mark else ""
