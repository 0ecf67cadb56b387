"""The base of leaf layers with one size, or a mixture of sizes, that follows an architecture."""

from __future__ import annotations

from search_spaces.architecture import Setting
from search_spaces.elastic.layer import Elastic
from search_spaces.sizes import LayerSize, Mixture, largest, mixtures, resolve


class Sized(Elastic):
    """A layer of which the first channels or features run.

    Args:
        size: Channels or features.

    Attributes:
        active_size: How many run; the largest of a mixture.
    """

    def __init__(self, size: LayerSize) -> None:
        super().__init__()
        self.size = size
        self.active_size = largest(size)
        self._mixed: dict[str, Mixture] = {}

    @property
    def is_fixed(self) -> bool:
        return isinstance(self.size, int)

    def activate(self, setting: Setting) -> None:
        size = resolve(self.size, setting)
        if isinstance(size, int):
            self.active_size = size
            if self._mixed:
                self._mixed = {}
        elif size is not None:
            self.active_size, self._mixed = largest(size), mixtures(size=size)
