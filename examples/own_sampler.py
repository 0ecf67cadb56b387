"""A sampler of one's own: most steps train cheap architectures, and more and more so.

    nas run examples/own_sampler.yaml

It learns over the epochs, so it shows all methods that a sampler may have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from search_spaces import Architecture, Space
from supernets import Sampler


@dataclass(kw_only=True)
class CheapFirst(Sampler):
    """Of `tries` random architectures, the one with the fewest MACs is trained; `tries` grows by one each epoch.

    Args:
        space: Where to draw from.
        most: Upper end of `tries`.
    """

    space: Space
    most: int = 4
    tries: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"most must be at least 1, got {self.most}")

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        drawn = [self.space.sample(generator) for _ in range(self.tries)]
        macs = self.space.costs(drawn)["macs"]
        return [drawn[int(np.argmin(macs))]]

    def end_epoch(self, progress: float) -> dict[str, float]:
        self.tries = min(self.tries + 1, self.most)
        return {"tries": self.tries}

    def state_dict(self) -> dict[str, Any]:
        return {"tries": self.tries}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.tries = int(state["tries"])
