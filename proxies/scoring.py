"""What a proxy is, and scoring one model by several of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from proxies.passes import Passes


class ScoreError(ValueError):
    """A proxy has no score for this model on this batch; the message says why, and names the layer if there is one."""


@dataclass(frozen=True)
class Score:
    """What a proxy says of a model.

    Attributes:
        value: The score.
        layers: Share of each weight layer, by module name and in network order, where the formula has such shares.
    """

    value: float
    layers: Mapping[str, float] = field(default_factory=dict)


Proxy = Callable[["Passes"], Score]
"""A frozen dataclass whose fields are the options. Higher is better unless its class attribute `maximise` is False;
its class attribute `needs` tells `Passes` beforehand what should come out of the shared passes."""


def maximised(proxy: Proxy) -> bool:
    """Whether a higher score is better."""
    return bool(getattr(proxy, "maximise", True))


def score(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    proxies: Mapping[str, Proxy],
    *,
    seed: int = 0,
    copy: bool = True,
) -> dict[str, Score | ScoreError]:
    """Scores of one model by several proxies, which share forward and backward passes.

    Args:
        model: Freshly initialised, plain torch; it is not changed.
        images: One training batch [B, C, H, W].
        labels: Its classes [B].
        proxies: Name -> proxy.
        seed: Of every random draw; each proxy has a stream of its own, so that scores do not depend on the
            others beyond rounding: a second derivative that is asked for changes how the shared pass is computed.
        copy: Whether to work on a copy; without, `model` is used up.

    Returns:
        Name -> score, or the reason why there is none.

    Raises:
        ValueError: The batch holds values that are not finite, or is not one batch.
    """
    from proxies.passes import Passes

    needs = frozenset[str]().union(*(getattr(proxy, "needs", frozenset()) for proxy in proxies.values()))
    passes = Passes(model, images, labels, seed=seed, needs=needs, copy=copy)
    scores: dict[str, Score | ScoreError] = {}
    for name, proxy in proxies.items():
        try:
            result = proxy(passes)
            if not isfinite(result.value):
                raise ScoreError(f"the score is {result.value}")
            scores[name] = result
        except ScoreError as error:
            scores[name] = error
        except Exception as error:  # whatever a proxy of the user raises, or a model in its backward pass
            scores[name] = ScoreError(f"{type(error).__name__}: {error}")
    return scores
