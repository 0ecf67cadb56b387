"""The decisions of a stack of transformer layers: one width and depth, and sizes of every layer."""

from collections.abc import Sequence

from search_spaces.architecture import Decision


def transformer_decisions(
    embeds: Sequence[int], ratios: Sequence[float], heads: Sequence[int], depths: Sequence[int]
) -> tuple[Decision, ...]:
    """Return width and depth, then ratio and heads of every layer; those of layers that do not run are inactive.

    Args:
        embeds: Choices of the features of the sequence.
        ratios: Choices of the feed-forward ratio of each layer.
        heads: Choices of the number of heads of each layer.
        depths: Choices of the number of layers.
    """
    decisions = [Decision("embed", tuple(embeds)), Decision("depth", tuple(depths))]
    for layer in range(1, max(depths) + 1):
        deep = tuple(depth for depth in depths if depth >= layer)
        parent, when = ("depth", deep) if len(deep) < len(depths) else (None, ())
        decisions.append(Decision(f"layer{layer}.ratio", tuple(ratios), parent, when))
        decisions.append(Decision(f"layer{layer}.heads", tuple(heads), parent, when))
    return tuple(decisions)
