"""Optimizer and weight averaging of a supernet training."""

import torch
from torch import nn

from supernets.training.config import TrainConfig


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return SGD with momentum, Adam or AdamW; norms and biases have no weight decay unless all parameters have it."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    plain = config.weight_decay if config.decayed == "all" else 0.0
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": plain},
    ]
    adam = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}.get(config.optimizer)
    if adam is not None:
        return adam(groups, lr=config.lr, betas=(config.momentum, config.beta2), foreach=True)
    nesterov = config.nesterov and config.momentum > 0
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=nesterov, foreach=True)


class WeightAverage:
    """Exponential moving average of the parameters of a network.

    Args:
        network: The network.
        decay: Decay of the average.
        buffers: Whether buffers are averaged too: statistics of norms that belong to these weights alone.
    """

    def __init__(self, network: nn.Module, decay: float, *, buffers: bool = False) -> None:
        self.decay = decay
        self.parameters: list[torch.Tensor] = [one for one in network.parameters() if one.requires_grad]
        if buffers:
            self.parameters += [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        self.average = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - self.decay)

    @torch.no_grad()
    def adopt(self) -> None:
        """Make the averages the weights of the network."""
        torch._foreach_copy_([p.data for p in self.parameters], self.average)
