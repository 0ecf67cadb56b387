"""The bilevel step: logits of choices learn from one part of a batch, then the weights from the other.

Paper: DARTS, arXiv 1806.09055, algorithm 1; TangleNAS, PMLR v256, algorithm 1, for weights that choices share. How
logits become weights is in `supernets.training.relaxed`, their gradient in `supernets.training.hypergradient`.
Differs: examples of both parts are changed as training wants it, and an epoch shows every example of either part once.
All passes for the logits are in float32 and leave statistics of norms as they were; those of one step have the same
dropout, the same draw of weights and the same batches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from search_spaces.relaxing import relaxing
from supernets.device import in_bf16
from supernets.samplers.uniform import Uniform
from supernets.streams import LOGITS
from supernets.supernet import Supernet
from supernets.tasks.task import Batch, Task
from supernets.training.config import TrainConfig
from supernets.training.distributed import Processes
from supernets.training.expected_cost import ExpectedCost
from supernets.training.halves import Halves
from supernets.training.hypergradient import Bilevel, Hypergradient
from supernets.training.optimization import WeightAverage, make_optimizer
from supernets.training.relaxation_config import RelaxationConfig
from supernets.training.relaxed import Noise, Relaxed
from supernets.training.steps.step import Moment, Step

_BETAS = (0.5, 0.999)


@dataclass(kw_only=True, eq=False)
class BilevelStep(Step):
    """The step that trains a mixture of all choices, and learns their weights.

    Args:
        supernet: Trained in place, on its device; what is learned about choices is its `learned`.
        config: Optimizer of the weights, clipping and averaging.
        relaxation: How the weights of choices are drawn and learned.
        task: What the supernet is trained for.
        halves: Which examples the weights learn from, and which the logits.
        processes: This process and its siblings.
        seed: Seed of the first logits.
        cost: Expected cost that the settings limit; None where they limit none.
    """

    supernet: Supernet
    config: TrainConfig
    relaxation: RelaxationConfig
    task: Task
    halves: Halves
    processes: Processes = field(default_factory=Processes)
    seed: int = 0
    cost: ExpectedCost | None = None

    def __post_init__(self) -> None:
        parameter = next(self.supernet.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self.supernet.to(memory_format=torch.channels_last).train()  # this says nothing about weights of other shapes
        self.processes.join_batch_norm(self.supernet)
        self.supernet.own_statistics = None
        self.weights = [weight for weight in self.supernet.parameters() if weight.requires_grad]
        self.optimizer = make_optimizer(self.supernet, self.config)
        self.relaxed = Relaxed(relaxing(self.supernet.space), self.relaxation, LOGITS.generator(self.seed))
        decay = 0.0 if self.relaxation.method == "drnas" else self.relaxation.decay
        lr = self.relaxation.lr
        self.logit_optimizer = torch.optim.Adam(self.relaxed.logits, lr=lr, betas=_BETAS, weight_decay=decay)
        self.uniform = Uniform(space=self.supernet.space)
        self.cosines = torch.zeros(2, dtype=torch.float64)  # sum and number
        self.average: WeightAverage | None = None
        if self.relaxation.learns:
            self.supernet.learned = self.relaxed.learned()

    # ---- phases and epochs ------------------------------------------------------------------------------------------

    def begin_phase(self, index: int) -> None:
        """Begin to average weights, where the settings say so."""
        self._fresh_average()

    def end_phase(self) -> None:
        """Make averaged weights those of the supernet."""
        if self.average is not None:
            self.average.adopt()

    def _fresh_average(self) -> None:
        decay = self.config.ema_decay
        self.average = None if decay is None else WeightAverage(self.supernet, decay)

    def order(self, epoch: int) -> Tensor:
        """Return the order in which every batch holds examples of both parts."""
        return self.halves.order(epoch)

    def end_epoch(self, epoch: int, progress: float) -> dict[str, Any]:
        """Return the probabilities of all choices, and the mean cosine between both parts of the gradient."""
        if not self.relaxation.learns:
            return {}
        total, count = self.cosines.tolist()
        self.cosines.zero_()
        cosine = {"gradients": {"cosine": total / count}} if count else {}
        event = {"event": "sampler", "probabilities": self.relaxed.named_probabilities(), **cosine}
        if self.cost is not None:
            event["expected"] = {str(self.relaxation.cost): self.cost(self.relaxed.expected()).item()}
        return event

    # ---- one step ---------------------------------------------------------------------------------------------------

    def __call__(self, batch: Batch, moment: Moment) -> Tensor:
        """Let the logits learn, then the weights; return the loss of the weights."""
        for group in self.optimizer.param_groups:
            group["lr"] = moment.lr
        first, second = self.halves.divided(batch)
        seeds = [int(seed) for seed in moment.generator.integers(2**62, size=2)]
        temperature = self._temperature(moment.epoch)
        noise = [self.relaxed.noise(moment.generator, temperature) for _ in range(2)]
        if self.relaxation.learns and moment.epoch >= self.relaxation.warmup_epochs:
            self._learn(first, second, noise[0], seeds[0], moment.lr)
        torch.manual_seed(seeds[1] + self.processes.rank)
        if self.relaxation.learns:
            with torch.no_grad():
                setting = self.relaxed.setting(self.relaxed.weights(noise[1]), self.weights[0])
            self.supernet.relax(setting)
        else:
            self.supernet.activate(self.uniform.draw(moment.generator)[0])
        return self._train(first)

    def _temperature(self, epoch: int) -> float:
        high, low = self.relaxation.temperature, self.relaxation.temperature_end
        last = math.ceil(self.config.epochs) - 1
        return high - (high - low) * min(1.0, epoch / last) if last > 0 else high

    def _train(self, batch: Batch) -> Tensor:
        """Let the weights learn from a batch with the setting that runs."""
        with in_bf16(self.device, self.config.bf16):
            output = self.supernet(*self.task.inputs(batch)).to(self.dtype)
        loss = self.task.loss(output, batch)
        loss.backward()
        self.processes.average_gradients(self.weights)
        if self.config.largest_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.weights, self.config.largest_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update()
        return loss.detach()

    def _learn(self, first: Batch, second: Batch, noise: Noise, seed: int, lr: float) -> None:
        """Let the logits learn from the second part of a batch, with the first in the part through the weights."""

        def loss(batch: Batch) -> Tensor:
            torch.manual_seed(seed + self.processes.rank)
            self.supernet.relax(self.relaxed.setting(self.relaxed.weights(noise), self.weights[0]))
            return self.task.loss(self.supernet(*self.task.inputs(batch)).to(self.dtype), batch)

        problem = Bilevel(lambda: loss(first), lambda: loss(second), self.weights, self.relaxed.logits)
        with _statistics_kept(self.supernet), _exact_products(self.device):
            found = problem.hypergradient(self.relaxation, self.relaxation.factor(lr))
        self._apply(found)

    def _apply(self, found: Hypergradient) -> None:
        if found.cosine is not None:
            self.cosines += torch.stack([found.cosine.detach().double().cpu(), torch.ones((), dtype=torch.float64)])
        for logits, gradient in zip(self.relaxed.logits, self._averaged(found.total)):
            logits.grad = gradient
        for part in (self.relaxed.regulariser(), self._above_limit()):
            if part is not None:
                part.backward()
        self.logit_optimizer.step()
        self.logit_optimizer.zero_grad(set_to_none=True)

    def _above_limit(self) -> Tensor | None:
        """Return what the expected cost adds to the loss of the logits; None where it is within its limit."""
        limit = self.relaxation.cost_limit
        if self.cost is None or limit is None:
            return None
        excess = (self.cost(self.relaxed.expected()) / limit).log()
        return self.relaxation.cost_weight * excess if excess.item() > 0 else None

    def _averaged(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Return the mean of gradients over processes, which the devices exchange."""
        return [self.processes.mean(gradient.to(self.device)).to(gradient.device) for gradient in gradients]

    # ---- state ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return weights, logits, and the state of both optimizers and of the average."""
        return {
            "supernet": {name: tensor.clone() for name, tensor in self.supernet.network.state_dict().items()},
            "optimizer": deepcopy(self.optimizer.state_dict()),
            "logits": self.relaxed.state_dict(),
            "logit_optimizer": deepcopy(self.logit_optimizer.state_dict()),
            "average": None if self.average is None else [tensor.clone() for tensor in self.average.average],
            "cosines": self.cosines.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ValueError: It is of a training of another kind, or of other decisions.
        """
        if "logits" not in state:
            raise ValueError("it is of a training without train.relaxation")
        self.supernet.network.load_state_dict(state["supernet"])
        self.optimizer.load_state_dict(deepcopy(state["optimizer"]))
        self.relaxed.load_state_dict(state["logits"])
        self.logit_optimizer.load_state_dict(deepcopy(state["logit_optimizer"]))
        self.cosines.copy_(state["cosines"])
        self._fresh_average()
        if self.average is not None:
            torch._foreach_copy_(self.average.average, state["average"])


@contextmanager
def _statistics_kept(supernet: Supernet) -> Iterator[None]:
    """Restore all buffers afterwards, such as running statistics."""
    buffers = [(buffer, buffer.clone()) for buffer in supernet.buffers()]
    try:
        yield
    finally:
        for buffer, before in buffers:
            buffer.copy_(before)


@contextmanager
def _exact_products(device: torch.device) -> Iterator[None]:
    """Compute in float32 throughout: quotients of small differences need all its digits."""
    if device.type != "cuda":
        yield
        return
    kept = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = kept
