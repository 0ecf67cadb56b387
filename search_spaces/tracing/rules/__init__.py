"""How operations tie the indices of their tensors, one file for each family; `RULES` lists them by name in ATen."""

from collections.abc import Mapping

from search_spaces.tracing.rules import (
    convolution,
    elementwise,
    indexing,
    joining,
    norms,
    products,
    reductions,
    reshaping,
    shapes,
    spatial,
)
from search_spaces.tracing.walk import Rule

RULES: Mapping[str, Rule] = {
    **elementwise.RULES,
    **convolution.RULES,
    **norms.RULES,
    **products.RULES,
    **reductions.RULES,
    **spatial.RULES,
    **shapes.RULES,
    **reshaping.RULES,
    **joining.RULES,
    **indexing.RULES,
}
"""Name of an ATen operation -> its rule."""

__all__ = ["RULES"]
