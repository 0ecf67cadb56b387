"""The settings of a beam search, known before there are networks."""

from dataclasses import dataclass

from search_spaces.errors import FieldError


@dataclass(frozen=True, kw_only=True)
class Beam:
    """Settings of a beam search.

    Args:
        size: Targets that are kept at each step; 1 for the most likely token at each step.
        length_penalty: Power of the length that the logarithm of the probability of a target is divided by.
        longest: Most tokens of a target, its end included.
    """

    size: int = 4
    length_penalty: float = 1.0
    longest: int = 256

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 100:
            raise FieldError("beam", f"must be from 1 to 100, got {self.size}")
        if not 0 <= self.length_penalty <= 10:
            raise FieldError("length_penalty", f"must be from 0 to 10, got {self.length_penalty:g}")
        if self.longest < 2:
            raise FieldError("longest", f"must be at least 2 tokens, got {self.longest}")
