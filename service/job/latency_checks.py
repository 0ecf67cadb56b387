"""Mistakes in the prediction of latency in a job."""

from collections.abc import Callable, Iterator
from math import prod

from nas.offload.link import SENT
from search_spaces import Space
from search_spaces.decoding_space import as_timed
from search_spaces.errors import FieldError
from service import catalogue
from service.catalogue import OBJECTIVES
from service.job import published_latency
from service.job.job import Job
from supernets.training.relaxation_config import LATENCY

_MEASURED = ("latency_ms", "roofline_ms")
_MOST_VALUES = 2**30  # bytes of one batch of inputs: 4 GiB


def mistakes(job: Job, space: Space | None, warn: Callable[[str], None] = lambda line: None) -> Iterator[str]:
    """Yield what is wrong with the prediction of latency, one line each, and warn of what is only simulated."""
    named = [*job.search.objectives, *job.search.constraints]
    analytic = job.latency.analytic
    on_paper = [name for name in named if name in OBJECTIVES and OBJECTIVES[name].needs_device_on_paper]
    if on_paper and analytic is None:
        yield f"latency.analytic: must be given for {on_paper[0]}, such as {{device: a100}}; see: nas list device"
    linked = [name for name in named if name in OBJECTIVES and OBJECTIVES[name].needs_link]
    if linked and job.latency.link is None:
        yield f"latency.link: must be given for {linked[0]}, such as {{rate_mbit_s: 10, round_trip_ms: 20}}"
    if linked and space is not None and SENT not in space.cost_names:
        yield f"search: {linked[0]} needs networks in two halves, as the space split has; {space.name} has none"
    if analytic is not None and analytic.device is not None:
        try:
            catalogue.check("device", analytic.device)
        except ValueError as error:
            yield f"latency.analytic.device: {error}"
    if space is None:
        return
    if space.simulated is not None and (measured := [name for name in named if name in _MEASURED]):
        warn(f"search: {measured[0]}: {space.simulated.what}; costs that follow bits are bytes and bit_operations")
    try:
        timed = as_timed(space, job.latency.decode)
    except FieldError as error:
        yield f"latency.{error.field}: {error.text}"
        return
    relaxation = job.train.relaxation
    if job.latency.decode is not None and relaxation is not None and relaxation.cost == LATENCY:
        yield f"latency.decode: must be null with train.relaxation.cost {LATENCY}, got {job.latency.decode}"
    values = sum(prod(one.shape) for one in timed.inputs) * job.latency.batch_size
    if values > _MOST_VALUES:
        most = max(1, _MOST_VALUES * job.latency.batch_size // values)
        yield f"latency.batch_size: must be at most {most:,} for inputs of this size, got {job.latency.batch_size:,}"
    yield from published_latency.mistakes(job, space)
    if on_paper and space.places is None:
        yield f"search: {on_paper[0]} needs the blocks of networks, which space {space.name} does not tell"
    if job.latency.table is not None:
        from service.job import latency_table

        yield from latency_table.mistakes(job, space)
