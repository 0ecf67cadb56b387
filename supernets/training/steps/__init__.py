"""Steps of a training: draw, compute gradients, update."""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from supernets.training.steps.bilevel import BilevelStep
    from supernets.training.steps.step import Moment, Step
    from supernets.training.steps.supernet import SupernetStep

__all__ = ["BilevelStep", "Moment", "Step", "SupernetStep"]

__getattr__ = lazy(__name__, __file__)
