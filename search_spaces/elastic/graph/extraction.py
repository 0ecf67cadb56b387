"""The plain network of one setting: a graph and its layers, which hold copies of the active weights."""

import operator
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from search_spaces.blocks import Resize
from search_spaces.elastic.graph.active import Active, padded
from search_spaces.elastic.graph.calls import InRegion, function_of, like, region_of, run_in_region
from search_spaces.elastic.graph.fresh import first_values
from search_spaces.elastic.graph.layers import (
    DROPOUT_LAYERS,
    LAYERS,
    DropPath,
    Tensors,
    WithTraining,
    activation_of,
    filled,
    pool_of,
)
from search_spaces.elastic.graph.literals import Batch, Call, aten
from search_spaces.elastic.graph.modes import drops_paths, follows_mode
from search_spaces.elastic.graph.plain_graph import Part, PlainGraph, paths_around, put_together
from search_spaces.elastic.graph.program import Parts
from search_spaces.elastic.graph.tensors import cut_to, kept_of, kernel_transform, weight_of
from search_spaces.elastic.quantized import quantized

RESIZE = "resize_input"


@dataclass(frozen=True)
class Use:
    """An operation as a layer.

    Args:
        path: Path of the layer.
        names: Name of a tensor in the layer -> its name in the graph.
        call: The operation, its tensors aside.
    """

    path: str
    names: Mapping[str, str]
    call: tuple[Any, ...]


@torch.no_grad()
def extracted_graph(active: Active, parts: Parts, training: bool) -> PlainGraph:
    """Return the plain network of a setting, in the given mode."""
    extraction = Extraction(active, parts)
    network = PlainGraph(extraction.root, extraction.written())
    return network.train(training)


class Extraction:
    """One extraction.

    Args:
        active: The setting.
        parts: Tensors and modules of the elastic network.

    Attributes:
        root: Holds the layers and tensors.
    """

    def __init__(self, active: Active, parts: Parts) -> None:
        self.active, self.parts = active, parts
        self.root = Part()
        self.root.held = active.source.traced.training.held
        self.graph = fx.Graph()
        self._copies: dict[tuple[int, tuple[int, ...]], Tensor] = {}
        self._new: dict[fx.Node, fx.Node] = {}
        self._modules: dict[str, nn.Module] = {}
        self._batches: dict[int, fx.Node] = {}
        self._device: fx.Node | None = None
        self._running = [node for node in active.source.traced.graph.nodes if active.runs(node)]
        self._calls = {node: active.call(node) for node in self._running if node.op == "call_function"}
        self._uses = self._layers()
        self._taken: set[str] = set()

    # ---- tensors --------------------------------------------------------------------------------------------------

    def tensor(self, name: str) -> Tensor:
        """Return a copy of the active part of a tensor; the same one for all names of one tensor."""
        whole, size = self.parts.tensors[name].tensor, self.active.kernel(name)
        copy = cut_to(whole, self.active.cut(name))
        transform = None if size is None else kernel_transform(self.parts.transforms.get(name), size)
        key = (id(whole), tuple(copy.shape))
        if key not in self._copies:
            copy = (copy if transform is None else transform(copy)).detach().clone()
            is_parameter = isinstance(whole, nn.Parameter)
            self._copies[key] = nn.Parameter(copy, requires_grad=whole.requires_grad) if is_parameter else copy
        return self._copies[key]

    def _hold(self, name: str) -> None:
        """Let a tensor lie in the network under its own name."""
        path, _, key = name.rpartition(".")
        holder = self._modules.setdefault(path, Part()) if path else self.root
        assert isinstance(holder, Part)
        tensor, held = self.tensor(name), self.parts.tensors[name]
        if isinstance(tensor, nn.Parameter):
            holder.register_parameter(key, tensor)
        else:
            persistent = held.key not in held.owner._non_persistent_buffers_set
            holder.register_buffer(key, tensor, persistent=persistent)
        rule = first_values(self.active, name, held)
        if rule is not None:
            holder.first_values.rules[key] = rule

    # ---- layers ---------------------------------------------------------------------------------------------------

    def _layers(self) -> dict[fx.Node, Use]:
        """Return the operations that become layers: all uses of their tensors are the same layer."""
        uses = {node: use for node, call in self._calls.items() if (use := self._use(node, call)) is not None}
        users: dict[str, set[fx.Node]] = {}
        for node in self._calls:
            for one in node.all_input_nodes:
                if one.op == "get_attr":
                    users.setdefault(str(one.target), set()).add(node)
        by_path: dict[str, set[fx.Node]] = {}
        for name, nodes in users.items():
            by_path.setdefault(name.rpartition(".")[0], set()).update(nodes)
        good = {
            path
            for path, nodes in by_path.items()
            if path and all(node in uses and uses[node].path == path for node in nodes)
            if len({repr((uses[node].names, uses[node].call)) for node in nodes}) == 1
        }
        return {node: use for node, use in uses.items() if use.path in good}

    def _use(self, node: fx.Node, call: Call) -> Use | None:
        """Return an operation as a layer; None where its tensors are not those of one module."""
        kind = LAYERS.get(call.function)
        if kind is None or call.kwargs:
            return None
        names = {}
        for position, name in kind.names.items():
            given = call.args[position] if position < len(call.args) else None
            if isinstance(given, fx.Node):
                names[name] = str(given.target)
                if given.op != "get_attr" or names[name].rpartition(".")[2] != name:
                    return None
        paths = {name.rpartition(".")[0] for name in names.values()}
        if len(paths) != 1 or any(one.op == "get_attr" for one in node.all_input_nodes[:1]):
            return None
        if "bias" in names and "weight" not in names:  # no layer of torch has it alone
            return None
        rest = tuple(value for position, value in enumerate(call.args) if position and position not in kind.names)
        return Use(paths.pop(), names, (call.function, *rest))

    def _layer(self, node: fx.Node, use: Use) -> nn.Module:
        """Return the layer of an operation."""
        kind, call = LAYERS[use.call[0]], self._calls[node]
        tensors: Tensors = {name: self.tensor(full) for name, full in use.names.items()}
        assert isinstance(call.args[0], fx.Node)
        dimensions = len(self.active.look.shape(call.args[0]))
        layer, name = filled(kind.make(call.args, tensors, dimensions), tensors), weight_of(node)
        quantizer = None if name is None else self.parts.quantizers.get(name)
        if name is None or quantizer is None:
            return layer
        return quantized(layer, quantizer.fixed(len(tensors["weight"]), kept_of(self.active.cut(name))))

    # ---- the graph ------------------------------------------------------------------------------------------------

    def written(self) -> fx.Graph:
        """Write graph and modules; return the graph."""
        kept, ends = self._kept_tensors(), ends_of_parts(self.active, self.parts, list(self._calls))
        self._reserve([use.path for use in self._uses.values()] + [str(node.target) for node in kept])
        for node in self._running:
            if node.op == "placeholder":
                self._new[node] = self._input(node)
            elif node in kept:
                self._hold(str(node.target))
                self._new[node] = self.graph.create_node("get_attr", str(node.target), name=node.name)
            elif node.op == "call_function":
                self._write(node, self._calls[node])
                for path in ends.get(node, ()):
                    if isinstance(self._modules.setdefault(path, Part()), Part):
                        self._new[node] = self.graph.call_module(path, (self._new[node],))
            elif node.op == "output":
                self.graph.output(self._value(node.args[0]))
        for around in {one for path in self._modules for one in paths_around(path)} - set(self._modules):
            is_list = isinstance(self.parts.modules(around), nn.Sequential | nn.ModuleList)
            self._modules[around] = nn.Sequential() if is_list else Part()
        put_together(self.root, self._modules, self.active.source.order)
        return self.graph

    def _kept_tensors(self) -> set[fx.Node]:
        """Return the tensors that are read by other operations than layers."""
        readers = [node for node in self._running if node.op == "output" or node in self._calls]
        taken = [one for node in readers if node not in self._uses for one in node.all_input_nodes]
        return {one for one in taken if one.op == "get_attr"}

    def _input(self, node: fx.Node) -> fx.Node:
        """Write an input; images are resized where the setting says so."""
        new = self.graph.placeholder(node.name)
        side = self.active.plan.side
        if side is None or node is not self.active.source.images:
            return new
        self._modules[RESIZE] = Resize(side)
        return self.graph.call_module(RESIZE, (new,))

    def _write(self, node: fx.Node, call: Call) -> None:
        """Write an operation: as a layer, an activation, a dropout or a function."""
        first = call.args[0] if call.args else None
        taken = self.active.of(first) if isinstance(first, fx.Node) else None
        if node in self._uses:
            path = self._uses[node].path
            if path not in self._modules:
                self._modules[path] = self._layer(node, self._uses[node])
            self._module(node, path, call)
        elif follows_mode(node):
            assert taken is not None
            if call.args[1]:
                self._module(node, self._free(node), call, self._dropout(node, call.args[1]))
            else:
                self._new[node] = self._new[taken]
        elif (module := activation_of(node, call)) is not None or (
            self._is_own(node) and (module := pool_of(call)) is not None
        ):
            self._module(node, self._free(node), call, module)
        else:
            self._function(node, call)
        if taken is not None and _writes_to_first(node):  # who reads its input later reads the result
            self._new[taken] = self._new[node]

    def _dropout(self, node: fx.Node, rate: float) -> nn.Module:
        """Return the layer of a dropout; a copy of a module that only training shows."""
        owner = self.parts.modules(str(node.meta.get("scope", "")))
        if node.meta.get("drops"):
            return DropPath(rate) if drops_paths(owner) else deepcopy(owner)
        return DROPOUT_LAYERS[node.target](rate)

    def _module(self, node: fx.Node, path: str, call: Call, module: nn.Module | None = None) -> None:
        """Write the call of a module."""
        if module is not None:
            self._modules[path] = module
        given, region = self._cropped(self._value(call.args[0]), call.crop), region_of(node)
        if region is None:
            self._new[node] = self.graph.create_node("call_module", path, (given,), name=node.name)
        else:
            args = (self.graph.get_attr(path), given, *astuple(region))
            self._new[node] = self.graph.create_node("call_function", run_in_region, args, name=node.name)

    def _function(self, node: fx.Node, call: Call) -> None:
        """Write the call of a function."""
        function, region = function_of(call.function), region_of(node)
        if region is not None:
            function = InRegion(function, region)
        changed = self.active.source.traced.training.arguments.get(node.name)
        args = [self._value(one) for one in (padded(node, call.args, max(changed) + 1) if changed else call.args)]
        if call.crop:
            args[0] = self._cropped(args[0], call.crop)
        kwargs = {name: self._value(one) for name, one in call.kwargs.items()}
        if changed:
            path = self._free(node)
            self._modules[path] = WithTraining(function, changed)
            self._new[node] = self.graph.create_node("call_module", path, tuple(args), kwargs, name=node.name)
        else:
            self._new[node] = self.graph.create_node("call_function", function, tuple(args), kwargs, name=node.name)

    def _cropped(self, value: Any, crop: tuple[int, ...]) -> Any:
        for side, amount in enumerate(reversed(crop), start=1):
            value = self.graph.call_function(aten.slice.Tensor, (value, -side, amount, -amount)) if amount else value
        return value

    def _value(self, value: Any) -> Any:
        """Return an argument in the new graph."""
        if isinstance(value, fx.Node):
            return self._new[self.active.of(value)]
        if isinstance(value, Batch):
            return self._multiple(value.factor)
        if isinstance(value, torch.device):
            return self._device_node()
        if isinstance(value, dict):
            return {name: self._value(one) for name, one in value.items()}
        return like(value, [*map(self._value, value)]) if isinstance(value, list | tuple) else value

    def _multiple(self, factor: int) -> fx.Node:
        """Return a multiple of the batch of the input."""
        if factor not in self._batches:
            node, dimension, read = self.active.source.batch
            if factor == 1:
                size = self.graph.call_function(aten.sym_size.int, (self._new[node], dimension))
                if read > 1:
                    size = self.graph.call_function(operator.floordiv, (size, read))
                self._batches[1] = size
            else:
                self._batches[factor] = self.graph.call_function(operator.mul, (self._multiple(1), factor))
        return self._batches[factor]

    def _device_node(self) -> fx.Node:
        """Return the device of the input."""
        if self._device is None:
            node = self.active.source.batch[0]
            self._device = self.graph.call_function(getattr, (self._new[node], "device"))
        return self._device

    # ---- paths ----------------------------------------------------------------------------------------------------

    def _reserve(self, paths: list[str]) -> None:
        """Note paths that are taken, with all modules around them."""
        for path in paths:
            self._taken.update((path, *paths_around(path)))

    def _is_own(self, node: fx.Node) -> bool:
        """Return whether an operation is done by a module that does nothing else, such as an activation."""
        scope = str(node.meta.get("scope", ""))
        module = self.parts.modules(scope)
        return bool(scope) and not (module._modules or module._parameters or module._buffers)

    def _free(self, node: fx.Node) -> str:
        """Return a free path for an operation: that of its own module, or one beside its neighbours."""
        scope = str(node.meta.get("scope", ""))
        name = str(node.target).split(".")[1].rstrip("_")
        wanted = path = scope if self._is_own(node) else f"{scope}.{name}".removeprefix(".")
        number = 1
        while path in self._taken:
            number += 1
            path = f"{wanted}_{number}"
        self._reserve([path])
        return path


def ends_of_parts(active: Active, parts: Parts, running: list[fx.Node]) -> dict[fx.Node, list[str]]:
    """Return the only node of a part that is read outside of it -> paths of such parts, the innermost first.

    A part is a module with children that has a forward of its own.
    """
    scopes = {node: (*paths_around(scope := str(node.meta.get("scope", ""))), scope) for node in running}
    leaving: dict[str, set[fx.Node]] = {}
    for node in running:
        for taken in map(active.of, node.all_input_nodes):
            for path in set(scopes.get(taken, ())) - set(scopes[node]):
                leaving.setdefault(path, set()).add(taken)
    for output in map(active.of, active.source.outputs):
        for path in scopes.get(output, ()):
            leaving.setdefault(path, set()).add(output)
    ends: dict[fx.Node, list[str]] = {}
    for path, nodes in leaving.items():
        module, node = parts.modules(path), next(iter(nodes))
        is_part = path and module._modules and not isinstance(module, nn.Sequential | nn.ModuleList)
        if is_part and len(nodes) == 1 and node.name in active.source.traced.shapes:
            ends.setdefault(node, []).append(path)
    return {node: sorted(paths, key=len, reverse=True) for node, paths in ends.items()}


def _writes_to_first(node: fx.Node) -> bool:
    """Return whether an operation changes its first argument in place."""
    schema = getattr(node.target, "_schema", None)
    return bool(schema is not None and schema.is_mutable and schema.arguments[0].is_write)
