"""A network that contains every architecture of a space."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as as_safetensors
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from search_spaces import Architecture, Relaxation, Space
from search_spaces.elastic import extracted, following_layers
from supernets.experts import experts_of
from supernets.learned import METHOD, Learned
from supernets.ticket import ENTRY, Ticket
from supernets.whole_file import InvalidFile, written_whole

_OWN_STATISTICS = "own_statistics"
EXPERTS = "experts"
"""The entry of the metadata that says which experts feed-forward layers have."""


class Supernet(nn.Module):
    """Shared weights of all architectures of a space, one of them active at a time.

    Activation is state: evaluate in parallel, and measure latency, on extracted subnets only.

    Args:
        space: The space; the supernet keeps it whole even when training restricts it for a while.
        network: A network whose elastic layers follow the space; built by the space unless given.

    Attributes:
        own_statistics: The architecture that the running statistics of the batch norms are of, because it was the only
            one that was trained; None where they are shared. It is judged by these statistics, without calibration. A
            training that runs other architectures sets it to None. It is saved with the weights.
        learned: What the training has learned about choices; None where it learned nothing. It is saved with the
            weights.
        ticket: What a training has left of the network; None where it removed nothing. It is saved with the weights.
    """

    own_statistics: Architecture | None = None
    learned: Learned | None = None
    ticket: Ticket | None = None

    def __init__(self, space: Space, network: nn.Module | None = None) -> None:
        super().__init__()
        self.space = space
        self.network = network if network is not None else space.build()
        self._layers = following_layers(self.network)
        self.active = space.largest()
        self.activate(self.active)

    def activate(self, architecture: Architecture) -> None:
        """Let `forward` run this architecture.

        Raises:
            InvalidArchitecture: It is not of this space.
        """
        self.active = self.space.architecture(architecture)
        for layer in self._layers:
            layer.activate(self.active)

    def relax(self, relaxation: Relaxation) -> None:
        """Let `forward` run a mixture of architectures until the next `activate`; `active` stays as it was.

        Raises:
            TypeError: The network cannot mix the choices of one of these decisions.
        """
        for layer in self._layers:
            layer.activate(relaxation)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return what the active architecture makes of a batch of inputs [B, ...]."""
        return self.network(*inputs)

    def extract(self, architecture: Architecture | None = None) -> nn.Module:
        """Return a plain network with a copy of the weights of an architecture (of the active one by default).

        Its batch norms still have the statistics shared by all subnets and count as not calibrated, unless they are
        its own, see `own_statistics`.
        """
        if architecture is not None:
            self.activate(architecture)
        subnet = extracted(self.network)
        if self.active == self.own_statistics:
            for module in subnet.modules():
                if isinstance(module, _BatchNorm) and module.num_batches_tracked is not None:
                    module.num_batches_tracked.fill_(1)
        return subnet

    def __deepcopy__(self, memo: dict) -> "Supernet":
        copy = Supernet(self.space, deepcopy(self.network, memo))
        copy.own_statistics, copy.learned = self.own_statistics, deepcopy(self.learned, memo)
        copy.ticket = self.ticket
        copy.activate(self.active)
        return copy.train(self.training)

    def save(self, path: Path) -> None:
        """Write all weights as safetensors, with the decisions of the space as metadata; whole or not at all."""
        tensors = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()} | self._tensors()
        with written_whole(path) as file:
            file.write(as_safetensors(tensors, metadata=self._metadata()))

    def load(self, path: Path) -> None:
        """Take the weights that `save` wrote.

        Raises:
            InvalidFile: The file is not a supernet, or it is of another space, split in another way or with other
                experts; nothing was changed.
        """
        saved, ours = read_metadata(path), self._metadata()
        theirs = _named(saved.get("space"))
        other_space = (
            f"{path} holds a supernet of {theirs}; its decisions or shapes differ from this job's {self.space.name}"
        )
        if "space" not in saved or not _same_space(saved["space"], ours["space"]):
            raise InvalidFile(other_space)
        if any(saved.get(entry) != ours.get(entry) for entry in ("tree", "mixture")):
            raise InvalidFile(f"{path} holds a supernet of {self.space.name} that is split otherwise than this one")
        if saved.get(EXPERTS) != ours.get(EXPERTS):
            there, here = (_experts_told(entry.get(EXPERTS)) for entry in (saved, ours))
            raise InvalidFile(f"{path} holds a supernet of {self.space.name} with {there}; this one has {here}")
        tensors = load_file(path)
        beside = {name: tensors.pop(name) for name in list(tensors) if ":" in name}
        if not self._fits(tensors):
            raise InvalidFile(other_space)
        try:
            self.network.load_state_dict(tensors)
        except RuntimeError as error:  # names are missing
            raise InvalidFile(other_space) from error
        self.own_statistics = self._architecture_of(saved.get(_OWN_STATISTICS), path)
        self.ticket = Ticket.taken_from(saved)
        self._take(beside, saved)

    def _tensors(self) -> dict[str, Tensor]:
        """Return what is saved beside the weights, by names that have a colon."""
        return {} if self.learned is None else self.learned.tensors()

    def _take(self, tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> None:
        """Take what was saved beside the weights."""
        self.learned = Learned.taken_from(tensors, metadata)

    def _fits(self, tensors: Mapping[str, Tensor]) -> bool:
        """Return whether tensors that both sides have agree in shape; missing tensors are reported later."""
        ours = self.network.state_dict()
        return all(ours[name].shape == tensor.shape for name, tensor in tensors.items() if name in ours)

    def _metadata(self) -> dict[str, str]:
        """Return what is saved beside the weights."""
        own, experts = self.own_statistics, experts_of(self.space)
        return {
            "space": _signature(self.space),
            **({} if experts is None else {EXPERTS: experts.structure()}),
            **({} if own is None else {_OWN_STATISTICS: json.dumps(own.to_json())}),
            **({} if self.learned is None else {METHOD: self.learned.method}),
            **({} if self.ticket is None else {ENTRY: json.dumps(self.ticket.to_json())}),
        }

    def _architecture_of(self, saved: str | None, path: Path) -> Architecture | None:
        if saved is None:
            return None
        try:
            return self.space.architecture(Architecture.from_json(json.loads(saved)))
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidFile(
                f"{path} names an architecture that is not of {self.space.name}: {saved[:200]}"
            ) from error


@contextmanager
def left_as_it_was(supernet: Supernet) -> Iterator[None]:
    """Restore buffers, training modes and the active architecture at the end, whatever happens."""
    buffers = [(buffer, buffer.clone()) for buffer in supernet.buffers()]
    modes = [(module, module.training) for module in supernet.modules()]
    active = supernet.active
    try:
        yield
    finally:
        for buffer, before in buffers:
            buffer.copy_(before)
        for module, mode in modes:
            module.training = mode
        supernet.activate(active)


def read_metadata(path: Path) -> dict[str, str]:
    """Return what `Supernet.save` wrote beside the weights.

    Raises:
        InvalidFile: The file is not safetensors.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise InvalidFile(f"{path} is not a supernet written by this program: {error}") from error


def _signature(space: Space) -> str:
    decisions = {decision.name: decision.choices for decision in space.decisions}
    return json.dumps({"name": space.name, "decisions": decisions, "inputs": [one.shape for one in space.inputs]})


def _experts_told(saved: str | None) -> str:
    """Return the settings of experts as words."""
    return "no experts" if saved is None else saved.strip("{}").replace('"', "")


def _named(saved: str | None) -> str:
    """Return the name of the space in a signature."""
    try:
        return "no space at all" if saved is None else json.loads(saved)["name"]
    except (ValueError, KeyError, TypeError):
        return "no space that can be read"


def _same_space(saved: str, ours: str) -> bool:
    """Return whether two signatures name one space; earlier versions wrote `input` and the number of classes."""
    try:
        theirs = json.loads(saved)
    except ValueError:
        return False
    if not isinstance(theirs, dict):
        return False
    theirs.pop("classes", None)
    if "input" in theirs:
        theirs["inputs"] = [theirs.pop("input")]
    return theirs == json.loads(ours)
