"""The space of AutoFormer's tiny vision transformers, as a problem for searchers on which nothing was tuned.

    nas benchmark search --oracle autoprox_autoformer_200.csv --space benchmarks.autoformer:autoformer
      --objectives c100_base_acc:max,params:min --predictor boosted_trees

Paper: Chen et al., AutoFormer: Searching Transformers for Visual Recognition, arXiv 2107.00651, table 1 (tiny), without
the ratio of queries; accuracies of 200 of them on CIFAR-100, Flowers and Chaoyang were published with AutoProx.
Differs: no networks are built. Parameters are those of the classifier of ImageNet, with heads of 64 units.
"""

from collections.abc import Mapping

import numpy as np

from search_spaces import Decision, Space
from search_spaces.architecture import Choice

DEPTHS = (12, 13, 14)
HIDDEN = (192, 216, 240)
RATIOS = (3.5, 4.0)
HEADS = (3, 4)
_HEAD, _PATCH, _TOKENS, _CLASSES = 64, 16 * 16 * 3, 197, 1000


def autoformer() -> Space:
    """Return the space, cheapest choices first."""
    layers = range(1, DEPTHS[-1] + 1)
    active = {layer: tuple(depth for depth in DEPTHS if depth >= layer) for layer in layers}
    optional = {layer: {"parent": "depth", "active_when": active[layer]} for layer in layers if layer > DEPTHS[0]}
    decisions = [Decision("depth", DEPTHS), Decision("hidden", HIDDEN)]
    for layer in layers:
        decisions += [Decision(f"layer{layer}.heads", HEADS, **optional.get(layer, {}))]
        decisions += [Decision(f"layer{layer}.ratio", RATIOS, **optional.get(layer, {}))]
    columns = ("hidden_dim", "depth", "mlp_ratio", "num_heads")
    return Space(name="autoformer_tiny", decisions=tuple(decisions), formats={columns: _parse}, cost=_cost)


def _parse(hidden: str, depth: str, ratios: str, heads: str) -> dict[str, Choice]:
    values: dict[str, Choice] = {"depth": int(depth), "hidden": int(hidden)}
    for layer, (ratio, count) in enumerate(zip(ratios.split(), heads.split(), strict=True), start=1):
        values |= {f"layer{layer}.ratio": float(ratio), f"layer{layer}.heads": int(count)}
    return values


def _cost(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the parameters [N]; layers beyond the depth have none."""
    hidden = columns["hidden"]
    total = (_PATCH + 1) * hidden + (_TOKENS + 1) * hidden + 2 * hidden + (hidden + 1) * _CLASSES
    for layer in range(1, DEPTHS[-1] + 1):
        inner, between = columns[f"layer{layer}.heads"] * _HEAD, columns[f"layer{layer}.ratio"] * hidden
        attention = 3 * inner * (hidden + 1) + hidden * (inner + 1)
        feedforward = between * (hidden + 1) + hidden * (between + 1)
        total = total + np.where(columns["depth"] >= layer, attention + feedforward + 4 * hidden, 0)
    return {"params": total}
