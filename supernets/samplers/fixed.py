"""One architecture only: ordinary training or fine-tuning of a subnet inside its supernet."""

from dataclasses import dataclass

import numpy as np

from search_spaces import Architecture
from supernets.samplers.sampler import Sampler


@dataclass(frozen=True, kw_only=True)
class Fixed(Sampler):
    """Every step trains `architecture`."""

    architecture: Architecture

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        return [self.architecture]
