"""Operations that follow the mode of their module: batch norm and dropout."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from search_spaces.elastic.graph.calls import Registers, Run
from search_spaces.elastic.graph.literals import aten
from search_spaces.elastic.norm import normalised_together
from search_spaces.tracing.flat import DROPS_PATHS

BATCH_NORM = aten.batch_norm.default
DROPOUTS: dict[Any, Callable[..., Tensor]] = {
    aten.dropout.default: torch.dropout,
    aten.dropout_.default: torch.dropout_,
    aten.feature_dropout.default: torch.feature_dropout,
    aten.alpha_dropout.default: torch.alpha_dropout,
}


@dataclass
class Joining:
    """Whether batch norms use the statistics of all processes together; shared by those of one network."""

    is_on: bool = False


class NormRun:
    """A batch norm with running statistics, in the mode of its module.

    Args:
        owner: The module that holds the statistics.
        slots: Registers of input, weight, bias, mean, variance; None for one that is not there.
        out: Register of the output.
        momentum, eps: As those of `nn.BatchNorm2d`.
        write_back: What writes statistics back that were copied.
        joining: Whether the statistics are those of all processes together.
    """

    def __init__(
        self,
        owner: nn.Module,
        slots: list[int | None],
        out: int,
        numbers: tuple[float, float],
        *,
        write_back: list[Run],
        joining: Joining,
    ) -> None:
        self.owner, self.slots, self.out = owner, slots, out
        self.momentum, self.eps = numbers
        self.write_back, self.joining = write_back, joining

    def __call__(self, r: Registers) -> None:
        """Normalise; in training also count the batch and update the statistics."""
        x, weight, bias, mean, var = [None if slot is None else r[slot] for slot in self.slots]
        assert x is not None
        if not self.owner.training:
            r[self.out] = torch.batch_norm(x, weight, bias, mean, var, False, self.momentum, self.eps, True)
            return
        momentum = self._momentum()
        if self.joining.is_on and mean is not None and var is not None:
            r[self.out] = normalised_together(x, (mean, var), (weight, bias), momentum, self.eps)
        else:
            r[self.out] = torch.batch_norm(x, weight, bias, mean, var, True, momentum, self.eps, True)
        for run in self.write_back:
            run(r)

    def _momentum(self) -> float:
        """Count a batch and return the weight of its statistics."""
        counted = self.owner._buffers.get("num_batches_tracked")
        if counted is not None:
            counted.add_(1)
            if getattr(self.owner, "momentum", self.momentum) is None:  # the average of all batches
                return 1.0 / float(counted)
        return self.momentum


def drops_paths(module: nn.Module) -> bool:
    """Return whether a module is stochastic depth, which leaves out a branch for some examples."""
    return type(module).__name__ in DROPS_PATHS


def follows_mode(node: fx.Node) -> bool:
    """Return whether an operation is a dropout in training; some networks always drop."""
    return node.target in DROPOUTS and node.args[2] is False


def dropout_run(node: fx.Node, owner: nn.Module, slots: tuple[int, int]) -> Run:
    """Return a dropout in the mode of its module.

    Args:
        node: The dropout.
        owner: The module whose mode counts.
        slots: Registers of input and output.
    """
    taken, out = slots
    function, rate = DROPOUTS[node.target], node.args[1]
    if node.meta.get("drops"):  # it stands for its module

        def run_own(r: Registers) -> None:
            r[out] = owner(r[taken])

        return run_own

    def run(r: Registers) -> None:
        r[out] = function(r[taken], rate, True) if owner.training else r[taken]

    return run


def mode_run(owner: nn.Module, evaluation: Run, training: Run) -> Run:
    """Return an operation that is another one while its module is trained."""

    def run(r: Registers) -> None:
        (training if owner.training else evaluation)(r)

    return run
