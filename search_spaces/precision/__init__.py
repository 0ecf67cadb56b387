"""Bits as decisions: a space becomes one whose architectures also say how weights and inputs of layers are rounded."""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from search_spaces.precision.precision_config import PrecisionConfig
    from search_spaces.precision.transform import with_precision

__all__ = ["PrecisionConfig", "with_precision"]

__getattr__ = lazy(__name__, __file__)
