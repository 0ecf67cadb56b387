"""The step of SuperTickets: the largest network is trained, and loses channels, paths and weights meanwhile.

Paper: You et al., SuperTickets: Drawing Task-Agnostic Lottery Tickets from Supernets, ECCV 2022, arXiv 2207.03677: the
loss pulls the scales of norms to 0, in proportion to the MACs of their channels; dead channels are removed; the
smallest weights of the whole network are masked, more of them in every interval and chosen anew each time.
Differs: what the training leaves is the sparse network: its last removal leaves masks as they are, and the sparsity is
met once more by the averaged weights behind it; released are weights whose last removal has reset the masks, and a
checkpoint before that. The reported loss leaves out the pull. Learning rates and optimizers are those of `TrainConfig`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from search_spaces import Architecture
from search_spaces.elastic import masked_layers
from search_spaces.errors import FieldError
from supernets.tasks.task import Batch
from supernets.ticket import Ticket, sparse_costs
from supernets.training.steps.step import Moment
from supernets.training.steps.supernet import SupernetStep
from supernets.training.ticket_config import TicketConfig
from supernets.transforms.dead_channels import (
    channel_macs,
    dead,
    paths,
    penalties,
    remove,
    shrunk,
    unmask_paths,
)
from supernets.transforms.masks import counted, prune, unmask

EVENT = "ticket"


@dataclass(kw_only=True, eq=False)
class TicketStep(SupernetStep):
    """The step that trains one network, which becomes smaller and sparser.

    Args:
        supernet: Trained in place, on its device; what is left of it is its `ticket`. One that has a ticket already is
            trained as it is, where the settings name a start.
        epoch_steps: Steps of an epoch.

    Raises:
        FieldError: The network has nothing that could be removed.
    """

    epoch_steps: int

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.config.tickets is not None
        self.tickets: TicketConfig = self.config.tickets
        space = self.supernet.space
        self._given = self.supernet.ticket if self.tickets.start is not None else None
        self.supernet.ticket = self._given or Ticket(space.largest())
        self.supernet.activate(self._ticket.architecture)
        found = paths(self.supernet.network, self._ticket.architecture)
        if not found or not any(True for _ in masked_layers(self.supernet.network)):
            raise FieldError("tickets", f"must be null: networks of {space.name} have no paths and masks to remove")
        self.macs = channel_macs(space)
        self.penalties = penalties(found, self.macs)

    @property
    def _ticket(self) -> Ticket:
        assert self.supernet.ticket is not None
        return self.supernet.ticket

    def begin_phase(self, index: int) -> None:
        """Prepare what the step of a supernet needs.

        Raises:
            FieldError: The training starts from a ticket, and the supernet has none.
        """
        if self.tickets.start is not None and self._given is None:
            raise FieldError("tickets.start", f"must be taken into the supernet before, got {self.tickets.start!r}")
        super().begin_phase(index)

    # ---- one step ---------------------------------------------------------------------------------------------------

    def _activate(self, architecture: Architecture, moment: Moment) -> None:
        """Let what is left run, whatever was drawn."""
        self.supernet.activate(self._ticket.architecture)

    def _backward(self, architectures: list[Architecture], batch: Batch, moment: Moment) -> Tensor:
        """Add the gradient of the pull to that of the task; return the loss of the task."""
        loss = super()._backward(architectures, batch, moment)
        pull = self.tickets.pull(moment.step, self.epoch_steps, self.config.epochs)
        if pull:
            self._pull(pull)
        return loss

    @torch.no_grad()
    def _pull(self, factor: float) -> None:
        """Add the gradient of the absolute scales, weighted by cost: the same in all processes, as is their mean."""
        for path in paths(self.supernet.network, self._ticket.architecture):
            if path.channels and path.scale.grad is not None:
                live = slice(path.channels)
                path.scale.grad[live] += factor * self.penalties[path.decision] * path.scale[live].sign()

    # ---- removal and pruning ----------------------------------------------------------------------------------------

    def end_epoch(self, epoch: int, progress: float) -> dict[str, Any]:
        """Remove dead channels, then prune, where an interval ends; return what has changed."""
        done, epochs = epoch + 1, self.config.epochs
        if self.tickets.start is not None or done >= epochs:  # what follows the last epoch is in `end_phase`
            return {}
        until = round(self.tickets.search_until * epochs) if self.tickets.search_until < 1 else math.inf
        sparsity = self.tickets.sparsity_after(done, epochs)
        changes: dict[str, Any] = {}
        if done <= until and (done % self.tickets.removal_interval == 0 or done == until):
            last, again = done == until, sparsity is not None  # all masks are made anew then, whatever they were
            changes |= self._remove(any_macs=last, average_only=last, reuse_mask=self.tickets.reuse_mask or again)
        if sparsity is not None:
            changes |= self._prune(sparsity)
        resets = sparsity is not None and self.tickets.reset_mask
        if resets:
            changes["reactivated_by_reset"] = changes["masked_weights"]
        event = self._told(done, changes)
        if resets:
            unmask(self.supernet.network)
        event.pop("epoch", None)  # the loop adds it
        return {**event, "network_changed": True} if event else {}

    def end_phase(self) -> dict[str, Any]:
        """Make averaged weights those of the supernet, remove what is dead in them, and meet the sparsity."""
        super().end_phase()
        if self.tickets.start is not None:
            return self._told(self.config.epochs, {"final": 1})
        changes: dict[str, Any] = {"final": 1}
        if self.tickets.search_until == 1:
            changes |= self._remove(any_macs=True, average_only=True, reuse_mask=True)
        return self._told(self.config.epochs, changes | self._prune(self.tickets.sparsity))

    def _remove(self, *, any_macs: bool, average_only: bool, reuse_mask: bool) -> dict[str, Any]:
        """Remove dead channels where they are worth it; return how many."""
        network, found = self.supernet.network, paths(self.supernet.network, self._ticket.architecture)
        averages = {} if self.average is None else dict(zip(map(id, self.average.parameters), self.average.average))
        marks = dead(found, self.tickets.threshold, averages, average_only=average_only)
        counts = {name: int(mark.sum()) for name, mark in marks.items()}
        macs = sum(count * self.macs[name] for name, count in counts.items())
        if not macs or not (any_macs or macs >= self.tickets.least_macs):
            return {"removed_channels": 0}
        along = {id(parameter): self._along(parameter, averages) for parameter in network.parameters()}
        architecture = shrunk(self.supernet.space, found, marks)
        orders = remove(network, found, marks, along)
        self.supernet.ticket = self._ticket.after(architecture, orders)
        self.supernet.activate(architecture)
        reactivated = 0 if reuse_mask else unmask_paths(network)
        return {"removed_channels": sum(counts.values()), "reactivated_by_removal": reactivated}

    def _along(self, parameter: Tensor, averages: Mapping[int, Tensor]) -> list[Tensor]:
        """Return the tensors that follow a parameter."""
        states = self.optimizer.state.get(parameter, {}).values()
        following = [state for state in states if isinstance(state, Tensor) and state.shape == parameter.shape]
        return [*following, *([averages[id(parameter)]] if id(parameter) in averages else [])]

    def _prune(self, sparsity: float) -> dict[str, Any]:
        pruned = prune(self.supernet.network, sparsity)
        return {"returned_weights": pruned.returned, "masked_weights": pruned.masked}

    def _told(self, epoch: float, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Note what has changed in the ticket, and return it as an event; nothing where nothing has."""
        if not changes or changes == {"removed_channels": 0}:
            return {}
        record = {"epoch": epoch, **changes, **self._figures()}
        self.supernet.ticket = self._ticket.noted(record)
        return {"event": EVENT, **record}

    def _figures(self) -> dict[str, Any]:
        """Return what is left of the network."""
        space, architecture = self.supernet.space, self._ticket.architecture
        left = paths(self.supernet.network, architecture)
        known = counted(self.supernet.network)
        plain = self.supernet.extract(architecture).float()
        example = tuple(tensor.to(self.device) for tensor in space.example(architecture))
        return {
            "channels": sum(path.channels for path in left),
            "paths": sum(path.channels > 0 for path in left),
            "weights": known.total,
            "masked_weights": known.masked,
            "sparsity": known.sparsity,
            **sparse_costs(plain, example),
        }

    # ---- state ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return what the step of a supernet returns, and the ticket."""
        return {**super().state_dict(), EVENT: self._ticket.to_json()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ValueError: It is of a training of another kind.
        """
        if EVENT not in state:
            raise ValueError("it is of a training without train.tickets")
        super().load_state_dict(state)
        self.supernet.ticket = Ticket.from_json(state[EVENT])
        self.supernet.activate(self._ticket.architecture)
