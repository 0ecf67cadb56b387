"""What a supernet trains on.

A sampler is a value with one method, ``draw(generator) -> list[Architecture]``: the architectures of one step, in the
order they are trained. It draws from the generator only, so that every process of a distributed training, and a
resumed one, draws the same. A learned sampler is shown the gradients of every step as well, and moves its
probabilities after every epoch.
"""

from supernets.samplers.fair import Fair
from supernets.samplers.fixed import Fixed
from supernets.samplers.path_adaptive import PathAdaptive
from supernets.samplers.sampler import LearnedSampler, Sampler, offered
from supernets.samplers.sandwich import Sandwich
from supernets.samplers.shift import Shift
from supernets.samplers.sorted import Sorted
from supernets.samplers.uniform import Uniform

__all__ = [
    "Fair",
    "Fixed",
    "LearnedSampler",
    "PathAdaptive",
    "Sampler",
    "Sandwich",
    "Shift",
    "Sorted",
    "Uniform",
    "offered",
]
