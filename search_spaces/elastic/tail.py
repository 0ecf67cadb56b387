"""Elastic tail: pieces in sequence, of which the first ones are left out."""

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from search_spaces.architecture import Choice, Setting
from search_spaces.elastic.layer import Elastic, extracted
from search_spaces.sizes import AnySize, Size, largest, resolve_number


class ElasticTail(Elastic):
    """Pieces in sequence that run from one of them on.

    The pieces themselves follow no decision.

    Args:
        pieces: The pieces.
        start: Number of the first piece that runs, from 0.

    Attributes:
        active_start: The first piece that runs now.
    """

    def __init__(self, pieces: Iterable[nn.Module], start: AnySize) -> None:
        super().__init__()
        self.pieces = nn.ModuleList(pieces)
        self.start = start
        if not largest(start) < len(self.pieces):
            raise ValueError(f"start must be below {len(self.pieces)}, the number of pieces, got {largest(start)}")
        self.active_start = 0

    @property
    def is_fixed(self) -> bool:
        return isinstance(self.start, int)

    def activate(self, setting: Setting) -> None:
        start = resolve_number(self.start, setting)
        if start is not None:
            self.active_start = start

    def governed(self) -> Iterator[tuple[str, Choice, nn.Module]]:
        if isinstance(self.start, Size):
            for choice, start in self.start.values.items():
                for piece in self.pieces[start:]:
                    yield self.start.decision, choice, piece

    def forward(self, x: Tensor) -> Tensor:
        for number in range(self.active_start, len(self.pieces)):
            x = self.pieces[number](x)
        return x

    def extract(self) -> nn.Module:
        return nn.Sequential(*(extracted(piece) for piece in self.pieces[self.active_start :])).train(self.training)
