"""Language modelling: text from left to right, or with gaps, judged by perplexity."""

from __future__ import annotations

from dataclasses import dataclass, replace

from search_spaces.errors import FieldError
from supernets.tasks.task import Batch
from supernets.tasks.token_task import TokenTask


@dataclass(frozen=True, kw_only=True)
class Language(TokenTask):
    """Batches of text from its beginning on [B, T] and text to its end [B, T]: networks give, at each place, a score
    for each token that may come next.
    """

    predicts = "one unnormalised score for each token that may come next"

    def plain(self) -> Language:
        """Return the same without label smoothing."""
        return replace(self, label_smoothing=0.0)

    def _lines(self, batch: Batch) -> list[str]:
        """Return the text of each row."""
        return [] if self.texts is None else [self.texts(row) for row in batch[-1].tolist()]


@dataclass(frozen=True, kw_only=True)
class MaskedLanguage(TokenTask):
    """Batches of text with gaps [B, T] and what stood there [B, T], padding elsewhere: the perplexity is that of the
    gaps alone.

    Args:
        masked: Part of the tokens that are gaps; the data say it. None where it is not known.
    """

    masked: float | None = None

    predicts = "one unnormalised score for each token that may stand in a gap"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.masked is not None and not 0 < self.masked < 1:
            raise FieldError("masked", f"must be between 0 and 1, got {self.masked:g}")

    def plain(self) -> MaskedLanguage:
        """Return the same without label smoothing."""
        return replace(self, label_smoothing=0.0)
