"""What a supernet trains on.

A sampler is a value with one method, ``draw(generator) -> list[Architecture]``: the architectures of one step, in the
order they are trained. It draws from the generator only, so that every process of a distributed training, and a
resumed one, draws the same.
"""

from supernets.samplers.fixed import Fixed
from supernets.samplers.sampler import Sampler
from supernets.samplers.sandwich import Sandwich
from supernets.samplers.uniform import Uniform

__all__ = ["Fixed", "Sampler", "Sandwich", "Uniform"]
