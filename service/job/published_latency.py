"""Published latencies that a job names, read and checked against the job."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from search_spaces import Space
from search_spaces.errors import FieldError
from service.errors import InvalidJob
from service.job.job import Job
from service.job.latency import PublishedConfig

if TYPE_CHECKING:
    from nas.objectives.hat_latency import HatLatency

PUBLISHED = "published_ms"


def published_latency(config: PublishedConfig | None, space: Space) -> "HatLatency":
    """Return the objective that a table of published latencies gives.

    Raises:
        InvalidJob: There is no table, it has no such networks, or the space has not the features that it tells.
    """
    from nas.benchmarks.hat_latencies import read_hat_latencies
    from nas.objectives.hat_latency import HatLatency

    if config is None:
        raise InvalidJob([f"latency.published: must be given for {PUBLISHED}, such as {{table: hat.csv}}"])
    try:
        measured = read_hat_latencies(Path(config.table).expanduser())
        for name in ("task", "device"):
            wanted, known = getattr(config, name), sorted({getattr(one, name) for one in measured})
            if wanted not in known and (wanted is not None or len(known) > 1):
                raise FieldError(name, f"must be one of {', '.join(known)}, got {wanted}")
            measured = [one for one in measured if wanted in (None, getattr(one, name))]
        return HatLatency(space, measured[0], part=config.part, name=PUBLISHED)
    except FieldError as error:
        raise InvalidJob([f"latency.published.{error.field}: {error.text}"]) from error
    except OSError as error:
        reason = error.strerror or error
        raise InvalidJob([f"latency.published.table: {config.table}: cannot be read: {reason}"]) from error
    except ValueError as error:
        raise InvalidJob([f"latency.published.table: {error}"]) from error


def mistakes(job: Job, space: Space) -> Iterator[str]:
    """Yield why published latencies cannot say what a job asks for; one line at most."""
    if PUBLISHED in (*job.search.objectives, *job.search.constraints):
        try:
            published_latency(job.latency.published, space)
        except InvalidJob as error:
            yield from error.mistakes
