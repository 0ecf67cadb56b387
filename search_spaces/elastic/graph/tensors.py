"""The tensors of a network, cut to what is kept."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from search_spaces.elastic.conv import KernelTransforms
from search_spaces.elastic.graph.calls import Registers, Run
from search_spaces.elastic.graph.kept import Kept as KeptIndices
from search_spaces.elastic.graph.literals import aten
from search_spaces.elastic.quantizer import Kept

_WITH_WEIGHT = {
    aten.conv1d.default,
    aten.conv2d.default,
    aten.conv1d.padding,
    aten.conv2d.padding,
    aten.linear.default,
}
Cut = tuple[tuple[int, KeptIndices], ...]
"""Dimensions of a tensor of which not everything is kept, and what is."""


class Held:
    """One tensor by the place where a module holds it, so that it is found after a move or an exchange.

    Args:
        network: Module.
        name: Name of the tensor in its state dict.

    Raises:
        KeyError: The module has no tensor of this name.
    """

    def __init__(self, network: nn.Module, name: str) -> None:
        path, _, self.key = name.rpartition(".")
        self.owner = network.get_submodule(path)
        self.places: Mapping[str, Any] = self.owner._parameters
        if self.key not in self.places:
            self.places = self.owner._buffers
        if self.key not in self.places:
            raise KeyError(name)

    @property
    def tensor(self) -> Tensor:
        """The tensor."""
        return self.places[self.key]


def cut_to(tensor: Tensor, cut: Cut) -> Tensor:
    """Return what is kept of a tensor: a view where the first indices are kept, else a copy."""
    for dimension, kept in cut:
        if kept.is_prefix:
            tensor = tensor.narrow(dimension, 0, kept.count)
        else:
            tensor = tensor.index_select(dimension, kept.on(tensor.device))
    return tensor


def kept_of(cut: Cut) -> Kept:
    """Return what picks the numbers of the active output channels, where a weight has this cut.

    Args:
        cut: The dimensions of the weight of which not everything is kept.
    """
    outputs = tuple((dimension, kept) for dimension, kept in cut if dimension == 0)
    return lambda vector, _: cut_to(vector, outputs)


def weight_of(node: fx.Node) -> str | None:
    """Return the name of the weight of a convolution or linear layer; None for others, and for weights that are
    computed or that several operations read."""
    if node.target not in _WITH_WEIGHT or node.kwargs:
        return None
    weight = node.args[1]
    if not isinstance(weight, fx.Node) or weight.op != "get_attr" or len(weight.users) > 1:
        return None
    name = str(weight.target)
    bias = node.args[2] if len(node.args) > 2 else None
    usual = not isinstance(bias, fx.Node) or str(bias.target) == f"{name.removesuffix('weight')}bias"
    return name if name.endswith(".weight") and usual else None


def loaded(held: Held, out: int, cut: Cut, transform: Callable[[Tensor], Tensor] | None) -> Run:
    """Return what puts a tensor, cut to what is kept, into a register."""
    places, key = held.places, held.key
    if transform is not None:

        def run_transformed(r: Registers) -> None:
            r[out] = transform(cut_to(places[key], cut))

        return run_transformed
    if not cut:

        def run_whole(r: Registers) -> None:
            r[out] = places[key]

        return run_whole
    if len(cut) == 1 and cut[0][1].is_prefix:
        ((dimension, kept),) = cut
        count = kept.count

        def run_first(r: Registers) -> None:
            r[out] = places[key].narrow(dimension, 0, count)

        return run_first

    def run(r: Registers) -> None:
        r[out] = cut_to(places[key], cut)

    return run


def written_back(held: Held, cut: Cut, slot: int) -> Run | None:
    """Return what writes a buffer back that was copied to cut it; None where it was not."""
    if all(kept.is_prefix for _, kept in cut):
        return None
    ((dimension, kept),) = cut

    def run(r: Registers) -> None:
        whole = held.tensor
        whole.index_copy_(dimension, kept.on(whole.device), r[slot])

    return run


def kernel_transform(transforms: KernelTransforms | None, size: int) -> Callable[[Tensor], Tensor] | None:
    """Return what turns a kernel of the largest size into one of a smaller size; None where it is the largest."""
    if transforms is None or size == transforms.sizes[0]:
        return None
    return lambda weight: transforms(weight, size)


class Constants(nn.Module):
    """Tensors that a network makes itself, such as grids of positions; they are no part of its checkpoints.

    Args:
        tensors: Tensor by name.
        device: Where they are kept.
    """

    def __init__(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(mangled(name), tensor.detach().clone().to(device), persistent=False)


def mangled(name: str) -> str:
    """Return a name without dots."""
    return name.replace(".", "__")
