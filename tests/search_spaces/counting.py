"""Costs counted from what really runs."""

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def counted_costs(network: nn.Module, input_shape: tuple[int, ...]) -> tuple[int, int]:
    """Parameters, and multiply-accumulates of all convolutions and linear layers on one input."""
    macs = 0

    def count(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal macs
        macs += output.numel() * layer.weight[0].numel()

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    training = network.training
    with torch.no_grad():
        network.eval()(torch.randn(1, *input_shape))
    network.train(training)
    for hook in hooks:
        hook.remove()
    return sum(p.numel() for p in network.parameters()), macs


def counted_products(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[int, int]:
    """Parameters, and multiply-accumulates of all products of matrices on one input, as torch itself counts them."""
    was_training = network.training
    plain = sdpa_kernel(SDPBackend.MATH)  # torch 2.6 does not count the fused attention of a CPU
    with plain, torch.no_grad(), FlopCounterMode(display=False) as flops:
        network.eval()(*inputs)
    network.train(was_training)
    return sum(p.numel() for p in network.parameters()), flops.get_total_flops() // 2
