"""Several supernets that are used as one: each architecture runs in one of them."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

from torch import Tensor, nn

from search_spaces import Architecture, Relaxation, Space
from search_spaces.elastic import extracted
from supernets.supernet import Supernet


class SeveralSupernets(Supernet):
    """A supernet made of supernets, one of which runs the active architecture.

    Args:
        space: The whole space.
        spaces: The space of each supernet: the whole, or a part of it.
        networks: The network of each supernet.

    Attributes:
        leaves: The supernets.
    """

    def __init__(self, space: Space, spaces: Sequence[Space], networks: Sequence[nn.Module]) -> None:
        nn.Module.__init__(self)
        self.space = space
        self.network = nn.ModuleList(networks)
        # a tuple, so that weights have one name only, the one below `network`
        self.leaves = tuple(Supernet(part, network) for part, network in zip(spaces, networks, strict=True))
        self.activate(space.largest())

    @abstractmethod
    def leaf_of(self, architecture: Mapping[str, Any]) -> int:
        """Return the number of the supernet, counted from 0, that runs an architecture or a mixture of some.

        Raises:
            ValueError: None of them can run all choices of a mixture.
        """

    def activate(self, architecture: Architecture) -> None:
        self.active = self.space.architecture(architecture)
        self._leaf = self.leaf_of(self.active)
        self.leaves[self._leaf].activate(self.active)

    def relax(self, relaxation: Relaxation) -> None:
        """Run a mixture, as `Supernet.relax` does.

        Raises:
            ValueError: None of the supernets can run all choices that are to be mixed.
        """
        self._leaf = self.leaf_of(relaxation)
        self.leaves[self._leaf].relax(relaxation)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.leaves[self._leaf](*inputs)

    def extract(self, architecture: Architecture | None = None) -> nn.Module:
        if architecture is not None:
            self.activate(architecture)
        return extracted(self.leaves[self._leaf].network)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for leaf in self.leaves:
            leaf.train(mode)
        return self
