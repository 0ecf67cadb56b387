"""Zero-cost proxies: scores of a model on one batch, without training; they know a model, inputs and a loss only."""

from proxies.batch import Batch, Losses
from proxies.passes import Passes, weight_layers
from proxies.proxy import Proxy
from proxies.scores import Score, ScoreError
from proxies.scoring import score

__all__ = ["Batch", "Losses", "Passes", "Proxy", "Score", "ScoreError", "score", "weight_layers"]
