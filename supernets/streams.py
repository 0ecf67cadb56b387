"""Named streams of random numbers: every draw follows from a seed, a purpose and an index.

A stream gives the same numbers whenever it is asked for again, so a training that was stopped goes on as if it had not
been, and no two purposes share their numbers by accident. Each purpose has its words around the seed.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Stream:
    """The random numbers of one purpose.

    Args:
        before: Words in front of the seed.
        after: Words behind the index.
    """

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    def words(self, seed: int, *index: int) -> tuple[int, ...]:
        """Return the non-negative numbers that everything drawn follows from."""
        return (*self.before, seed, *index, *self.after)

    def generator(self, seed: int, *index: int) -> np.random.Generator:
        """Return the generator of an index, such as the number of a step."""
        return np.random.default_rng(self.words(seed, *index))

    def torch_generator(self, seed: int, *index: int) -> "torch.Generator":
        """Return the generator of an index for torch, on the CPU."""
        import torch

        state = np.random.SeedSequence(self.words(seed, *index)).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(state) >> 1)

    def seed(self, seed: int, *index: int) -> int:
        """Return the seed of something that has streams of its own."""
        return int(np.random.SeedSequence(self.words(seed, *index)).generate_state(1)[0])


STEP = Stream()
"""What one step of a training draws; by the number of the step."""
EXAMPLE_ORDER = Stream(after=(1,))
"""The order of examples drawn by importance; by epoch."""
STAGE = Stream()
"""The seed of a stage of a training with splits; by the number of the stage, which is at least 1."""
SCORING = Stream()
"""The seed of the comparison of choices in a part; by `FIRST_SCORING` + the number of the part."""
FIRST_SCORING = 1 << 20

DATA_ORDER = Stream(before=(0,))
"""The order of a split in an epoch; by epoch."""
AUGMENTATION = Stream(before=(1,))
"""How examples are changed; by epoch and batch, or by epoch and position."""
DATA_SPLIT = Stream(before=(2,))
"""Which examples are held out, and how each split is mixed; by split."""
SUBSET = Stream(before=(3,))
"""A random part of a split."""

UNIT_ORDER = Stream(before=(4,))
"""Which examples and subnets show how important units are, and random orders of units."""
HALVES = Stream(before=(5,))
"""Which examples weights learn from and which logits; by 0, or by 1 and the epoch for their order."""
LOGITS = Stream(before=(6,))
"""The first logits of a training that learns them."""

# ---- searches -------------------------------------------------------------------------------------------------------

SEARCHER = Stream()
"""What a searcher draws itself."""
PART = Stream()
"""The seed of the searcher of one part of a split supernet; by the number of the part."""
GENERATIONS_REPAIR = Stream(after=(1,))
"""How genetic algorithms of pymoo move offspring that are no member."""
GENERATIONS_NEW = Stream(after=(2,))
"""What replaces their offspring that are known."""
OFA_EVOLUTION_NEW = Stream(after=(1,))
"""What replaces children of the evolution of Once-for-All that are known."""
OPTUNA_NEW = Stream(after=(0,))
"""What replaces proposals of Optuna that are known."""
LINAS_NEW = Stream(after=(0,))
"""What replaces proposals of LINAS that are known."""
LINAS_ROUND = Stream()
"""The seed of an inner search; by its number, from 1 on."""
LINAS_FIRST = Stream(after=(1,))
"""Its first population; by the same number."""
SURROGATE_FEATURES = Stream(after=(0,))
"""Random architectures by which a surrogate scales features."""
SURROGATE_ASK = Stream()
"""What a surrogate draws for an ask; by `ASK`, the number of tells and that of asks since."""
ASK = 1
SURROGATE_EARLIER = Stream(after=(2,))
"""The same as `SURROGATE_FEATURES`, for what an earlier search says."""
