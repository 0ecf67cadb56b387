"""Costs of a plain module, counted from what really runs in it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def counted_costs(build: Callable[[], nn.Module], input_shape: tuple[int, ...]) -> dict[str, int]:
    """Return `params` and `macs` of a module on one input of this shape; nothing is computed or stored for it.

    Multiply-accumulates are those of convolutions and linear layers.
    """
    with torch.device("meta"), torch.no_grad():
        module, x = build().eval(), torch.empty(1, *input_shape)
        macs = 0

        def count(layer: nn.Module, _: tuple, output: Tensor) -> None:
            nonlocal macs
            assert isinstance(layer.weight, Tensor)
            macs += output.numel() * layer.weight[0].numel()

        for layer in module.modules():
            if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
                layer.register_forward_hook(count)
        module(x)
    return {"params": sum(parameter.numel() for parameter in module.parameters()), "macs": macs}
