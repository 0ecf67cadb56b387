"""The work of a block, layer by layer, read from the operations that torch runs.

A layer is what a compiled backend starts once: a convolution or matrix product with the norm and the activations
around it, a pooling, a sum of feature maps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from search_spaces.places import Block

_FUSED = {
    *("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"),
    *("_batch_norm_no_update", "relu", "relu_", "hardtanh", "hardtanh_", "hardswish", "hardswish_", "hardsigmoid"),
    *("hardsigmoid_", "sigmoid", "silu", "silu_", "gelu", "dropout", "detach", "alias", "empty", "clone"),
    *("native_layer_norm", "_softmax", "_safe_softmax", "_unsafe_view", "scalar_tensor"),
}


@dataclass(frozen=True)
class Layer:
    """One layer on one input.

    Attributes:
        macs: Multiply-accumulates.
        weights: Numbers read that do not depend on the input.
        activations: Numbers read and written that do.
    """

    macs: int
    weights: int
    activations: int


@dataclass(frozen=True)
class BlockWork:
    """The layers of a block, and its weights (those of norms included)."""

    params: int
    layers: tuple[Layer, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions, linear layers and attention."""
        return sum(layer.macs for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        return {"params": self.params, "layers": [[x.macs, x.weights, x.activations] for x in self.layers]}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "BlockWork":
        return cls(row["params"], tuple(Layer(*numbers) for numbers in row["layers"]))


def block_work(block: Block) -> BlockWork:
    """Return what a block does for one input; nothing is computed for it."""
    with torch.device("meta"):
        module = block.build().eval()
        inputs = [one.to("meta") for one in block.example()]
    weights = {id(parameter) for parameter in module.parameters()}
    with torch.no_grad(), _Recorder(weights) as recorder:
        module(*inputs)
    return BlockWork(sum(parameter.numel() for parameter in module.parameters()), tuple(recorder.layers))


class _Recorder(TorchDispatchMode):
    """A recorder of every operation that is a layer of its own."""

    def __init__(self, weights: set[int]) -> None:
        super().__init__()
        self.weights = weights
        self.layers: list[Layer] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
        if is_view:
            if isinstance(args[0], Tensor) and id(args[0]) in self.weights:
                self.weights.add(id(out))  # a transposed weight is a weight
        elif name not in _FUSED:
            self.layers.append(self._layer(name, args, out))
        return out

    def _layer(self, name: str, args: Any, out: Any) -> Layer:
        read = [part for arg in args for part in (arg if isinstance(arg, list | tuple) else [arg])]
        tensors = [part for part in read if isinstance(part, Tensor)]
        weights = sum(t.numel() for t in tensors if id(t) in self.weights)
        written = out[0] if isinstance(out, tuple) else out
        activations = sum(t.numel() for t in tensors if id(t) not in self.weights) + written.numel()
        return Layer(_macs(name, args, written), weights, activations)


def _macs(name: str, args: Any, out: Tensor) -> int:
    if name == "convolution":
        weight = args[1]
        return out.numel() * weight.numel() // weight.shape[0]
    if name in ("addmm", "mm"):
        return out.numel() * args[1 if name == "addmm" else 0].shape[-1]
    if name == "bmm":
        return out.numel() * args[0].shape[-1]
    if name.startswith("_scaled_dot_product"):
        query, key, value = args[:3]
        return query[..., 0].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1])
    return 0
