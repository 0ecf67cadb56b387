"""The protocol of proxies."""

from typing import ClassVar, Protocol, runtime_checkable

from proxies.passes import Passes
from proxies.scores import Score


@runtime_checkable
class Proxy(Protocol):
    """A score of a model on one batch, to be subclassed by a frozen dataclass whose fields are the options.

    Attributes:
        maximise: Whether a higher score is better.
        needs: What the shared passes must give beyond the ordinary, known before they are made; see `Passes`.
    """

    maximise: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset()

    @property
    def counts(self) -> str | None:
        """Name of the cost that the score counts in the network, where it is a count.

        Where this cost of an architecture is known exactly, the score needs no network.
        """
        return None

    def __call__(self, passes: Passes) -> Score:
        """Return the score.

        Raises:
            ScoreError: There is no score for this model on this batch; the message says why.
        """
        ...
