"""`nas benchmark proxies`: how well proxies rank the architectures of a table, and what they cost."""

import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from nas.benchmarks.provenance import Provenance
from nas.benchmarks.published_tables import Table
from nas.rank_agreement import Agreement, rank_agreement
from nas.scoring import counted_proxies, counted_scores, scored_batch
from proxies import score
from search_spaces import Architecture, Space
from service.errors import InvalidJob
from service.job import proxies as job_proxies
from service.job.building import build_space
from service.job.job import Job
from service.run import scoring
from service.run.score import Outcome
from supernets.estimate import Estimate

BASELINES = ("params", "macs")
_TIMED = 3


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The rows of a table that proxies are judged by.

    Attributes:
        rows: Their architectures and columns.
        percent: Their accuracies [N].
        provenance: How these were obtained.
    """

    rows: scoring.Rows
    percent: np.ndarray
    provenance: Provenance


@dataclass(frozen=True, kw_only=True)
class TableRequest:
    """The rows and the column of a table to use.

    Attributes:
        path: csv or csv.gz.
        column: Column of the accuracies.
        provenance: How they were obtained, as text; needed for columns that no published table has.
        sample: Random rows; None for all.
    """

    path: Path
    column: str
    provenance: str | None = None
    sample: int | None = None


def read_truth(request: TableRequest, space: Space, seed: int) -> Truth:
    """Return the rows that a request asks for.

    Raises:
        InvalidJob: The table or the column cannot be used.
    """
    try:
        table = Table.read(request.path, space)
        given = _provenance(request.provenance) if request.provenance else None
        accuracies = table.accuracies(request.column, given)
    except (OSError, ValueError) as error:
        raise InvalidJob([f"--table: {error}"]) from error
    distinct = np.array(list(table.row_of.values()))
    if request.sample is not None and request.sample < len(distinct):
        distinct = np.random.default_rng(seed).choice(distinct, request.sample, replace=False)
    rows = scoring.Rows(
        architectures=[table.architectures[row] for row in distinct],
        carried={name: [cells[row] for row in distinct] for name, cells in table.cells.items()},
    )
    percent = np.array([accuracies.percent[architecture] for architecture in rows.architectures])
    return Truth(rows=rows, percent=percent, provenance=accuracies.provenance)


def agreements(outcome: Outcome, truth: Truth) -> dict[str, Agreement]:
    """Return how each score ranks the rows; scores of which lower is better count negative."""
    config, costs = outcome.job.proxies, build_space(outcome.job).cost_names
    proxies = job_proxies.make_all(config.names, config.options, costs)
    columns = {
        name: values if name not in proxies or proxies[name].maximise else -values
        for name, values in outcome.columns.items()
    }
    return rank_agreement(columns, truth.percent, baselines=BASELINES, seed=outcome.job.seed)


def seconds_alone(job: Job, rows: scoring.Rows) -> dict[str, float]:
    """Return the seconds of each proxy by itself, without the passes of others: the median over a few architectures.

    Costs that the space counts are timed as the space counts them.
    """
    few = rows.architectures[:_TIMED]
    space = build_space(job)
    proxies = job_proxies.make_all(job.proxies.names, job.proxies.options, space.cost_names)
    counted = counted_proxies(proxies, space)
    seconds: dict[str, list[float]] = {name: [] for name in proxies}
    for architecture, (name, cost) in product(few, counted.items()):
        start = time.perf_counter()
        counted_scores({name: cost}, space, [architecture])
        seconds[name].append(time.perf_counter() - start)
    if len(counted) < len(proxies):
        for name, times in _seconds_of_networks(job, few, [name for name in proxies if name not in counted]).items():
            seconds[name] = times
    return {name: float(np.median(times)) for name, times in seconds.items()}


def _seconds_of_networks(
    job: Job, architectures: Sequence[Architecture], names: Sequence[str]
) -> dict[str, list[float]]:
    """Return the seconds of each of these proxies on each of the architectures."""
    ready, _ = scoring.scorer_of(job)
    scorer = ready()
    batch = scored_batch(scorer.task, scorer.batch)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for architecture in architectures:
        network = scorer.space.subnet(architecture).to(scorer.batch[0].device)
        for name in names:
            start = time.perf_counter()
            score(network, batch, {name: scorer.proxies[name]}, seed=scorer.seed)
            seconds[name].append(time.perf_counter() - start)
    return seconds


def write_agreements(path: Path, found: Mapping[str, Agreement], seconds: Mapping[str, float]) -> Path:
    """Write the table of agreements as csv, beside the table of scores."""
    path = path.with_name(f"{path.stem}.agreement.csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        measures = ("spearman", "kendall", "top_precision")
        ends = [f"{measure}{end}" for measure in measures for end in ("", "_low", "_high")]
        writer.writerow(["proxy", "architectures", "without_score", *ends, "seconds_alone"])
        for name, agreement in found.items():
            estimates: list[Estimate] = [getattr(agreement, measure) for measure in measures]
            numbers = [number for e in estimates for number in (e.value, e.low, e.high)]
            writer.writerow([name, agreement.architectures, agreement.not_finite, *numbers, seconds.get(name, "")])
    return path


def _provenance(text: str) -> Provenance:
    """Read `dataset=cifar10,epochs=200,split=test,seeds=3`, with `unit=fraction` where that is how it is written.

    Raises:
        ValueError: It is not of that form.
    """
    parts = dict(part.partition("=")[::2] for part in text.split(","))
    missing = [name for name in ("dataset", "epochs", "split", "seeds") if name not in parts]
    unknown = [name for name in parts if name not in ("dataset", "epochs", "split", "seeds", "unit", "selection")]
    if missing or unknown:
        example = "dataset=cifar10,epochs=200,split=test,seeds=3[,unit=fraction][,selection=last epoch]"
        raise ValueError(f"--provenance must be written {example}, got {text!r}")
    if not parts["epochs"].isdigit() or not parts["seeds"].isdigit():
        raise ValueError(f"--provenance: epochs and seeds must be whole numbers, got {text!r}")
    seeds, epochs = int(parts.pop("seeds")), int(parts.pop("epochs"))
    return Provenance(**{**parts, "epochs": epochs, "seeds": (seeds, seeds)})  # type: ignore[arg-type]
