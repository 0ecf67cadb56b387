"""The elastic network of a trace: the traced graph itself, run on the kept part of the original weights."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any, Self

from torch import Tensor, fx, nn

from search_spaces.architecture import Choice, Setting
from search_spaces.elastic.conv import KernelTransforms
from search_spaces.elastic.graph.active import Active, Source
from search_spaces.elastic.graph.extraction import extracted_graph
from search_spaces.elastic.graph.kept import Layout
from search_spaces.elastic.graph.literals import aten
from search_spaces.elastic.graph.modes import Joining
from search_spaces.elastic.graph.orders import Use, reorder, uses
from search_spaces.elastic.graph.plan import Following, Runs
from search_spaces.elastic.graph.program import Parts, Program
from search_spaces.elastic.graph.tensors import Constants, Held, mangled, weight_of
from search_spaces.elastic.layer import Elastic
from search_spaces.elastic.product import CONVOLUTION, LINEAR, Product
from search_spaces.elastic.quantizer import Quantizer
from search_spaces.sizes import AnySize, Size
from search_spaces.tracing.traced import Traced

_TRANSFORMS, _CONSTANTS, _QUANTIZERS = "kernel_transforms", "traced_constants", "layer_quantizers"


class ElasticGraph(Elastic):
    """A traced network of which every group keeps its first units, and of which blocks can be skipped.

    Its state dict is that of the original network, and the learned transforms of kernels beside it. The children of
    the original module become its own.

    Args:
        traced: The trace.
        groups: Group -> units that it keeps; groups that are missing keep all.
        blocks: Scope of a block that can be skipped -> a decision, and the choices of it under which the block runs.
        kernels: Node of a depthwise convolution -> its kernel size.
        resolution: Side of square images in pixels, to which they are resized first; None for images as they come.
        module: The network whose weights are taken; that of the trace unless given.

    Raises:
        FieldError: A name or number is not one of the trace.
    """

    def __init__(
        self,
        traced: Traced,
        *,
        groups: Mapping[str, AnySize] | None = None,
        blocks: Mapping[str, Runs] | None = None,
        kernels: Mapping[str, AnySize] | None = None,
        resolution: AnySize | None = None,
        module: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self._following = Following(traced, groups or {}, blocks or {}, kernels or {}, resolution)
        self._source = Source(traced, Layout(traced, self._following.groups))
        self._take_over(module or traced.module)
        self._plan = self._following.largest()
        self._program = self._compiled()

    def _take_over(self, module: nn.Module) -> None:
        """Make the parts of the original module those of this one, and add what is learned or held beside them."""
        for registry in ("_parameters", "_buffers", "_modules"):
            getattr(self, registry).update(getattr(module, registry))
        self._non_persistent_buffers_set |= module._non_persistent_buffers_set
        self.training = module.training
        traced = self._source.traced
        device = next((one.device for one in module.parameters()), next(iter(traced.module.parameters())).device)
        own = {name for name, _ in self.named_buffers(remove_duplicate=False)}
        held = {name: tensor for name, tensor in traced.constants.items() if name not in own}
        self.add_module(_CONSTANTS, Constants(held, device))
        transforms = {
            mangled(kernel.weight): KernelTransforms(sorted(set(size.values.values())))
            for kernel in traced.kernels
            if isinstance(size := self._following.kernels.get(kernel.node), Size) and len(set(size.values.values())) > 1
        }
        if transforms:
            self.add_module(_TRANSFORMS, nn.ModuleDict(transforms).to(device))

    def _compiled(self) -> Program:
        """Return the program of this network, set to the plan of the moment."""
        traced = self._source.traced
        own = dict(self.named_parameters(remove_duplicate=False)) | dict(self.named_buffers(remove_duplicate=False))
        constants = self.get_submodule(_CONSTANTS)
        held = {
            name: Held(self, name) if name in own else Held(constants, mangled(name))
            for name in {str(node.target) for node in traced.graph.find_nodes(op="get_attr")}
        }
        transforms: Any = self._modules.get(_TRANSFORMS, {})
        named = {one.weight: transforms[key] for one in traced.kernels if (key := mangled(one.weight)) in transforms}
        quantizers: Any = self._modules.get(_QUANTIZERS, {})
        rounded = {name: quantizers[key] for name in held if (key := mangled(name)) in quantizers}
        program = Program(self._source, Parts(held, self._module, named, Joining(), rounded))
        program.set(self._plan)
        return program

    def _module(self, scope: str) -> nn.Module:
        """Return the module of a scope, or the nearest around it."""
        while scope:
            try:
                return self.get_submodule(scope)
            except AttributeError:
                scope = scope.rpartition(".")[0]
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "ElasticGraph":
        copy = self.__class__.__new__(self.__class__)
        memo[id(self)] = copy
        shared = {"_following": self._following, "_source": self._source, "_plan": self._plan}
        rest = {key: value for key, value in self.__dict__.items() if key not in (*shared, "_program")}
        copy.__dict__.update({key: deepcopy(value, memo) for key, value in rest.items()}, **shared)
        copy.__dict__["_program"] = copy._compiled()
        return copy

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for path in self._source.traced.training.held:
            self._module(path).training = False
        return self

    @property
    def is_fixed(self) -> bool:
        following = self._following
        sizes = (*following.groups.values(), *following.kernels.values(), following.resolution)
        return not following.blocks and not any(isinstance(size, Size) for size in sizes)

    @property
    def synchronised(self) -> bool:
        """Whether batch statistics are those of all processes together (set by distributed training)."""
        return self._program.parts.joining.is_on

    @synchronised.setter
    def synchronised(self, value: bool) -> None:
        self._program.parts.joining.is_on = value

    @property
    def traced(self) -> Traced:
        """The trace, with this network as its module."""
        return replace(self._source.traced, module=self)

    def activate(self, setting: Setting) -> None:
        plan = self._following.plan(setting, self._plan)
        if plan != self._plan:
            self._plan = plan
            self._program.set(plan)

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the active part makes of a batch of inputs [B, ...]."""
        return self._program(inputs)

    def extract(self) -> fx.GraphModule:
        return extracted_graph(Active(self._source, self._plan), self._program.parts, self.training)

    def governed(self) -> Iterator[tuple[str, Choice, nn.Module]]:
        found: dict[tuple[str, Choice], dict[nn.Module, None]] = {}
        for decision, choices, module in self._followers():
            for choice in choices:
                found.setdefault((decision, choice), {})[module] = None
        for (decision, choice), modules in found.items():
            for module in modules:
                yield decision, choice, module

    def _followers(self) -> Iterator[tuple[str, Any, nn.Module]]:
        """Yield a decision, choices of it, and a module that runs under them."""
        for scope, (decision, runs) in self._following.blocks.items():
            yield decision, sorted(runs, key=str), self._module(scope)
        for name, size in self._following.sizes():
            owners = {tensor.rpartition(".")[0] for tensor, _, _ in self.uses(name)}
            for owner in sorted(owner for owner in owners if owner):
                yield size.decision, size.values, self._module(owner)
        for kernel in self._source.traced.kernels:
            follows = self._following.kernels.get(kernel.node)
            if isinstance(follows, Size):
                yield follows.decision, follows.values, self._module(kernel.weight.rpartition(".")[0])

    # ---- layers with weights --------------------------------------------------------------------------------------

    def beside(self) -> list[Elastic]:
        return [bank for quantizer in self._program.parts.quantizers.values() for bank in quantizer.banks()]

    def products(self) -> Iterator[Product]:
        """Yield the convolutions and linear layers that read a weight of their own."""
        for node in self._source.traced.graph.nodes:
            name = weight_of(node)
            if name is None or name not in self._program.parts.tensors:
                continue
            path = name.rpartition(".")[0]
            yield Product(
                name=path,
                kind=LINEAR if node.target is aten.linear.default else CONVOLUTION,
                module=self._module(path),
                outputs=self._program.parts.tensors[name].tensor.shape[0],
                choices=self._followed_by(name),
                shape=partial(self._shape, name),
                attach=partial(self._attach, name),
            )

    def _followed_by(self, name: str) -> dict[str, tuple[Choice, ...]]:
        """Return the decisions that the shape of a weight follows, with their choices."""
        following, found = self._following, {}
        groups = list(following.groups.values())
        axes = [axis for axis in self._source.layout.tensors.get(name, ()) if axis is not None]
        sizes = [groups[group] for axis in axes for group in axis.groups]
        kernel = self._source.kernel_weights.get(name)
        sizes += [] if kernel is None or kernel.node not in following.kernels else [following.kernels[kernel.node]]
        for size in sizes:
            if isinstance(size, Size):
                found[size.decision] = tuple(size.values)
        return found

    def _shape(self, name: str, setting: Setting) -> tuple[int, ...]:
        """Return the shape of a weight under a setting, which may name the decisions that it follows alone."""
        active = Active(self._source, self._following.plan(setting, self._following.largest()))
        shape = list(self._program.parts.tensors[name].tensor.shape)
        for dimension, kept in active.cut(name):
            shape[dimension] = kept.count
        size = active.kernel(name)
        return tuple(shape if size is None else [*shape[:2], size, size])

    def _attach(self, name: str, quantizer: Quantizer) -> None:
        """Let a quantizer round a weight and its inputs."""
        if _QUANTIZERS not in self._modules:
            self.add_module(_QUANTIZERS, nn.ModuleDict())
        self.get_submodule(_QUANTIZERS).add_module(mangled(name), quantizer)
        self._program = self._compiled()

    # ---- the order of units ---------------------------------------------------------------------------------------

    def uses(self, group: str) -> list[Use]:
        """Return every place of the units of a group: name of the tensor, dimension, and the indices [units, indices
        per unit] in that dimension."""
        traced = self._source.traced
        return list(uses(traced, traced.group[group]))

    def reorder(self, orders: Mapping[str, Tensor]) -> None:
        """Put the units of groups in another order, in place; the function of the largest network stays the same.

        Args:
            orders: Group -> for every new position the former position of its unit.

        Raises:
            ValueError: An order does not name every unit once.
        """
        tensors = self.state_dict(keep_vars=True) | {
            name: held.tensor for name, held in self._program.parts.tensors.items()
        }
        rounded = self._program.parts.quantizers
        reorder(self._source.traced, orders, tensors, {name: one.vectors() for name, one in rounded.items()})
