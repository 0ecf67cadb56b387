"""The weights that a network with bits begins with: those that another training left of the network without bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_spaces.errors import FieldError
from search_spaces.weights.found import FoundWeights

if TYPE_CHECKING:
    from torch import Tensor, nn

_FIELD = "precision.start"


@dataclass(frozen=True, kw_only=True)
class StartWeights(FoundWeights):
    """The weights of a supernet without bits.

    Args:
        file: File of the supernet.
        build: Makes the elastic network of its space.
    """

    file: str
    build: Callable[[], nn.Module]

    def __call__(self, network: nn.Module) -> None:
        """Copy all weights; ranges of quantizers are fitted to them afterwards; see `FoundWeights`."""
        import torch

        given, own = self._tensors(), network.state_dict()
        with torch.no_grad():
            for name, tensor in given.items():
                own[name].copy_(tensor)

    def check(self) -> None:
        """Read the weights and compare them with the network; see `FoundWeights`."""
        self._tensors()

    def describe(self) -> str:
        """Return where the weights come from."""
        return f"networks with bits begin with the weights of {self.file}"

    def _tensors(self) -> dict[str, Tensor]:
        """Return the weights by name.

        Raises:
            FieldError: There is no such file, or it is of another network.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from search_spaces.plain import ElasticOnMeta

        try:
            found = {name: tensor for name, tensor in load_file(self.file).items() if ":" not in name}
        except OSError as error:
            allowed = "the folder of a finished job or the file of a supernet"
            raise FieldError(_FIELD, f"must be {allowed}, there is no {self.file}") from error
        except SafetensorError as error:
            raise FieldError(_FIELD, f"{self.file} cannot be read as safetensors: {error}") from error
        network = ElasticOnMeta(self.build).network
        shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
        if {name: tensor.shape for name, tensor in found.items()} != shapes:
            raise FieldError(_FIELD, f"{self.file} holds the weights of another network, or of one with bits")
        return found
