"""The nodes of a trace as steps that are made once for each setting of theirs, and run in a loop."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, fx, nn

from search_spaces.blocks import Resize
from search_spaces.elastic.conv import KernelTransforms
from search_spaces.elastic.graph.active import Active, Source
from search_spaces.elastic.graph.calls import (
    BATCH_SLOT,
    DEVICE_SLOT,
    FIRST_SLOT,
    InRegion,
    Rounded,
    Run,
    compiled,
    function_of,
    region_of,
    result,
)
from search_spaces.elastic.graph.literals import Call
from search_spaces.elastic.graph.modes import BATCH_NORM, Joining, NormRun, dropout_run, follows_mode, mode_run
from search_spaces.elastic.graph.plan import Plan
from search_spaces.elastic.graph.tensors import Held, kept_of, kernel_transform, loaded, weight_of, written_back
from search_spaces.elastic.quantizer import Quantizer

_REMEMBERED = 256


@dataclass(eq=False)
class Step:
    """One node and what was made of it.

    Args:
        node: The node.
        groups: Positions of the groups that it follows.
        made: What decides its arguments -> what runs.
    """

    node: fx.Node
    groups: tuple[int, ...]
    made: dict[Any, Run] = field(default_factory=dict)

    def at(self, key: Any, make: Callable[[fx.Node], Run]) -> Run:
        """Return what runs, made where it was not made before."""
        if key not in self.made:
            if len(self.made) >= _REMEMBERED:
                self.made.clear()
            self.made[key] = make(self.node)
        return self.made[key]


@dataclass(frozen=True)
class Parts:
    """What a program reads of its network.

    Args:
        tensors: Tensor by the name that the graph has for it.
        modules: Module by the names of its running means, and by scope.
        transforms: Learned transforms of kernels, by the name of the weight.
        joining: Whether batch norms use the statistics of all processes together.
        quantizers: What rounds a weight and its inputs, by the name of the weight.
    """

    tensors: Mapping[str, Held]
    modules: Callable[[str], nn.Module]
    transforms: Mapping[str, KernelTransforms]
    joining: Joining
    quantizers: Mapping[str, Quantizer]


class Program:
    """The steps of one network under the setting of the moment.

    Args:
        source: The trace.
        parts: Tensors and modules of the network.
    """

    def __init__(self, source: Source, parts: Parts) -> None:
        self.source, self.parts = source, parts
        nodes = list(source.traced.graph.nodes)
        self._slots = {node: slot for slot, node in enumerate(nodes, start=FIRST_SLOT)}
        self._inputs = [self._slots[node] for node in nodes if node.op == "placeholder"]
        self._steps = [Step(node, self._groups(node)) for node in nodes if node.op == "call_function"]
        self._loads = {node: Step(node, self._groups(node)) for node in nodes if node.op == "get_attr"}
        self._output = nodes[-1].args[0]
        node, dimension, factor = source.batch
        self._batch = (self._inputs.index(self._slots[node]), dimension, factor)
        self._resize: tuple[int, Resize] | None = None
        self._loop: list[tuple[Run, tuple[int, ...]]] = []
        self._read = result(self._output, self._slots.__getitem__)

    def _groups(self, node: fx.Node) -> tuple[int, ...]:
        """Return the groups that a node follows."""
        layout = self.source.layout
        if node.op == "get_attr":
            axes = list(layout.tensors.get(str(node.target), ()))
        else:
            axes = [axis for one in (node, *node.all_input_nodes) for axis in layout.nodes.get(one.name, ())]
        return tuple(sorted({group for axis in axes if axis is not None for group in axis.groups}))

    # ---- a setting ------------------------------------------------------------------------------------------------

    def set(self, plan: Plan) -> None:
        """Make the steps of a setting."""
        active, seen = Active(self.source, plan), set()
        loop: list[tuple[Run, int, tuple[int, ...]]] = []
        for step in self._steps:
            node = step.node
            if not active.runs(node):
                continue
            inputs = [active.of(one) for one in node.all_input_nodes]
            for one in inputs:
                if one in self._loads and one not in seen:
                    seen.add(one)
                    loop.append((self._load(self._loads[one], active), self._slots[one], ()))
            taken = tuple([self._slots[one] for one in inputs])
            key = (active.key(node, step.groups), taken)
            loop.append((step.at(key, lambda node: self._run(node, active)), self._slots[node], taken))
        self._loop = self._freeing(loop, active)
        self._read = result(self._output, lambda node: self._slots[active.of(node)])
        images = self.source.images
        self._resize = None if plan.side is None or images is None else (self._slots[images], Resize(plan.side))

    def _freeing(self, loop: list[tuple[Run, int, tuple[int, ...]]], active: Active) -> list[tuple[Run, Any]]:
        """Return the steps, each with the registers that nothing reads after it."""
        alive = {self._slots[active.of(node)] for node in self.source.outputs}
        steps = []
        for run, out, taken in reversed(loop):
            over = tuple({slot for slot in (*taken, out) if slot not in alive})
            alive.update(taken)
            steps.append((run, over))
        return steps[::-1]

    def _load(self, step: Step, active: Active) -> Run:
        """Return what puts a tensor into its register."""
        name = str(step.node.target)
        size = active.kernel(name)
        key = (*[active.plan.counts[group] for group in step.groups], size)
        held, out = self.parts.tensors[name], self._slots[step.node]
        transform = None if size is None else kernel_transform(self.parts.transforms.get(name), size)
        return step.at(key, lambda node: loaded(held, out, active.cut(name), transform))

    def _run(self, node: fx.Node, active: Active) -> Run:
        """Return what runs a node."""
        out = self._slots[node]

        def slots(one: fx.Node) -> int:
            return self._slots[active.of(one)]

        if node.target is BATCH_NORM and isinstance(node.args[3], fx.Node):
            return self._norm(node, active)
        if follows_mode(node):
            return dropout_run(node, self._owner(node), (slots(node.all_input_nodes[0]), out))
        call, region = self._rounded(node, active), region_of(node)
        if region is not None:
            call = Call(InRegion(function_of(call.function), region), call.args, call.kwargs, call.crop)
        in_training, run = active.call_in_training(node, call), compiled(call, out, slots)
        return run if in_training is None else mode_run(self._owner(node), run, compiled(in_training, out, slots))

    def _rounded(self, node: fx.Node, active: Active) -> Call:
        """Return an operation, which rounds its weight and its input where these have a quantizer."""
        call, name = active.call(node), weight_of(node)
        if name is None or name not in self.parts.quantizers:
            return call
        held, cut = self.parts.tensors[name], active.cut(name)
        rounded = Rounded(call.function, self.parts.quantizers[name], lambda: held.tensor, kept_of(cut))
        return Call(rounded, call.args, call.kwargs, call.crop)

    def _owner(self, node: fx.Node) -> nn.Module:
        """Return the module whose mode an operation follows."""
        return self.parts.modules(str(node.meta.get("scope", "")))

    def _norm(self, node: fx.Node, active: Active) -> Run:
        """Return what runs a batch norm with running statistics."""
        args: Any = node.args
        given = [one if isinstance(one, fx.Node) else None for one in args[:5]]
        slots = [None if one is None else self._slots[active.of(one)] for one in given]
        names = [str(one.target) for one in given[3:] if one is not None]
        back = [
            written_back(self.parts.tensors[name], active.cut(name), slot)
            for name, slot in zip(names, slots[3:])
            if slot is not None
        ]
        numbers = (args[6], args[7])
        owner = self.parts.tensors[names[0]].owner
        write_back = [run for run in back if run is not None]
        out, joining = self._slots[node], self.parts.joining
        return NormRun(owner, slots, out, numbers, write_back=write_back, joining=joining)

    # ---- a forward pass -------------------------------------------------------------------------------------------

    def __call__(self, inputs: tuple[Tensor, ...]) -> Any:
        """Return what the network makes of its inputs."""
        if len(inputs) != len(self._inputs):
            raise TypeError(f"the network takes {len(self._inputs)} inputs, got {len(inputs)}")
        r: list[Any] = [None] * (len(self._slots) + FIRST_SLOT)
        for slot, value in zip(self._inputs, inputs):
            r[slot] = value
        place, dimension, factor = self._batch
        size = inputs[place].shape[dimension]
        r[BATCH_SLOT] = size if factor == 1 else size // factor
        r[DEVICE_SLOT] = inputs[place].device
        if self._resize is not None:
            slot, resize = self._resize
            r[slot] = resize(r[slot])
        for run, over in self._loop:
            run(r)
            for slot in over:
                r[slot] = None
        return self._read(r)
