"""The problems of `nas benchmark search`: published tables by name, or the user's own table or oracle."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from nas.benchmarks.goals import Goal, Limit, parse_goals, parse_limit
from nas.benchmarks.problems import BenchmarkProblem, oracle_problem, tabular_problem
from nas.benchmarks.published_tables import Table
from search_spaces import Space
from service import catalogue
from service.errors import InvalidJob


@dataclass(frozen=True, kw_only=True)
class Known:
    """A published table as a problem.

    Attributes:
        space: Name of the space.
        file: Path below the folder of the data.
        goals: Objectives.
        join: Another file and the column that both have.
    """

    space: str
    file: str
    goals: tuple[Goal, ...]
    join: tuple[str, str] | None = None


def _nasbench201(device: str) -> Known:
    return Known(
        space="nasbench201",
        file="nasbench201/nb201_cifar10.csv.gz",
        goals=(Goal("accuracy", "c10_test_200", True), Goal("latency_ms", device, False)),
        join=("nasbench201/nb201_latency.csv.gz", "idx"),
    )


def _graph(data: str) -> Known:
    return Known(
        space="search_spaces.families.nasbench_graph:nasbench_graph_tables",
        file="nasbench_graph/nb_graph_cora_citeseer.csv.gz",
        goals=(Goal("accuracy", f"val_{data}", True), Goal("latency_s", f"latency_{data}", False)),
    )


DEVICES = ("1080ti_1", "titan_rtx_256", "gold_6240", "pixel2", "essential_ph_1")
"""Columns of latency that `nb201` stands for: small batches and large ones, a processor, two telephones."""
OTHER_DEVICES = (
    *("1080ti_32", "1080ti_256", "2080ti_32", "2080ti_256", "titan_rtx_1", "titanx_1", "titanx_32", "titanx_256"),
    *("titanxp_1", "titanxp_32", "titanxp_256", "samsung_s7", "silver_4114", "silver_4210r"),
)
_MACS = Goal("macs", "macs", False)
KNOWN = {
    **{f"nb201_{device}": _nasbench201(device) for device in (*DEVICES, *OTHER_DEVICES)},
    "nb101": Known(
        space="nasbench101",
        file="nasbench101/nb101_sample_10000.csv.gz",
        goals=(Goal("accuracy", "test_acc_108", True), Goal("params", "params", False)),
    ),
    "macro": Known(
        space="nasbench_macro",
        file="nasbench_macro/nb_macro_cifar10.csv.gz",
        goals=(Goal("accuracy", "mean_acc", True), _MACS),
    ),
    "conv_macro": Known(
        space="conv_macro",
        file="tanglenas/conv_macro_cifar10.csv.gz",
        goals=(Goal("accuracy", "test_acc", True), _MACS),
    ),
    "graph_cora": _graph("cora"),
    "graph_citeseer": _graph("citeseer"),
}
GROUPS: dict[str, tuple[str, ...]] = {
    "nb201": tuple(f"nb201_{device}" for device in DEVICES),
    "graph": ("graph_cora", "graph_citeseer"),
}
GROUPS["all"] = (*GROUPS["nb201"], "nb101", "macro", "conv_macro", *GROUPS["graph"])


@dataclass(frozen=True, kw_only=True)
class ProblemRequest:
    """The request of a command line for problems.

    Attributes:
        names: Known problems or groups of them.
        data_folder: Folder of their files.
        table: The user's own table.
        oracle: Real evaluations of the user, to fit predictors to.
        space: Name of the space of table or oracle.
        space_options: Its keyword arguments.
        objectives: `a:max,b:min`.
        join: Another file, joined to the table.
        key: Column that both have.
        limits: Limits as written.
        reference: Reference as in `tabular_problem`.
        predictor: Predictor of the oracle.
    """

    names: Sequence[str] = ()
    data_folder: Path | None = None
    table: Path | None = None
    oracle: Path | None = None
    space: str | None = None
    space_options: Mapping[str, Any] = field(default_factory=dict)
    objectives: str | None = None
    join: Path | None = None
    key: str = "idx"
    limits: Sequence[str] = ()
    reference: str = "worst"
    predictor: str = "gp"


def problems_of(request: ProblemRequest) -> list[BenchmarkProblem]:
    """Return the problems that are asked for.

    Raises:
        InvalidJob: A name, file, column, limit or reference cannot be used; says which.
    """
    given = [bool(request.names), request.table is not None, request.oracle is not None]
    if sum(given) != 1:
        raise InvalidJob([f"give exactly one of --problem, --table and --oracle, got {sum(given)} of them"])
    limits = [_checked("--limit", parse_limit, text) for text in request.limits]
    if request.table is not None:
        return [_of_table(request, request.table, limits)]
    if request.oracle is not None:
        return [_of_oracle(request, request.oracle, limits)]
    if request.data_folder is None:
        raise InvalidJob(["--data-folder: must be given with --problem: the folder that holds the published tables"])
    tables: dict[tuple[str, str], Table] = {}
    return [_known(name, request, limits, tables) for name in _expanded(request.names)]


def _expanded(names: Iterable[str]) -> list[str]:
    found: dict[str, None] = {}
    for name in names:
        if name not in KNOWN and name not in GROUPS:
            raise InvalidJob([f"--problem: {name!r} is not known{catalogue.suggestion(name, [*GROUPS, *KNOWN])}"])
        found |= dict.fromkeys(GROUPS.get(name, (name,)))
    return list(found)


def _known(
    name: str, request: ProblemRequest, limits: Sequence[Limit], tables: dict[tuple[str, str], Table]
) -> BenchmarkProblem:
    """Return a known problem; its table is read once for all problems of it."""
    known, folder = KNOWN[name], Path(request.data_folder or ".")
    where = (known.space, known.file)
    if where not in tables:
        table = _read("--data-folder", folder / known.file, _space(known.space, request.space_options))
        join = known.join
        tables[where] = table if join is None else _joined("--data-folder", table, folder / join[0], join[1])
    return _checked(name, partial(tabular_problem, name, tables[where], known.goals, limits), request.reference)


def _of_table(request: ProblemRequest, path: Path, limits: Sequence[Limit]) -> BenchmarkProblem:
    if request.space is None or request.objectives is None:
        raise InvalidJob(["--table: needs --space and --objectives, such as --objectives accuracy:max,latency:min"])
    goals = _checked("--objectives", parse_goals, request.objectives)
    table = _read("--table", path, _space(request.space, request.space_options))
    if request.join is not None:
        table = _joined("--join", table, request.join, request.key)
    name = path.name.partition(".")[0]
    return _checked("--table", partial(tabular_problem, name, table, goals, limits), request.reference)


def _of_oracle(request: ProblemRequest, path: Path, limits: Sequence[Limit]) -> BenchmarkProblem:
    goals = _checked("--objectives", parse_goals, request.objectives or "imagenet_top1:max,macs:min")
    table = _read("--oracle", path, _space(request.space or "ofa_mobilenet_v3", request.space_options))
    predictor = _checked("--predictor", partial(catalogue.resolve, "predictor"), request.predictor)

    def made(reference: str) -> BenchmarkProblem:
        name = f"oracle_{path.name.partition('.')[0]}"
        return oracle_problem(name, table, goals, limits, predictor=predictor, reference=reference)

    return _checked("--oracle", made, request.reference)


def _space(name: str, options: Mapping[str, Any]) -> Space:
    try:
        return catalogue.resolve("space", name)(**options)
    except (ValueError, TypeError) as error:
        raise InvalidJob([f"--space: {error}"]) from error


def _read(option: str, path: Path, space: Space) -> Table:
    try:
        return Table.read(path, space)
    except OSError as error:
        raise InvalidJob([f"{option}: {path}: {error.strerror or error}"]) from error
    except ValueError as error:
        raise InvalidJob([f"{option}: {error}"]) from error


def _joined(option: str, table: Table, path: Path, key: str) -> Table:
    try:
        return table.joined(path, on=key)
    except OSError as error:
        raise InvalidJob([f"{option}: {path}: {error.strerror or error}"]) from error
    except ValueError as error:
        raise InvalidJob([f"{option}: {error}"]) from error


def _checked(option: str, make: Callable[[str], Any], text: str) -> Any:
    try:
        return make(text)
    except (ValueError, TypeError) as error:
        raise InvalidJob([f"{option}: {error}"]) from error
