"""The expected cost of a learned distribution of architectures, with its gradient.

Paper: ProxylessNAS, arXiv 1812.00332, section 3.3: the expected latency of a block is the sum over its choices of
probability times latency, and that of a network the sum over blocks.
Differs: a block may follow several decisions, whose probabilities are multiplied, so that the expectation is exact for
every space that is made of blocks. It counts only where it is above the limit.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from search_spaces import Space
from search_spaces.errors import FieldError
from search_spaces.relaxing import relaxing
from supernets.training.relaxation_config import LATENCY, cost_mistake


class ExpectedCost:
    """The mean cost of architectures whose decisions are drawn independently.

    Args:
        space: Space whose networks are made of blocks.
        name: An exact cost of the space, or `latency_ms`.
        blocks_ms: Latency [M] of each distinct block in ms, where the cost is `latency_ms`.

    Raises:
        FieldError: The space has no such cost, or its costs are not sums over blocks of its own decisions.
    """

    def __init__(self, space: Space, name: str, blocks_ms: np.ndarray | None = None) -> None:
        if mistake := cost_mistake(space, name, has_table=blocks_ms is not None):
            raise FieldError("relaxation.cost", mistake)
        of_blocks = blocks_ms if name == LATENCY else space.blocks.costs[:, space.blocks.cost_names.index(name)]
        assert of_blocks is not None
        self._tables = [
            (decisions, torch.from_numpy(table.astype(np.float64)))
            for decisions, table in space.blocks.tables(of_blocks)
        ]
        self._fixed = {name: torch.ones(1, dtype=torch.float64) for name in relaxing(space).fixed}

    def __call__(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        """Return the expected cost, a scalar in float64, from probabilities [C] of the choices of each decision."""
        known = {**self._fixed, **{name: row.double() for name, row in probabilities.items()}}
        total = torch.zeros((), dtype=torch.float64)
        for decisions, table in self._tables:
            mean = table
            for decision in reversed(decisions):
                mean = mean @ known[decision]
            total = total + mean
        return total
