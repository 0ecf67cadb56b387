"""The base of the layers whose setting follows an architecture, and how to find them in a network."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy

from torch import nn

from search_spaces.architecture import Choice, Setting
from search_spaces.elastic.product import Product
from search_spaces.sizes import JointSize, Size


class Elastic(nn.Module):
    """A leaf layer that holds the weights of its largest setting and runs the part that an architecture asks for.

    Call order: `activate`, then any number of `forward` and `extract`. A layer whose decision is inactive keeps its
    former setting; the network does not run it.

    Attributes:
        speaks_for_inner: Whether `governed` says what the elastic layers inside it follow, by other names than theirs.
    """

    speaks_for_inner = False

    @property
    def is_fixed(self) -> bool:
        """Whether nothing in this layer follows a decision, so that it need never be activated."""
        return False

    @abstractmethod
    def activate(self, setting: Setting) -> None:
        """Take the setting that an architecture asks for."""

    @abstractmethod
    def extract(self) -> nn.Module | None:
        """Return a plain layer with a copy of the active weights, in the same training mode; None for no layer."""

    def beside(self) -> Sequence["Elastic"]:
        """Return layers inside this one that follow an architecture by themselves, such as quantizers."""
        return ()

    def products(self) -> Iterable[Product] | None:
        """Return the convolutions and linear layers inside this one; None where they are found among its children."""
        return None

    def governed(self) -> Iterator[tuple[str, Choice, nn.Module]]:
        """Yield every decision, every choice of it, and each module of this layer that runs with this choice.

        A layer whose size follows a decision runs under all choices of it.
        """
        sizes = {value.decision: value for value in vars(self).values() if isinstance(value, Size)}
        for size in sizes.values():
            for choice in size.values:
                yield size.decision, choice, self
        joint = [value.choices() for value in vars(self).values() if isinstance(value, JointSize)]
        for decision, choices in {name: choices for one in joint for name, choices in one.items()}.items():
            if decision not in sizes:
                for choice in choices:
                    yield decision, choice, self


def followed(layer: nn.Module) -> dict[str, tuple[Choice, ...]]:
    """Return the decisions that the sizes of a layer follow, with their choices."""
    choices: dict[str, tuple[Choice, ...]] = {}
    for size in vars(layer).values():
        if isinstance(size, Size):
            choices[size.decision] = tuple(size.values)
        elif isinstance(size, JointSize):
            choices |= size.choices()
    return choices


def elastic_layers(network: nn.Module) -> list[Elastic]:
    """Return the outermost elastic layers of a network: those not inside another elastic layer, or beside it."""
    if isinstance(network, Elastic):
        return [network, *network.beside()]
    return [layer for child in network.children() for layer in elastic_layers(child)]


def following_layers(network: nn.Module) -> list[Elastic]:
    """Return the outermost elastic layers that follow a decision: those that an architecture must be told to."""
    return [layer for layer in elastic_layers(network) if not layer.is_fixed]


def extracted(network: nn.Module) -> nn.Module:
    """Return a copy of the network in which every elastic layer has become the plain layer it is now set to."""
    return deepcopy(network, {id(layer): layer.extract() for layer in elastic_layers(network)})


def governed(network: nn.Module) -> Iterator[tuple[str, Choice, nn.Module]]:
    """Yield what `Elastic.governed` gives for every elastic layer of a network, those inside others included."""
    answered: set[int] = set()
    for module in network.modules():
        if isinstance(module, Elastic) and id(module) not in answered:
            yield from module.governed()
            if module.speaks_for_inner:
                answered.update(map(id, module.modules()))
