"""What a space says of the weights that its network begins with."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import nn


@runtime_checkable
class FoundWeights(Protocol):
    """Weights that can be looked for before any work begins.

    Call order: `check` once, before anything is trained; `describe` at any time after it; then a call for each network
    whose training begins. Nothing of it happens where a training goes on, so that a job folder needs neither the file
    nor a network.
    """

    def __call__(self, network: "nn.Module") -> None:
        """Put the weights into what `Space.build` made.

        Raises:
            FieldError: They cannot be had, or are of another network; the field is an option of the space.
        """
        ...

    def check(self) -> None:
        """Refuse weights that a call would refuse; they are fetched where they are not on this machine.

        Raises:
            FieldError: As a call.
        """
        ...

    def describe(self) -> str:
        """Return where they come from and what is left out of them, for people."""
        ...
