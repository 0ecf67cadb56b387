"""Samplers of the library by their names, for those who train without a job."""

from collections.abc import Callable, Mapping
from typing import Any

from search_spaces import Space
from search_spaces.errors import FieldError
from supernets.samplers.fair import Fair
from supernets.samplers.path_adaptive import PathAdaptive
from supernets.samplers.sampler import MakeSampler, Sampler, exact_macs
from supernets.samplers.sandwich import Sandwich
from supernets.samplers.shift import Shift
from supernets.samplers.sorted import Sorted
from supernets.samplers.uniform import Uniform


def _fair(*, space: Space, subnets: int | None = None, **options: Any) -> Sampler:
    return Fair(space=space, **options)  # it has its own number of subnets


def _shift(*, space: Space, **options: Any) -> Sampler:
    return Shift(space=space, **{"cost": exact_macs(space), **options})


NAMED: Mapping[str, Callable[..., Sampler]] = {
    "uniform": Uniform,
    "sandwich": Sandwich,
    "fair": _fair,
    "path_adaptive": PathAdaptive,
    "shift": _shift,
    "sorted": Sorted,
}


def named(name: str, options: Mapping[str, Any]) -> MakeSampler:
    """Return what makes a sampler of the library.

    Raises:
        FieldError: There is no such sampler.
    """
    if name not in NAMED:
        raise FieldError("sampler", f"must be one of {', '.join(NAMED)}, or made by you, got {name!r}")

    def make(space: Space, subnets: int | None) -> Sampler:
        given = {} if subnets is None else {"subnets": subnets}
        return NAMED[name](space=space, **given, **options)

    return make
