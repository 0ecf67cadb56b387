"""Scores of proxies: a number, or the reason why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field


class ScoreError(ValueError):
    """A proxy has no score for this model on this batch; the message says why, and names the layer if there is one."""


@dataclass(frozen=True)
class Score:
    """The score of a model by a proxy.

    Attributes:
        value: The score.
        layers: Share of each weight layer, by module name and in network order, where the formula has such shares.
    """

    value: float
    layers: Mapping[str, float] = field(default_factory=dict)
