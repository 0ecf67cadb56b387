"""Spaces of networks that write their outputs token by token, and how long the writing takes.

Generation of a target runs the encoder once and the decoder once for each token, so one pass over a whole target says
little about its time. A `DecodingSpace` gives, for a number of tokens, the space of the same architectures whose
networks write so many: example inputs, networks and blocks of latency tables are then those of the writing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from search_spaces.errors import FieldError
from search_spaces.space import Space


@dataclass(frozen=True, kw_only=True)
class DecodingSpace(Space):
    """A space of networks that write token by token.

    Args:
        decoding: Number of tokens -> the space of the same architectures, whose networks write so many for a source,
            always the most likely one. Raises `FieldError` for a number that they cannot write.
    """

    decoding: Callable[[int], Space]


def as_timed(space: Space, decode: int | None) -> Space:
    """Return the space whose networks do what is timed: one pass, or the writing of so many tokens.

    Args:
        space: Space that is searched.
        decode: Number of tokens; None for one pass.

    Raises:
        FieldError: Networks of the space do not write, or not so many tokens.
    """
    if decode is None:
        return space
    if not isinstance(space, DecodingSpace):
        text = f"must be null: networks of space {space.name} do not write token by token, got {decode}"
        raise FieldError("decode", text)
    timed = space.decoding(decode)
    if [one.name for one in timed.decisions] != [one.name for one in space.decisions]:
        text = f"must be null: space {space.name} was given decisions that writing networks lack, got {decode}"
        raise FieldError("decode", text)
    return replace(timed, decisions=space.decisions)  # a part of the space keeps its choices
