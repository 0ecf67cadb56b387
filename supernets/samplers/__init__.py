"""Samplers: the architectures that a supernet trains on.

A sampler has ``draw(generator) -> list[Architecture]``: the architectures of one step, in the order they are trained.
It draws from the generator only, so that every process of a distributed training, and a resumed one, draws the same.
A sampler that learns also looks at the gradients of every step, and changes its probabilities after every epoch.
"""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from supernets.samplers.budget_balanced import BudgetBalanced
    from supernets.samplers.by_name import named
    from supernets.samplers.fair import Fair
    from supernets.samplers.fixed import Fixed
    from supernets.samplers.part_sandwich import PartSandwich
    from supernets.samplers.path_adaptive import PathAdaptive
    from supernets.samplers.prior import Prior
    from supernets.samplers.progressive_guidance import ProgressiveGuidance
    from supernets.samplers.sampler import MakeSampler, Sampler, exact_cost, offered
    from supernets.samplers.sandwich import Sandwich
    from supernets.samplers.shift import Shift
    from supernets.samplers.sorted import Sorted
    from supernets.samplers.uniform import Uniform

__all__ = [
    "BudgetBalanced",
    "Fair",
    "Fixed",
    "MakeSampler",
    "PartSandwich",
    "PathAdaptive",
    "Prior",
    "ProgressiveGuidance",
    "Sampler",
    "Sandwich",
    "Shift",
    "Sorted",
    "Uniform",
    "exact_cost",
    "named",
    "offered",
]

__getattr__ = lazy(__name__, __file__)
