"""Zero-cost proxies: scores of a model on one batch, without training; they know models and batches only."""

from proxies.passes import Passes, weight_layers
from proxies.scoring import Proxy, Score, ScoreError, maximised, score

__all__ = ["Passes", "Proxy", "Score", "ScoreError", "maximised", "score", "weight_layers"]
