"""The settings of a search that trains each candidate for itself."""

from dataclasses import dataclass
from typing import Literal

from search_spaces.limits import check_fields, check_most

Weights = Literal["fresh", "shared", "supernet"]
_WEIGHTS = ("fresh", "shared", "supernet")


@dataclass(frozen=True, kw_only=True)
class AloneConfig:
    """The training of each candidate before it is judged.

    Args:
        epochs: Passes over the training data; `null` for `train.epochs`. Optimizer and rates are those of `train`.
        weights: Weights that a candidate begins with: `fresh`; `shared`, which takes what layers of the same kind had
            in earlier candidates (constrained weight sharing); or those of the `supernet`, which is then trained first.
    """

    epochs: float | None = None
    weights: Weights = "fresh"

    def __post_init__(self) -> None:
        check_most(self, {"epochs": 1e6})
        limits = [
            ("epochs", self.epochs is None or self.epochs > 0, "more than 0, or null"),
            ("weights", self.weights in _WEIGHTS, "fresh, shared or supernet"),
        ]
        check_fields(self, limits)

    @property
    def needs_supernet(self) -> bool:
        """Whether a supernet has to be trained before."""
        return self.weights == "supernet"
