"""The step of a supernet: architectures drawn by a sampler share a batch and an update.

Paper: Once-for-All, arXiv 1908.09791, appendix B: the gradients of the subnets of a step are summed; the teacher has
no gradients and no dropout, its norms use the statistics of the batch, and its soft labels stand beside the targets.
In-place distillation, arXiv 1903.05134: the output of the largest subnet replaces the targets.
Differs: a teacher that was adapted to the examples, or comes from elsewhere, keeps its running statistics. Beside
in-place distillation it teaches the first subnet of a step. A step leaves weights alone that none of its subnets used;
under old versions of torch, momentum and weight decay moved them as well.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces import Architecture
from search_spaces.errors import WrongResult
from supernets.device import in_bf16
from supernets.supernet import Supernet
from supernets.tasks.task import Batch, Task
from supernets.training.adaptation import Adaptation
from supernets.training.balanced_examples import BalancedExamples
from supernets.training.batch_parts import BatchPart, batch_parts
from supernets.training.capture.capturing import Capturing
from supernets.training.config import TrainConfig
from supernets.training.distributed import Processes
from supernets.training.example_importance import ExampleImportance
from supernets.training.optimization import WeightAverage, make_optimizer
from supernets.training.phases import Phase
from supernets.training.steps.step import Moment, Step
from supernets.training.weight_shape import shape_loss, shaped_weights
from supernets.transforms import sort_channels


@dataclass(kw_only=True, eq=False)
class SupernetStep(Step):
    """The step that trains the architectures that the sampler of the phase draws.

    Args:
        supernet: Trained in place, on its device.
        phases: What to train when; the same list is the schedule of the loop.
        config: Optimizer, clipping, averaging and distillation.
        task: What the supernet is trained for.
        processes: This process and its siblings.
        examples: Draws the examples by importance; None for another order.
        balanced: Shows every class equally often; None for another order.
        optimizer_state: Momentum to begin with, of a network with the same parameters.
        adaptation: What stands before and after a phase that adapts the largest network; needed where there is one.
        capturing: Replays recorded passes of the supernet; None to run everything as it is.
        external: A network that is the teacher of all phases, on the device, in evaluation mode; None where the
            supernet makes its own teacher, if any.
    """

    supernet: Supernet
    phases: Sequence[Phase]
    config: TrainConfig
    task: Task
    processes: Processes = field(default_factory=Processes)
    examples: ExampleImportance | None = None
    balanced: BalancedExamples | None = None
    optimizer_state: Mapping[str, Any] | None = None
    adaptation: Adaptation | None = None
    capturing: Capturing | None = None
    external: nn.Module | None = None

    def __post_init__(self) -> None:
        parameter = next(self.supernet.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self.supernet.to(memory_format=torch.channels_last).train()  # this says nothing about weights of other shapes
        self.processes.join_batch_norm(self.supernet)
        self.weights = list(self.supernet.parameters())  # once: in a large choice space it takes milliseconds
        self.shaped = [] if self.config.weight_shape is None else shaped_weights(self.supernet.network)
        self.optimizer = make_optimizer(self.supernet, self.config)
        self.average: WeightAverage | None = None
        self.teacher: Supernet | None = None
        self.phase_index = 0

    @property
    def phase(self) -> Phase:
        """The phase that is trained."""
        return self.phases[self.phase_index]

    # ---- phases and epochs ----------------------------------------------------------------------------------------

    def begin_phase(self, index: int) -> None:
        """Prepare what a phase needs; a teacher is what the first phase made."""
        self._enter(index)
        if index == 0 and self.phase.adapts and self.adaptation is not None:
            self.adaptation.begin(self.supernet)
        if self._is_taught and self.external is None and self.teacher is None:
            self.teacher = self._copy()
        if self.phase.sort:
            sort_channels(self.supernet, self.phase.trained_widths)
        self._forget_passes()
        if index == 0 or self.phase.fresh_optimizer:
            self._fresh_optimizer(self.optimizer_state if index == 0 else None)
        self._fresh_average()

    def end_phase(self) -> dict[str, Any]:
        """Make averaged weights those of the supernet, and order the units of one that is adapted."""
        self._forget_passes()
        if self.average is not None:
            self.average.adopt()
        if not self.phase.adapts or self.adaptation is None:
            return {}
        event = self.adaptation.finish(self.supernet)
        self._fresh_optimizer(None)  # momentum belongs to units
        return event

    def _forget_passes(self) -> None:
        """Drop recorded passes, since weights may lie elsewhere from now on, and other architectures run."""
        if self.capturing is not None:
            self.capturing.forget()

    def _enter(self, index: int) -> None:
        """Take a phase as the one that is trained; the statistics of norms belong to whom it trains alone."""
        self.phase_index = index
        self.supernet.own_statistics = self.supernet.space.largest() if self.phase.adapts else None

    @property
    def _is_taught(self) -> bool:
        """Whether the phase learns from a network that is not trained itself."""
        return self.phase.distillation in ("teacher", "teacher_in_place", "teacher_progressive")

    def order(self, epoch: int) -> Tensor | None:
        """Return the order by importance or by classes, if any; else that of the data."""
        drawn = self.examples or self.balanced
        return None if drawn is None else drawn.order(epoch)

    def end_epoch(self, epoch: int, progress: float) -> dict[str, Any]:
        """Let samplers and examples follow what the epoch has shown."""
        learned: dict[str, Any] = {}
        probabilities = self.phase.sampler.end_epoch(progress)
        if probabilities:
            learned["probabilities"] = probabilities
        if self.examples is not None:
            learned["examples"] = self.examples.end_epoch(epoch, progress)
        return {"event": "sampler", **learned} if learned else {}

    def _copy(self) -> Supernet:
        """Return a copy that teaches: no dropout or other noise, norms by the statistics of the batch.

        A network that was adapted has statistics of its own and uses these.
        """
        copy = deepcopy(self.supernet).requires_grad_(False).eval()
        if self.phases[0].adapts:
            return copy
        for module in copy.modules():
            if getattr(module, "running_mean", None) is not None:
                module.train()
        self.processes.join_batch_norm(copy)
        return copy

    def _fresh_optimizer(self, state: Mapping[str, Any] | None) -> None:
        self.optimizer = make_optimizer(self.supernet, self.config)
        if state is not None:
            self.optimizer.load_state_dict(deepcopy(dict(state)))

    def _fresh_average(self) -> None:
        decay = self.config.ema_decay
        self.average = WeightAverage(self.supernet, decay, buffers=self.phase.adapts) if decay is not None else None

    # ---- one step -------------------------------------------------------------------------------------------------

    def __call__(self, batch: Batch, moment: Moment) -> Tensor:
        """Train the architectures of one step together; return their mean loss."""
        with nullcontext() if self.capturing is None else self.capturing.step():
            return self._train(batch, moment)

    def _train(self, batch: Batch, moment: Moment) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = moment.lr
        architectures = self.phase.sampler.draw(moment.generator)
        if not isinstance(architectures, list) or not all(isinstance(one, Architecture) for one in architectures):
            name, kind = type(self.phase.sampler).__name__, type(architectures).__name__
            raise WrongResult(f"{name}.draw must return a list of Architectures, got {kind}")
        loss = self._backward(architectures, batch, moment)
        self._shape_weights(1 if self.phase.average_losses else len(architectures))
        self.processes.average_gradients(self.weights)
        if self.config.largest_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.weights, self.config.largest_norm)
        self.phase.sampler.observe(architectures, self.supernet)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update()
        return loss

    def _shape_weights(self, losses: int) -> None:
        """Add the gradient of what the distributions of weights add to each of so many losses."""
        if self.config.weight_shape is not None:
            (losses * shape_loss(self.shaped, self.config.weight_shape)).backward()

    def _backward(self, architectures: list[Architecture], batch: Batch, moment: Moment) -> Tensor:
        """Add up the gradients of the losses of all architectures of a step; return the mean loss."""
        weights = None if self.examples is None else self.examples.weights(moment.epoch, moment.batch)
        losses, errors = torch.zeros((), device=self.device), []
        for part in batch_parts(batch, weights, self.config.accumulate, self.task, self.processes):
            loss, error = self._backward_part(architectures, part, moment)
            losses += loss
            errors.append(error)
        if self.examples is not None:
            self.examples.record(torch.cat([error for error in errors if error is not None]))
        return losses

    def _backward_part(
        self, architectures: list[Architecture], part: BatchPart, moment: Moment
    ) -> tuple[Tensor, Tensor | None]:
        """Add up the gradients of all architectures for a part of the batch.

        Returns:
            Its contribution to the mean loss, and to the errors of the first architecture where these are recorded.
        """
        batch, inputs, teacher, errors = part.batch, self.task.inputs(part.batch), None, None
        losses, in_place = torch.zeros((), device=self.device), False
        for position, architecture in enumerate(architectures):
            if self._is_taught and position == 0:
                teacher = self._taught(inputs, architecture)
            self._activate(architecture, moment)
            output = self._output(self.supernet, inputs)
            if self.examples is not None and position == 0:
                errors = part.of_whole(self.task.output_errors(output, batch))
            loss = part.scaled(self._loss(output, batch, teacher, part.weights, in_place=in_place))
            (loss / len(architectures) if self.phase.average_losses else loss).backward()
            losses += loss.detach() / len(architectures)
            if self._teaches(position):
                teacher, in_place = output.detach(), True
        return losses, errors

    def _teaches(self, position: int) -> bool:
        """Return whether the architecture at a position of the step teaches those behind it."""
        first_teaches = self.phase.distillation in ("in_place", "teacher_in_place") and position == 0
        return first_teaches or self.phase.distillation in ("progressive", "teacher_progressive")

    def _activate(self, architecture: Architecture, moment: Moment) -> None:
        """Let the supernet run an architecture in this step."""
        self.supernet.activate(architecture)

    def _loss(
        self, output: Tensor, batch: Batch, teacher: Tensor | None, weights: Tensor | None, *, in_place: bool
    ) -> Tensor:
        """Return the loss of one subnet: from the targets, from a teacher, or from both."""
        weight = 0.0 if teacher is None else self.config.kd_weight
        target_weight = max(0.0, 1.0 - weight) if in_place else 1.0
        loss = torch.zeros((), device=output.device)
        if target_weight:
            loss = target_weight * self.task.loss(output, batch, weights=weights)
        if teacher is not None and weight:
            loss = loss + weight * self.task.loss(output, batch, teacher=teacher, weights=weights)
        return loss

    @torch.no_grad()
    def _taught(self, inputs: tuple[Tensor, ...], student: Architecture) -> Tensor:
        """Return what the teacher says of inputs as the student sees them."""
        if self.external is not None:
            return self._output(self.external, inputs)
        assert self.teacher is not None
        space = self.teacher.space
        shared = {name: student[name] for name in space.shared_decisions if name in student}
        self.teacher.activate(space.architecture({**space.largest(), **shared}))
        return self._output(self.teacher, inputs)

    def _output(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        with in_bf16(self.device, self.config.bf16):
            if self.capturing is not None and network is self.supernet:
                return self.capturing.output(network, inputs).to(self.dtype)
            return network(*inputs).to(self.dtype)

    # ---- state ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return weights, momentum, averages, what was learned about sampling, and the teacher."""
        if self.examples is not None:
            self.examples.join()
        return {
            "phase_index": self.phase_index,
            "supernet": {name: tensor.clone() for name, tensor in self.supernet.network.state_dict().items()},
            "optimizer": deepcopy(self.optimizer.state_dict()),
            "average": None if self.average is None else [tensor.clone() for tensor in self.average.average],
            "teacher": None if self.teacher is None else self.teacher.network.state_dict(),  # its weights never change
            "sampler": self.phase.sampler.state_dict(),
            "examples": None if self.examples is None else self.examples.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ValueError: It is of a training with another sampler, order of examples or average.
        """
        self._enter(state["phase_index"])
        sampler = self.phase.sampler
        same_sampler = state["sampler"].keys() == sampler.state_dict().keys()
        if not same_sampler or (state["examples"] is None) != (self.examples is None):
            raise ValueError("it is of a training with another sampler or order of examples")
        if state["teacher"] is not None and self.teacher is None:
            self.teacher = self._copy()
            self.teacher.network.load_state_dict(state["teacher"])
        self.supernet.network.load_state_dict(state["supernet"])
        self._forget_passes()
        self._fresh_optimizer(state["optimizer"])
        self._fresh_average()
        if self.average is not None:
            torch._foreach_copy_(self.average.average, state["average"])
        sampler.load_state_dict(state["sampler"])
        if self.examples is not None:
            self.examples.load_state_dict(state["examples"])
