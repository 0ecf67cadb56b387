"""Given weights of a network that was cut into pieces, whose tensors have their own names within each piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search_spaces.errors import FieldError
from search_spaces.weights.found import FoundWeights
from search_spaces.weights.given import GivenWeights

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.traced_spaces.sources import OfImages


@dataclass(frozen=True, kw_only=True)
class WeightsOfPieces(FoundWeights):
    """The weights that a network had before it was cut.

    Args:
        given: The weights of the network as a whole.
    """

    given: GivenWeights

    @classmethod
    def of(cls, source: OfImages, *, pretrained: bool, checkpoint: str | None, head: str) -> WeightsOfPieces | None:
        """Return the weights that the options of a space name; None for fresh ones.

        Raises:
            FieldError: An option has a value that it cannot have, or the network has no weights of that kind.
        """
        from search_spaces.traced_spaces.sources import OwnModule, TimmModel

        if not isinstance(source, TimmModel | OwnModule):
            if pretrained or checkpoint is not None or head != "new":
                field = "pretrained" if pretrained else "checkpoint" if checkpoint is not None else "head"
                raise FieldError(field, f"must be left out for {source.name}, weights are given for models of timm")
            return None
        given = GivenWeights.of(source, pretrained=pretrained, checkpoint=checkpoint, head=head)
        return None if given is None else cls(given=given)

    def __call__(self, network: nn.Module) -> None:
        """Copy the weights into the pieces of a `SplitNetwork`; see `FoundWeights`."""
        pieces: Any = network.get_submodule("tail.pieces")
        self.given.put({name: tensor for piece in pieces for name, tensor in piece.state_dict().items()})

    def check(self) -> None:
        """Read the weights and compare them with the model; see `FoundWeights`."""
        self.given.check()

    def describe(self) -> str:
        """Return where the weights come from and what becomes of the head."""
        return self.given.describe()
