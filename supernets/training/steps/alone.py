"""The step that trains one plain network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from supernets.device import in_bf16
from supernets.tasks.further_outputs import FurtherOutputs
from supernets.tasks.task import Batch
from supernets.training.balanced_examples import BalancedExamples
from supernets.training.batch_parts import batch_parts
from supernets.training.config import TrainConfig
from supernets.training.optimization import make_optimizer
from supernets.training.steps.step import Moment, Step


@dataclass(kw_only=True, eq=False)
class AloneStep(Step):
    """The step of a network that shares its weights with nothing.

    Args:
        network: Trained in place, on its device; in training it may give further outputs.
        config: Epochs, optimizer, clipping, and the parts in which a batch is computed.
        task: What it is trained for, and what further outputs count.
        begin_epoch: Told the network and which part of the training is over when an epoch begins.
        balanced: Order of the examples in which every class is shown as often, if any.
    """

    network: nn.Module
    config: TrainConfig
    task: FurtherOutputs
    begin_epoch: Callable[[nn.Module, float], None] | None = None
    balanced: BalancedExamples | None = None

    def __post_init__(self) -> None:
        parameter = next(self.network.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self.network.to(memory_format=torch.channels_last).train()  # this says nothing about weights of other shapes
        self.weights = list(self.network.parameters())
        self.optimizer = make_optimizer(self.network, self.config)

    def order(self, epoch: int) -> Tensor | None:
        """Return the order by classes, if any; else that of the data."""
        return None if self.balanced is None else self.balanced.order(epoch)

    def __call__(self, batch: Batch, moment: Moment) -> Tensor:
        """Let the network learn from a batch; return its loss."""
        if self.begin_epoch is not None:  # asked at every step: it may be the first one after an interruption
            self.begin_epoch(self.network, min(1.0, moment.epoch / self.config.epochs))
        for group in self.optimizer.param_groups:
            group["lr"] = moment.lr
        losses = torch.zeros((), device=self.device)
        for part in batch_parts(batch, None, self.config.accumulate, self.task):
            with in_bf16(self.device, self.config.bf16):
                output = self.network(*self.task.inputs(part.batch))
            outputs = tuple(one.to(self.dtype) for one in (output if isinstance(output, tuple) else (output,)))
            loss = part.scaled(self.task.loss(outputs, part.batch))
            loss.backward()
            losses += loss.detach()
        if self.config.largest_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.weights, self.config.largest_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return losses

    def state_dict(self) -> dict[str, Any]:
        """Return weights and the state of the optimizer."""
        weights = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        return {"network": weights, "optimizer": deepcopy(self.optimizer.state_dict())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ValueError: It is of a training of another kind.
        """
        if "network" not in state:
            raise ValueError("it is of a training of another kind")
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(deepcopy(state["optimizer"]))
