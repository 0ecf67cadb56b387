"""The protocol of samplers."""

from typing import Protocol

import numpy as np

from search_spaces import Architecture


class Sampler(Protocol):
    """Decides which architectures a training step runs."""

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        """The architectures of one step, in training order; never empty."""
        ...
