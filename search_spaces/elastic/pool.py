"""Elastic pooling: a place where the resolution is halved, or not."""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from search_spaces.architecture import Choice, Setting
from search_spaces.elastic.layer import Elastic


class ElasticPool(Elastic):
    """A maximum over 2 x 2 pixels, if one of the decisions has chosen this place.

    Args:
        place: The choice that stands for this place.
        decisions: Names of decisions, each of which chooses the place of one pooling.
    """

    def __init__(self, place: Choice, decisions: Sequence[str]) -> None:
        super().__init__()
        self.place, self.decisions = place, tuple(decisions)
        self.pool = nn.MaxPool2d(2)
        self.active = False

    def activate(self, setting: Setting) -> None:
        """Run where an architecture has a pooling here.

        Raises:
            TypeError: A mixture of places was asked for.
        """
        chosen = [setting.get(decision) for decision in self.decisions]
        if not all(isinstance(one, int | str) for one in chosen if one is not None):
            raise TypeError("places of poolings cannot be mixed: their feature maps have different sizes")
        self.active = self.place in chosen

    def governed(self) -> Iterator[tuple[str, Choice, nn.Module]]:
        for decision in self.decisions:
            yield decision, self.place, self

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x) if self.active else x

    def extract(self) -> nn.Module:
        return nn.MaxPool2d(2).train(self.training) if self.active else nn.Identity().train(self.training)
