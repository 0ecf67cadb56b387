"""Plain networks that run a graph, and the modules of their tensors that no layer of torch holds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, fx, nn


@dataclass(frozen=True)
class Fresh:
    """How a tensor that no layer initialises gets its first values.

    Args:
        values: The values themselves, of a buffer; None for drawn ones.
        mean, std: Those of drawn values; all are the mean where `std` is 0.
        is_layer: Whether it is drawn as torch draws the weights of convolutions and linear layers.
    """

    values: Tensor | None = None
    mean: float = 0.0
    std: float = 0.0
    is_layer: bool = False

    @torch.no_grad()
    def write(self, tensor: Tensor) -> None:
        """Set a tensor to first values."""
        if self.values is not None:
            tensor.copy_(self.values)
        elif self.is_layer:
            nn.init.kaiming_uniform_(tensor, a=math.sqrt(5))
        elif self.std > 0:
            tensor.normal_(self.mean, self.std)
        else:
            tensor.fill_(self.mean)


@dataclass
class FirstValues:
    """How the tensors of one module get their first values, by name."""

    rules: dict[str, Fresh] = field(default_factory=dict)

    def write(self, module: nn.Module) -> None:
        """Set the tensors of a module to first values."""
        tensors: Mapping[str, Any] = {**module._parameters, **module._buffers}
        for name, rule in self.rules.items():
            rule.write(tensors[name])


class Part(nn.Module):
    """A part of a network, whose layers the graph around it calls; it may hold tensors of its own.

    It is called with its output, which it returns, so that hooks see it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first_values = FirstValues()
        self.held: tuple[str, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the part."""
        return x

    def reset_parameters(self) -> None:
        """Set the tensors of the part itself to first values."""
        self.first_values.write(self)


class PlainGraph(fx.GraphModule):
    """A network that is a graph of plain layers.

    Unlike its base class, it takes all modules and tensors of the root as they are.

    Args:
        root: Holds the layers and tensors.
        graph: What is run.
    """

    HOLDS = ("first_values", "held")
    """What it holds beside modules and tensors."""

    def __init__(self, root: nn.Module, graph: fx.Graph, class_name: str = "PlainGraph") -> None:
        super().__init__(root, graph, class_name)
        for registry in ("_parameters", "_buffers", "_modules"):
            held = dict(getattr(root, registry))
            getattr(self, registry).clear()
            getattr(self, registry).update(held)
        self._non_persistent_buffers_set = set(root._non_persistent_buffers_set)
        self.first_values, self.held = root.__dict__["first_values"], root.__dict__["held"]

    def train(self, mode: bool = True) -> Self:
        """Set the mode; modules that the network holds in evaluation mode keep that."""
        super().train(mode)
        for path, module in self.named_modules():
            module.training = module.training and path not in self.held
        return self

    def _deepcopy_init(self) -> Any:
        return PlainGraph.__init__

    def reset_parameters(self) -> None:
        """Set the tensors that no layer holds to first values."""
        self.first_values.write(self)


def put_together(root: nn.Module, modules: Mapping[str, nn.Module], order: Mapping[str, int]) -> None:
    """Put modules at their paths; those around a module are among them.

    Args:
        root: Module around all.
        modules: Module by path.
        order: Path -> its place among the others; paths that are missing come last.
    """
    for path in sorted(modules, key=lambda path: (path.count("."), order.get(path, len(order)))):
        around, _, name = path.rpartition(".")
        root.get_submodule(around).add_module(name, modules[path])


def paths_around(path: str) -> list[str]:
    """Return the paths of the modules around a module, the outermost first."""
    parts = path.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]
