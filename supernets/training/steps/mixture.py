"""The step of a mixture of supernets: one of them learns an architecture, and is judged by it.

Paper: Javan et al., Balanced Mixture of SuperNets, AutoML-Conf 2023 (PMLR v224), algorithm 1: an architecture is drawn
uniformly, its supernet by the balanced assignment; after the update, the accuracy of a batch of held-out examples
counts in the assignment. One supernet is SPOS.
Differs: every batch holds examples of both kinds, in the proportion of the two parts. Those that judge are changed as
training wants it, and norms use the statistics of their batch, as published. The temperature follows the progress of
the learning rate. A task whose metric has no least and largest value cannot say what suits an architecture.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces import Architecture
from search_spaces.errors import FieldError
from supernets.mixture import Mixture
from supernets.supernet import left_as_it_was
from supernets.tasks.task import Batch
from supernets.training.halves import Halves
from supernets.training.mixture_config import MixtureConfig
from supernets.training.steps.step import Moment
from supernets.training.steps.supernet import SupernetStep


@dataclass(kw_only=True, eq=False)
class MixtureStep(SupernetStep):
    """The step that trains one supernet of a mixture by the architecture that the sampler draws.

    Args:
        supernet: Trained in place, on its device.
        mixture: How supernets are assigned.
        halves: Which examples the weights learn from, and which judge.

    Raises:
        FieldError: The metric of the task has no least or no largest value.
    """

    supernet: Mixture
    mixture: MixtureConfig
    halves: Halves

    def __post_init__(self) -> None:
        super().__post_init__()
        metric = self.task.quick().metric
        if not (isfinite(metric.low) and isfinite(metric.high)):
            name = metric.name
            raise FieldError("mixture", f"must be null for a task whose metric, {name}, has no least and largest value")

    def order(self, epoch: int) -> Tensor:
        """Return the order in which every batch holds examples of both parts."""
        return self.halves.order(epoch)

    def end_phase(self) -> dict[str, Any]:
        """Let every architecture run in the supernet that suits it."""
        event = super().end_phase()
        self.supernet.settle()
        return event

    def end_epoch(self, epoch: int, progress: float) -> dict[str, Any]:
        """Let every architecture run in the supernet that suits it; return the part of them that each one has."""
        event = super().end_epoch(epoch, progress) or {"event": "sampler"}
        self.supernet.settle()  # whoever validates now meets what was learned
        probabilities = self.supernet.assignment.probabilities()
        counts = torch.bincount(torch.from_numpy(probabilities.argmax(1)), minlength=probabilities.shape[1])
        members = {f"supernet{i}": float(count) / len(probabilities) for i, count in enumerate(counts, start=1)}
        return {**event, "probabilities": {**event.get("probabilities", {}), **members}}

    def __call__(self, batch: Batch, moment: Moment) -> Tensor:
        """Train an architecture in one supernet, then judge it there; return the loss."""
        first, second = self.halves.divided(batch)
        self.supernet.assignment.sharpness = 1 + (self.mixture.sharpness - 1) * moment.progress
        loss = super().__call__(first, moment)
        self._judge(second)
        return loss

    def _activate(self, architecture: Architecture, moment: Moment) -> None:
        """Draw the supernet that runs an architecture."""
        member = 0
        if len(self.supernet.leaves) > 1:
            probabilities = self.supernet.assignment.probabilities()[self.supernet.row(architecture)]
            member = int(moment.generator.choice(len(probabilities), p=probabilities))
        self._member = member
        self.supernet.activate_in(member, architecture)

    @torch.no_grad()
    def _judge(self, batch: Batch) -> None:
        """Let the accuracy of the active architecture in its supernet count."""
        task, active = self.task.quick(), self.supernet.active
        metric = task.metric
        with left_as_it_was(self.supernet):
            self.supernet.eval()
            self.supernet.activate_in(self._member, active)
            for module in self.supernet.leaves[self._member].modules():
                if getattr(module, "running_mean", None) is not None:
                    module.train()
            output = self._output(self.supernet, self.task.inputs(batch))
        value = task.evaluate(_Known(output), [batch]).value
        mean = float(self.processes.mean(torch.tensor(value, dtype=torch.float64, device=self.device)))
        part = (mean - metric.low) / (metric.high - metric.low)
        accuracy = part if metric.maximise else 1 - part
        self.supernet.assignment.observe(self.supernet.row(active), self._member, accuracy, memory=self.mixture.memory)

    def state_dict(self) -> dict[str, Any]:
        """Return what the step of one supernet returns, and what is known of all architectures."""
        return {**super().state_dict(), "assignment": self.supernet.assignment_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ValueError: It is of a training of another kind.
        """
        if "assignment" not in state:
            raise ValueError("it is of a training without train.mixture")
        super().load_state_dict(state)
        self.supernet.load_assignment(state["assignment"])


class _Known(nn.Module):
    """A network whose output is known already."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, *_: Tensor) -> Tensor:
        return self.output
