"""Scoring one model by several proxies."""

from collections.abc import Mapping
from math import isfinite

from torch import nn

from proxies.batch import Batch
from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score, ScoreError


def score(
    model: nn.Module,
    batch: Batch,
    proxies: Mapping[str, Proxy],
    *,
    seed: int = 0,
    copy: bool = True,
    gathered: bool | None = None,
) -> dict[str, Score | ScoreError]:
    """Return scores of one model by several proxies, which share forward and backward passes.

    Args:
        model: Freshly initialised, plain torch; it is not changed.
        batch: One training batch.
        proxies: Name -> proxy.
        seed: Seed of every random draw; each proxy has a stream of its own, so that scores do not depend on the
            others beyond rounding: a second derivative that is asked for changes how the shared pass is computed.
        copy: Whether to work on a copy; without, `model` is used up.
        gathered: See `Passes`.

    Returns:
        Name -> score, or the reason why there is none.

    Raises:
        ValueError: The model has no layer that could be scored.
    """
    needs = frozenset[str]().union(*(proxy.needs for proxy in proxies.values()))
    passes = Passes(model, batch, seed=seed, needs=needs, copy=copy, gathered=gathered)
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
