"""`nas benchmark search`: searchers on problems with known answers, with many seeds; every run is kept."""

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nas.benchmarks.problems import BenchmarkProblem
from nas.benchmarks.searchers import Comparison, Run, compare, earlier_search, offered, run_search
from nas.objectives import describe
from nas.searchers import Searcher
from nas.searchers.seeded import Seeded
from service import catalogue
from service.benchmarks.tasks import completed, remembered
from service.errors import InvalidJob
from service.job.environment import version
from service.job.observer import Observer

JOURNAL = "runs.jsonl"
WARM = "+warm"
"""Behind the name of a searcher: it knows an earlier search of another problem."""
LABEL = "/"
"""Behind the name of a searcher: a label of a variant with options of its own, so that one may take part twice."""
_ROUNDS = 5  # generations of the default population within the evaluations
_MOST_MEMBERS = 50
_ORACLE_SAMPLE = 32  # architectures whose predictions distinguish one oracle from another
_GIVEN = ("space", "objectives", "seed", "violation")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan of the searches.

    Attributes:
        problems: Problems that it runs on.
        searchers: Names.
        seeds: Runs of each searcher, with seeds from 0 on.
        evaluations: Evaluations of each run; None for the default of each problem.
        population: Population of each searcher; None for a fifth of the evaluations, at most 50.
        options: Searcher -> further keyword arguments.
        warm_from: Problem of the same space that searchers with the suffix `+warm` search first, with the same seed and
            number of evaluations.
    """

    problems: Sequence[BenchmarkProblem]
    searchers: Sequence[str]
    seeds: int = 50
    evaluations: int | None = None
    population: int | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    warm_from: BenchmarkProblem | None = None

    def settings(self, problem: BenchmarkProblem, searcher: str) -> dict[str, Any]:
        """Return what a searcher is made with for a problem, besides its seed."""
        evaluations = self.evaluations or problem.default_evaluations
        if problem.front is not None:
            evaluations = min(evaluations, problem.rows)
        population = self.population or min(_MOST_MEMBERS, max(2, evaluations // _ROUNDS))
        options = dict(self.options.get(searcher.removesuffix(WARM), {}))
        population = options.pop("population", population)
        return {"evaluations": evaluations, "population": population, "options": options}


class Task(NamedTuple):
    """One run: places in the plan and the key under which it is remembered."""

    problem: int
    searcher: str
    seed: int
    key: str


@dataclass(frozen=True)
class Runner:
    """The runner of the runs of a plan, in this process or in another."""

    plan: Plan

    def __call__(self, task: Task) -> Run:
        problem, name = self.plan.problems[task.problem], named(task.searcher)
        settings = {"seed": task.seed, **self.plan.settings(problem, task.searcher)}
        if task.searcher.endswith(WARM) and self.plan.warm_from is not None:
            searcher = _warm_searcher(name, problem, self.plan.warm_from, settings)
        else:
            searcher = make_searcher(name, problem, **settings)
        return run_search(problem, searcher, settings["evaluations"])


def named(searcher: str) -> str:
    """Return the name of a searcher without the label of a variant, and without `+warm`."""
    return searcher.removesuffix(WARM).partition(LABEL)[0]


def make_searcher(
    name: str,
    problem: BenchmarkProblem,
    *,
    options: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
    **numbers: int,
) -> Searcher:
    """Return a searcher for a problem.

    Args:
        name: Catalogue name, or `package.module:object`.
        problem: Problem that is searched.
        options: Arguments from the command line.
        more: Further offered arguments.
        **numbers: Seed, evaluations and population.

    Raises:
        ValueError: The searcher refuses its options.
    """
    given = {**offered(problem, **numbers), **(more or {})}
    return catalogue.make("searcher", name, offered=given, options=options)


def _warm_searcher(
    name: str, problem: BenchmarkProblem, other: BenchmarkProblem, settings: Mapping[str, Any]
) -> Searcher:
    """Return a searcher that knows a search of the other problem: its model learns from it, or it starts at its
    front.
    """
    earlier = earlier_search(other, make_searcher(name, other, **settings), settings["evaluations"])
    if "warm_start" in catalogue.parameters("searcher", name):
        return make_searcher(name, problem, **settings, more={"warm_start": earlier.rows(problem.directions)})
    return Seeded(make_searcher(name, problem, **settings), earlier.front())


def check_names(searchers: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that there are such searchers with such options, before any table is read.

    Raises:
        InvalidJob: There are mistakes; it lists all of them.
    """
    mistakes = [] if searchers else ["--searcher: must name at least one; see: nas list searcher"]
    for name in dict.fromkeys([*searchers, *options]):
        try:
            allowed = catalogue.parameters("searcher", named(name), hidden=_GIVEN)
        except ValueError as error:
            mistakes.append(f"{'--searcher' if name in searchers else '--set'}: {error}")
            continue
        mistakes += [
            f"--set: {name} has no option {option!r}{catalogue.suggestion(option, allowed)}"
            for option in options.get(name, {})
            if option not in allowed
        ]
    if mistakes:
        raise InvalidJob(mistakes)


def check(plan: Plan) -> None:
    """Make every searcher once, so that invalid options are found before any run.

    Raises:
        InvalidJob: There are mistakes; it lists all of them.
    """
    mistakes = []
    others = [] if plan.warm_from is None else [plan.warm_from]
    mistakes += [
        f"--warm-start: {other.name} is of {other.space.name}, {problem.name} of {problem.space.name}"
        for other in others
        for problem in plan.problems
        if problem.space.name != other.space.name
    ]
    for name in [name for name in plan.searchers if not name.endswith(WARM)]:
        try:
            for problem in plan.problems:
                make_searcher(named(name), problem, seed=0, **plan.settings(problem, name))
        except (ValueError, TypeError) as error:
            mistakes.append(f"--searcher: {name}: {error}")
    if mistakes:
        raise InvalidJob(mistakes)


def perform(plan: Plan, folder: Path, observer: Observer, *, workers: int = 0) -> list[Comparison]:
    """Do the runs that are not in the journal yet, and return the comparison of all runs, problem by problem.

    Args:
        plan: The plan.
        folder: Folder where the journal is.
        observer: Receives the progress.
        workers: Processes; 0 for one per core.

    Raises:
        InvalidJob: The journal is damaged, or a process was killed.
    """
    tasks, journal = list(_tasks(plan)), folder / JOURNAL
    known = completed(
        partial(Runner, plan),
        tasks,
        remembered(journal, _run),
        journal,
        record=partial(_record, plan),
        observer=observer,
        event="search",
        workers=workers,
    )
    return [_comparison(plan, place, tasks, known) for place in range(len(plan.problems))]


def _comparison(plan: Plan, place: int, tasks: Sequence[Task], known: Mapping[str, Run]) -> Comparison:
    problem = plan.problems[place]
    runs: dict[str, list[Run]] = {name: [] for name in plan.searchers}
    for task in tasks:
        if task.problem == place:
            runs[task.searcher].append(known[task.key])
    return compare(problem, runs, max(plan.settings(problem, name)["evaluations"] for name in plan.searchers))


def _tasks(plan: Plan) -> Iterator[Task]:
    """Yield the tasks seed by seed, so that an interrupted benchmark has equally many runs of each searcher."""
    digests = [_digest(problem) for problem in plan.problems]
    codes = {searcher: _code(searcher) for searcher in plan.searchers}
    warm = None if plan.warm_from is None else _digest(plan.warm_from)
    for seed in range(plan.seeds):
        for place, problem in enumerate(plan.problems):
            for searcher in plan.searchers:
                settings = plan.settings(problem, searcher)
                parts = [digests[place], searcher, codes[searcher], seed, settings]
                if searcher.endswith(WARM) and warm is not None:
                    parts.append(warm)
                text = json.dumps(parts, sort_keys=True, default=str)
                yield Task(place, searcher, seed, hashlib.sha256(text.encode()).hexdigest()[:16])


def _digest(problem: BenchmarkProblem) -> str:
    """Return what tells problems apart: space, objectives, limits, and all values that can be looked up or predicted.
    The reference of hypervolumes does not count.
    """
    described = [describe(o, problem.problem.bounds.get(o.name)) for o in problem.problem.objectives]
    digest = hashlib.sha256(json.dumps([problem.space.name, described, problem.problem.optimised]).encode())
    for part in problem.looked_up:
        digest.update(np.ascontiguousarray(part).tobytes())
    if problem.front is None:
        some = problem.space.sample_encodings(_ORACLE_SAMPLE, np.random.default_rng(0))
        for objective in problem.problem.measured:
            values = [objective.evaluate(problem.space.decode(encoding)).value for encoding in some]
            digest.update(np.array(values).tobytes())
    return digest.hexdigest()


def _code(searcher: str) -> list[str]:
    """Return what tells versions of a searcher apart: the release, and the file that it is written in."""
    source = inspect.getsourcefile(catalogue.resolve("searcher", named(searcher)))
    text = Path(source).read_bytes() if source is not None else b""
    return [version(), hashlib.sha256(text).hexdigest()]


def _record(plan: Plan, task: Task, run: Run) -> dict[str, Any]:
    """Return a line of the journal; evaluations outside the limits are null."""
    losses = [row if np.isfinite(row).all() else None for row in run.losses]
    return {
        "key": task.key,
        "problem": plan.problems[task.problem].name,
        "searcher": task.searcher,
        "seed": task.seed,
        "overhead_s": run.overhead_s,
        "overhead_cpu_s": run.overhead_cpu_s,
        "overhead_worst_s": run.overhead_worst_s,
        "objectives": len(plan.problems[task.problem].directions),
        "losses": [None if row is None else row.tolist() for row in losses],
    }


def _run(record: Mapping[str, Any]) -> Run:
    outside = [np.inf] * record["objectives"]
    rows = [outside if row is None else row for row in record["losses"]]
    return Run(
        losses=np.array(rows, dtype=float).reshape(len(rows), record["objectives"]),
        overhead_s=record["overhead_s"],
        overhead_cpu_s=record["overhead_cpu_s"],
        overhead_worst_s=record["overhead_worst_s"],
    )
