"""The quality of the extracted and calibrated subnet: the metric of its task."""

from collections.abc import Callable, Iterable

from torch import nn

from nas.objectives.objective import Objective, Role
from search_spaces import Architecture
from supernets.device import judging
from supernets.estimate import Estimate, checked
from supernets.tasks.task import Batch, Task


class Quality(Objective):
    """The metric of a task on the validation split; its name, unit and direction are those of the metric.

    Args:
        task: What networks are judged by.
        subnets: Gives the calibrated subnet of an architecture, see `nas.subnets.Subnets`.
        batches: Makes the validation batches, the same at every call; given a share below 1, those of a part of the
            split.
        bf16: Whether CUDA computes in bfloat16 autocast.
    """

    role: Role = "quality"
    uses_fidelity = True

    def __init__(
        self,
        task: Task,
        subnets: Callable[[Architecture], nn.Module],
        batches: Callable[[float], Iterable[Batch]],
        bf16: bool = False,
    ) -> None:
        self.bf16 = bf16
        self.task, self.subnets, self.batches = task, subnets, batches
        self.name, self.unit, self.maximise, self.low, self.high = task.metric

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        network = self.subnets(architecture)
        with judging(network, bf16=self.bf16):
            return checked(self.task.evaluate(network, self.batches(fidelity)), self.task)
