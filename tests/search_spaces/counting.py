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


def counted_messages(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[int, int]:
    """Parameters, and multiply-accumulates of a network for graphs, by what its parts get and give.

    A layer on features without zeros multiplies each of these with each of its outputs. Einstein sums multiply each
    row with each weight. A message is multiplied by its weight, and compared projections by each other.
    """
    from search_spaces.message_passing import Projection
    from search_spaces.networks.gnn_parts import Aggregate, Attention, Combine
    from search_spaces.networks.nasbench_graph_network import CONVOLUTIONS, Convolution

    macs = 0

    def count(part: nn.Module, given: tuple, output: torch.Tensor) -> None:
        nonlocal macs
        sizes = {name: weight.numel() for name, weight in part.named_parameters()}
        if isinstance(part, Projection):
            macs += given[0].numel() * part.out_features
        elif isinstance(part, Attention):
            nodes, messages = given[0].features.shape[0], output.shape[0]
            macs += nodes * (sizes.get("left", 0) + sizes.get("right", 0))
            macs += messages * output.shape[1] * 64 * (part.kind in ("cos", "generalized_linear"))
        elif isinstance(part, Aggregate):
            weights, features = given[0].weights, given[0].features
            macs += weights.numel() * features.shape[2] + len(weights) * sizes.get("weight", 0)
        elif isinstance(part, Convolution):
            weighted = type(part) in (CONVOLUTIONS["gat"], CONVOLUTIONS["gcn"])
            macs += weighted * len(given[1].source) * output.shape[1]
            macs += (sizes.get("source", 0) + sizes.get("target", 0)) * len(output)
        else:
            macs += len(given[0].own) * sizes.get("weight", 0)

    kinds = (Projection, Attention, Aggregate, Combine, Convolution)
    hooks = [part.register_forward_hook(count) for part in network.modules() if isinstance(part, kinds)]
    training = network.training
    with torch.no_grad():
        network.eval()(*inputs)
    network.train(training)
    for hook in hooks:
        hook.remove()
    return sum(p.numel() for p in network.parameters()), macs
