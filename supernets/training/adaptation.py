"""What stands around the adaptation of the largest network to the examples of a user: statistics before, order after.

Smaller networks keep the first units of each group, so the important ones come first. Which measure of importance is
best depends on network and examples: `auto` brings the units into each order on trial, and compares the mean loss of
the same random architectures, calibrated and judged on training examples.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search_spaces import Architecture
from supernets.calibration import calibrate
from supernets.streams import UNIT_ORDER
from supernets.supernet import Supernet
from supernets.tasks.task import Batch, Task
from supernets.training.adapt_config import ORDERS
from supernets.training.config import TrainConfig
from supernets.training.distributed import Processes
from supernets.training.examples import TrainingData
from supernets.transforms.follow_examples import following_examples, write
from supernets.transforms.importance import Importances, by_loss, by_scales, by_weights, orders_by, random_importance
from supernets.transforms.units import UnitGroup, reorder, unit_groups

_TRIED = tuple(order for order in ORDERS if order != "none")
_SUBNETS, _RANDOM = 0, 1  # streams of `UNIT_ORDER`


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """The work before the training of the largest network, and between it and that of smaller ones.

    Args:
        config: How the supernet is trained; its `adapt` says what follows.
        data: The training split.
        task: Task that gives the loss.
        seed: Seed of the training.
        processes: This process and its siblings; the first decides for all.
        observer: Receives the progress.
        judge: Returns the quality of some architectures by name.
    """

    config: TrainConfig
    data: TrainingData
    task: Task
    seed: int
    processes: Processes
    observer: Callable[[dict[str, Any]], None] = lambda event: None
    judge: Callable[[], Mapping[str, float]] = dict

    def begin(self, supernet: Supernet) -> None:
        """Let trained batch norms follow the examples, where the settings say so; the function stays the same."""
        if self.config.adapt.statistics == "given":
            return
        batches = self._batches()
        half = batches[: max(1, len(batches) // 2)]
        mode = supernet.training
        inputs = [self.task.inputs(batch) for batch in half]
        found = following_examples(supernet, inputs) if self.processes.is_first else None
        found = self.processes.first_says(found) or {}
        write(supernet.network, found)
        supernet.train(mode)
        if found:
            norms, seen = sum(name.endswith(".running_mean") for name in found), sum(len(x) for x, *_ in inputs)
            self.observer({"event": "statistics", "time": time.time(), "norms": norms, "examples": seen})

    def finish(self, supernet: Supernet) -> dict[str, Any]:
        """Order the units of an adapted supernet in place, and return an event that says how."""
        decided = self._decided(supernet) if self.processes.is_first else None
        order, losses, orders = self.processes.first_says(decided) or ("none", {}, {})
        reorder(supernet, orders)
        event = {"event": "order", "order": order, "groups": len(orders), "losses": losses}
        return {**event, **self.judge()} if self.processes.is_first else event

    def _decided(self, supernet: Supernet) -> tuple[str, dict[str, float], dict[str, Tensor]]:
        """Return the name of the order, the loss of each that was compared, and the order of each group."""
        groups = unit_groups(supernet)
        if self.config.adapt.order == "none" or not groups:
            return "none", {}, {}
        mode = supernet.training
        batches = self._batches()
        half = max(1, len(batches) // 2)
        try:
            if self.config.adapt.order != "auto":
                name: str = self.config.adapt.order
                return name, {}, orders_by(self._importance(name, supernet, groups, batches[:half]))
            found = {name: orders_by(self._importance(name, supernet, groups, batches[:half])) for name in _TRIED}
            losses = self._losses(supernet, found, batches[:half], batches[half:] or batches)
        finally:
            supernet.train(mode)
        best = min(losses, key=lambda name: losses[name])
        return best, losses, found[best]

    def _batches(self) -> list[Batch]:
        """Return training batches in an order of their own, twice as many as `examples` says, as far as there are."""
        size = min(self.config.batch_size, self.config.adapt.examples)
        seed = UNIT_ORDER.seed(self.seed)
        batches = self.data.batches(size, epoch=0, seed=seed, start=0, rank=0, world_size=1)
        return list(islice(batches, 2 * max(1, self.config.adapt.examples // size)))

    def _importance(
        self, name: str, supernet: Supernet, groups: Sequence[UnitGroup], batches: Sequence[Batch]
    ) -> Importances:
        if name == "taylor":
            return by_loss(supernet, groups, batches, self.task)
        if name == "bn":
            return by_scales(groups)
        if name == "random":
            return random_importance(groups, UNIT_ORDER.torch_generator(self.seed, _RANDOM))
        return by_weights(groups, power=1 if name == "l1" else 2)

    def _losses(
        self,
        supernet: Supernet,
        orders: Mapping[str, Mapping[str, Tensor]],
        calibration: Sequence[Batch],
        judged: Sequence[Batch],
    ) -> dict[str, float]:
        """Return the mean loss of the same random architectures under each order."""
        generator = UNIT_ORDER.generator(self.seed, _SUBNETS)
        architectures = [supernet.space.sample(generator) for _ in range(self.config.adapt.subnets)]
        losses: dict[str, float] = {}
        for number, (name, order) in enumerate(orders.items()):
            trial = deepcopy(supernet)
            reorder(trial, order)
            found = []
            for done, architecture in enumerate(architectures):
                self._tell(number * len(architectures) + done, len(orders) * len(architectures), name)
                found.append(self._loss(trial, architecture, calibration, judged))
            losses[name] = float(np.mean(found))
        self._tell(len(orders) * len(architectures), len(orders) * len(architectures), "")
        return losses

    @torch.no_grad()
    def _loss(
        self, supernet: Supernet, architecture: Architecture, calibration: Sequence[Batch], judged: Sequence[Batch]
    ) -> float:
        subnet = supernet.extract(architecture).to(memory_format=torch.channels_last)
        subnet = calibrate(subnet, (self.task.inputs(batch) for batch in calibration))
        losses = [float(self.task.loss(subnet(*self.task.inputs(batch)), batch)) for batch in judged]
        return float(np.mean(losses))

    def _tell(self, done: int, total: int, name: str) -> None:
        self.observer({"event": "ordering", "time": time.time(), "done": done, "total": total, "order": name})
