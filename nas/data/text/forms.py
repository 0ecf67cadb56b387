"""What rows of tokens become in a batch: pairs to translate, text to go on with, or text with gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nas.data.text.rows import Rows, shifted
from search_spaces.errors import FieldError
from supernets.tasks.token_ids import END, MASK, PADDING, SPECIAL

_MASKED, _REPLACED = 0.8, 0.1

Columns = tuple[Rows, ...]
Arrays = tuple[np.ndarray, ...]


class Form(Protocol):
    """A form of batches.

    Attributes:
        task: Name of the task that it is made for.
    """

    task: str

    def shown(self, columns: Columns, generator: np.random.Generator) -> Columns:
        """Return the rows of a split as an epoch shows them; by default as they are."""
        return columns

    def batch(self, padded: Arrays) -> Arrays:
        """Return a batch, int64 [B, L] each: the inputs of a network, then the targets of its outputs."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """Return what the task has to know; by default nothing."""
        return {}


@dataclass(frozen=True)
class Translated(Form):
    """Pairs: the source, the target from its beginning on, and the target to its end."""

    task = "translation"

    def batch(self, padded: Arrays) -> Arrays:
        source, target = padded
        return source, shifted(target), target


@dataclass(frozen=True)
class Continued(Form):
    """Text from its beginning on, and text to its end."""

    task = "language"

    def batch(self, padded: Arrays) -> Arrays:
        (text,) = padded
        return shifted(text), text


@dataclass(frozen=True)
class Masked(Form):
    """Text with gaps, and what stood there; the targets of all other tokens are padding.

    Paper: BERT, arXiv 1810.04805, section 3.1.
    Differs: each epoch has gaps of its own, and every row has at least one. The end of a row is no gap.

    Args:
        share: Part of the tokens to be guessed. Of these 80 % are shown as the mask, 10 % as random tokens, and the
            others as they are.
        vocabulary: Number of tokens.
    """

    share: float
    vocabulary: int

    task = "masked_language"

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise FieldError("options.masked", f"must be between 0 and 1, or 0 for no gaps, got {self.share:g}")

    def shown(self, columns: Columns, generator: np.random.Generator) -> Columns:
        (rows,) = columns
        luck, kind = generator.random(len(rows.ids)), generator.random(len(rows.ids))
        others = generator.integers(len(SPECIAL), self.vocabulary, len(rows.ids))
        luck[rows.ids == END] = 2.0
        least = np.minimum.reduceat(luck, rows.starts[:-1]) if len(rows) else luck
        chosen = (luck < self.share) | (luck == np.repeat(least, rows.lengths))
        chosen &= rows.ids != END
        seen = np.where(kind < _MASKED, MASK, np.where(kind < _MASKED + _REPLACED, others, rows.ids))
        return (
            rows.written(np.where(chosen, seen, rows.ids)),
            rows.written(np.where(chosen, rows.ids, PADDING)),
        )

    def batch(self, padded: Arrays) -> Arrays:
        return padded

    def facts(self) -> Mapping[str, Any]:
        return {"masked": self.share}
