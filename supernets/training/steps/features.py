"""The step of a supernet whose parts stand for others: they learn what these give, too.

Paper: FitNets, arXiv 1412.6550, for features of a teacher; Slimmable Encoders, arXiv 2306.12691, for an encoder that
stands for the first part of a network.
Differs: the loss is the mean square of the difference relative to that of the features, so that its weight means the
same at every place of a network. Features come from the teacher of the phase where that is a copy of the supernet, else
from the largest network in the same step.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from search_spaces import Architecture
from search_spaces.errors import FieldError
from supernets.tasks.task import Batch
from supernets.training.batch_parts import BatchPart
from supernets.training.steps.step import Moment
from supernets.training.steps.supernet import SupernetStep


@runtime_checkable
class Imitates(Protocol):
    """A network with modules that stand for others; the largest architecture runs all the others and none of these."""

    def imitations(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """Return modules, and those for whose outputs their outputs stand, in the same order at every call."""
        ...


@dataclass(kw_only=True, eq=False)
class FeatureStep(SupernetStep):
    """The step that adds the loss of features, `feature_weight` of its configuration times.

    Raises:
        FieldError: No part of the network stands for another.
    """

    _given: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False)
    _passed: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False)
    _made: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _pairs(self.supernet.network):
            name = self.supernet.space.name
            raise FieldError("feature_weight", f"must be 0: no part of the networks of {name} stands for another")

    def _backward_part(
        self, architectures: list[Architecture], part: BatchPart, moment: Moment
    ) -> tuple[Tensor, Tensor | None]:
        """Add up the gradients while the outputs of both kinds of modules are looked at."""
        seen: list[dict[int, Tensor]] = [self._given, self._passed, self._made]
        with ExitStack() as stack:
            for kept in seen:
                stack.callback(kept.clear)
            for place, (one, other) in enumerate(_pairs(self.supernet.network)):
                stack.callback(one.register_forward_hook(partial(_keep, self._made, place)).remove)
                stack.callback(other.register_forward_hook(partial(_keep, self._passed, place)).remove)
            for place, (_, other) in enumerate(_pairs(self.teacher.network) if self.teacher is not None else ()):
                stack.callback(other.register_forward_hook(partial(_keep, self._given, place)).remove)
            return super()._backward_part(architectures, part, moment)

    def _loss(
        self, output: Tensor, batch: Batch, teacher: Tensor | None, weights: Tensor | None, *, in_place: bool
    ) -> Tensor:
        loss = super()._loss(output, batch, teacher, weights, in_place=in_place)
        made, passed = dict(self._made), dict(self._passed)
        self._made.clear()
        self._passed.clear()
        if not made:
            self._given.update({place: one.detach() for place, one in passed.items() if place not in self._given})
            return loss
        if not made.keys() <= self._given.keys():
            self._given.update(self._of_largest(batch))
        for place, one in made.items():
            away, wanted = (one.float() - self._given[place].float()).square().mean(), self._given[place].float()
            loss = loss + self.config.feature_weight * away / wanted.square().mean().clamp_min(1e-12)
        return loss

    @torch.no_grad()
    def _of_largest(self, batch: Batch) -> dict[int, Tensor]:
        """Return the features of the largest network, which this step has not run."""
        self.supernet.activate(self.supernet.space.largest())
        self._output(self.supernet, self.task.inputs(batch))
        found = dict(self._passed)
        self._passed.clear()
        return found


def _pairs(network: nn.Module) -> Sequence[tuple[nn.Module, nn.Module]]:
    return network.imitations() if isinstance(network, Imitates) else ()


def _keep(kept: dict[int, Tensor], place: int, module: nn.Module, inputs: Any, output: Tensor) -> None:
    """Keep an output as it is: what follows may change it in place."""
    kept[place] = output.clone()
