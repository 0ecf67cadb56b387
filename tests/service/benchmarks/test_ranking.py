"""nas benchmark ranking: equal budgets, the right accuracies, nothing lost, one line a mistake."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data import load_data
from nas.rank_agreement import kendall
from nas.ranking import RankingImages, rank
from search_spaces import Architecture
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.nasbench201_cell import to_cell
from service.benchmarks import ranking as benchmark
from service.benchmarks import ranking_run
from service.benchmarks.proxy_benchmark import TableRequest
from service.benchmarks.ranking_methods import METHODS, Method, with_budget
from service.benchmarks.ranking_run import Judging
from service.errors import InvalidJob
from service.job.building import build_space
from service.job.loading import load_job
from service.job.preparation import locked
from supernets import Supernet
from tests.killing import kill_after_progress
from tests.service.test_cli import lines_of_failure, nas, settings

SETS = [
    *("data.source=noise", "data.image_size=8", "space.options.cells=1", "space.options.width=2", "device=cpu"),
    *("train.batch_size=64", "tracking.enabled=false", "search.calibration_examples=64"),
]
OWN = "dataset=own,epochs=1,split=validation,seeds=1"
ROWS = 24


def write_table(path: Path) -> Path:
    space = nasbench201(cells=1, width=2, image_size=8)
    generator = np.random.default_rng(0)
    drawn = dict.fromkeys(space.sample(generator) for _ in range(ROWS))
    params = space.costs(list(drawn))["params"]
    path.write_text("cell,note,acc\n" + "".join(f"{to_cell(a)},x,{p / 100}\n" for a, p in zip(drawn, params)))
    return path


def request(folder: Path, **changes: object) -> benchmark.Request:
    table = folder / "table.csv"
    if not table.exists():
        write_table(table)
    given = {
        "space": "nasbench201",
        "sets": SETS,
        "table": TableRequest(path=table, column="acc", provenance=OWN, sample=10),
        "methods": "uniform,sandwich",
        "seeds": 2,
        "epochs": 2.0,
        "judging": Judging(images=50, batch_size=30),
        "output": folder / "out",
    }
    return benchmark.Request(**{**given, **changes})


def performed(wanted: benchmark.Request, *, workers: int = 1) -> tuple[benchmark.Comparison, list[str]]:
    said: list[str] = []
    comparison = benchmark.perform(benchmark.plan(wanted), lambda event: None, said.append, workers=workers)
    return comparison, said


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, benchmark.Comparison]:
    folder = tmp_path_factory.mktemp("ranking")
    return folder, performed(request(folder))[0]


# ---- what is done -------------------------------------------------------------------------------------------------


def test_every_method_has_the_same_number_of_passes(finished) -> None:
    folder, comparison = finished
    trained = [json.loads(line) for line in (folder / "out/sandwich-seed0/progress.jsonl").read_text().splitlines()]
    steps = max(event["steps"] for event in trained if event["event"] == "train")
    assert comparison.costs["uniform"]["passes"] == comparison.costs["sandwich"]["passes"] == 8 == 4 * steps
    by_passes = benchmark.plan(request(folder, epochs=None, passes=8))
    assert [run.job for run in by_passes.runs] == [run.job for run in comparison.plan.runs]


def test_fair_sampling_takes_a_pass_for_each_choice() -> None:
    job = load_job("quickstart")
    space = nasbench201(cells=1, width=2, image_size=8)
    assert METHODS["fair"].subnets_of(job, space) == 5
    assert with_budget(job, METHODS["fair"], space, 20).train.epochs == 4
    two = replace(job, train=replace(job.train, subnets_per_step=2))
    assert with_budget(two, Method("", {}), space, 20).train.epochs == 10


def test_accuracies_are_those_of_the_saved_supernet_on_validation_images(finished) -> None:
    _, comparison = finished
    for run in comparison.plan.runs[:2]:
        supernet = Supernet(build_space(run.job))
        supernet.load(run.folder / "supernet.safetensors")
        data = load_data(run.job.data, device=torch.device("cpu"))
        images = RankingImages.of(data.validation.subset(50, seed=0).sequential(30), device=torch.device("cpu"),
                                  batch_size=30)  # fmt: skip
        expected = rank(supernet, comparison.plan.truth.rows.architectures, images)
        assert [float(row["supernet_percent"]) for row in read(run.folder / "ranking.csv")] == expected.tolist()
        assert [len(labels) for _, labels in images.batches] == [25, 25]


def test_all_methods_rank_the_same_rows_and_every_column_is_kept(finished) -> None:
    folder, comparison = finished
    rows = read(folder / "out" / "accuracies.csv")
    assert len(rows) == 10
    assert {row["note"] for row in rows} == {"x"}
    assert [row["true_percent"] for row in rows] == [str(float(row["acc"])) for row in rows]
    columns = [f"{method} seed {seed}" for method in ("uniform", "sandwich") for seed in (0, 1)]
    values = {name: [float(row[name]) for row in rows] for name in columns}
    truth = np.array([float(row["true_percent"]) for row in rows])
    taus = [kendall(np.array(values[f"uniform seed {seed}"]), truth) for seed in (0, 1)]
    assert comparison.ranked["uniform"].of_seeds["kendall"] == pytest.approx(taus)
    assert values["uniform seed 0"] != values["uniform seed 1"]
    assert comparison.ranked["params"].measures["kendall"].value == pytest.approx(1)  # the table is of parameters


def test_published_supernets_have_no_affine_norms_unless_set(finished) -> None:
    folder, comparison = finished
    assert comparison.plan.base.space.options["shared_affine"] is False
    own = benchmark.plan(request(folder, sets=[*SETS, "space.options.shared_affine=true"], output=folder / "affine"))
    assert own.base.space.options["shared_affine"] is True


def test_a_run_is_an_ordinary_job(finished) -> None:
    _, comparison = finished
    run = comparison.plan.runs[0]
    assert load_job(run.folder) == run.job
    assert run.job.seed == 0
    assert run.job.name == "nasbench201-uniform-seed0"


def test_methods_and_seeds_are_added_to_what_is_there(finished, tmp_path: Path) -> None:
    shutil.copytree(finished[0], tmp_path / "copy")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "copy").rglob("supernet.safetensors")}
    comparison, said = performed(request(tmp_path / "copy", seeds=3))
    assert [line.partition(":")[0] for line in said] == ["uniform, seed 2", "sandwich, seed 2"]
    assert all(p.stat().st_mtime_ns == time for p, time in before.items())
    assert comparison.ranked["uniform"].of_seeds["kendall"][:2] == finished[1].ranked["uniform"].of_seeds["kendall"]
    table = TableRequest(path=tmp_path / "copy" / "table.csv", column="acc", provenance=OWN, sample=20)
    more, said = performed(request(tmp_path / "copy", table=table))
    assert len(said) == 4
    assert len(more.plan.truth.percent) == 20
    assert all(p.stat().st_mtime_ns == time for p, time in before.items())


def test_calibrated_accuracies_lie_beside_the_others(finished, tmp_path: Path) -> None:
    shutil.copytree(finished[0], tmp_path / "copy")
    judging = Judging(batch_norm="calibrated", images=50, batch_size=30)
    comparison, _ = performed(request(tmp_path / "copy", judging=judging, seeds=1))
    run = comparison.plan.runs[0]
    assert sorted(p.name for p in (run.folder / "ranking").iterdir()) == [
        "batch-50-30.jsonl", "calibrated-50-30.jsonl"
    ]  # fmt: skip
    found = ranking_run.accuracies(run, judging)
    assert len(found) == 10
    assert found != ranking_run.accuracies(run, Judging(images=50, batch_size=30))


# ---- killed, shared, locked ---------------------------------------------------------------------------------------

SLOW = [*SETS, "train.checkpoint_every_s=0", "space.options.cells=2"]


def slow(folder: str) -> benchmark.Request:
    return request(Path(folder), sets=SLOW, methods="uniform", seeds=1, epochs=10, judging=Judging(batch_size=5))


def perform_slowly(folder: str) -> None:
    torch.set_num_threads(1)
    performed(slow(folder))


@pytest.mark.integration
def test_killed_in_training_and_in_ranking_it_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        write_table(tmp_path / f"{name}.csv")
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.csv").rename(tmp_path / name / "table.csv")
    perform_slowly(str(tmp_path / "whole"))
    out = tmp_path / "killed" / "out"
    run = out / "uniform-seed0"
    kill_after_progress(perform_slowly, tmp_path / "killed", run / "train" / "checkpoint.pt", 0.05)
    assert not (run / "supernet.safetensors").exists()
    journal = run / "ranking" / "batch-all-5.jsonl"
    perform_slowly(str(tmp_path / "killed"))
    expected = (tmp_path / "whole" / "out" / "accuracies.csv").read_text()
    assert (out / "accuracies.csv").read_text() == expected
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:4]) + lines[4][:20])  # killed in the middle of a line
    (run / "ranking.json").unlink()
    perform_slowly(str(tmp_path / "killed"))
    assert (out / "accuracies.csv").read_text() == expected
    assert len(journal.read_text().splitlines()) == len(lines)


@pytest.mark.slow
def test_processes_come_to_the_same_as_one(finished, tmp_path: Path) -> None:
    comparison, said = performed(request(tmp_path, seeds=1), workers=2)
    assert sorted(line.partition(":")[0] for line in said) == ["sandwich, seed 0", "uniform, seed 0"]
    for name in ("uniform", "sandwich"):
        ours, theirs = comparison.ranked[name].of_seeds, finished[1].ranked[name].of_seeds
        assert {m: values[0] for m, values in ours.items()} == {m: values[0] for m, values in theirs.items()}


def test_a_training_that_another_process_works_on_is_left_alone(tmp_path: Path) -> None:
    plan = benchmark.plan(request(tmp_path, seeds=1))
    with locked(plan.runs[0].folder), pytest.raises(InvalidJob, match="is running this job"):
        performed(request(tmp_path, seeds=1))
    assert not (plan.runs[0].folder / "supernet.safetensors").exists()


# ---- the command --------------------------------------------------------------------------------------------------


def arguments(folder: Path, *more: str, sets: list[str] = SETS) -> list[str]:
    table = folder / "table.csv"
    if not table.exists():
        write_table(table)
    given = {"--space": "nasbench201", "--table": str(table), "--column": "acc", "--methods": "uniform,sandwich",
             "--epochs": "2", "--seeds": "2", "--archs": "10", "--images": "50", "--batch": "30",
             "--provenance": OWN, "--output": str(folder / "out")}  # fmt: skip
    given |= dict(zip(more[::2], more[1::2]))
    flat = [part for name, value in given.items() if value for part in (name, value)]
    return ["benchmark", "ranking", *flat, *settings(*sets)]


def test_the_command_prints_tables_and_writes_them(finished, tmp_path: Path) -> None:
    shutil.copytree(finished[0], tmp_path / "copy")
    result = nas(*arguments(tmp_path / "copy"))
    assert result.exit_code == 0, result.output
    for text in ("uniform: 8 passes", "Kendall", "params", "Difference to uniform", "own validation"):
        assert text in result.stdout
    rows = read(tmp_path / "copy" / "out" / "ranking.csv")
    assert [(row["method"], row["seed"]) for row in rows] == [
        ("uniform", "mean"), ("uniform", "0"), ("uniform", "1"),
        ("sandwich", "mean"), ("sandwich", "0"), ("sandwich", "1"), ("params", "mean"), ("macs", "mean"),
        ("prior untrained", "mean"),
    ]  # fmt: skip
    assert float(rows[0]["passes"]) == float(rows[3]["passes"]) == 8
    assert rows[0]["lead_kendall"] == "" != rows[3]["lead_kendall"]
    assert float(rows[0]["kendall_low"]) <= float(rows[0]["kendall"]) <= float(rows[0]["kendall_high"])


def test_methods_are_compared_in_mlflow_under_equal_names(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    sets = [*(s for s in SETS if not s.startswith("tracking")), f"tracking.uri={uri}"]
    for _ in range(2):  # the second time nothing is added
        result = nas(*arguments(tmp_path, "--seeds", "1", sets=sets))
        assert result.exit_code == 0, result.output
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    runs = client.search_runs([client.get_experiment_by_name("espalier").experiment_id])
    jobs = {run.data.params["method"]: run for run in runs if run.data.tags["nas.kind"] == "job"}
    (summary,) = [run for run in runs if run.data.tags["nas.kind"] == "benchmark"]
    assert len(runs) == 3
    names = [{name for name in run.data.metrics if name.startswith("ranking/")} for run in jobs.values()]
    assert names[0] == names[1] >= {"ranking/kendall", "ranking/spearman", "ranking/top5_precision", "ranking/passes"}
    assert {run.data.tags["nas.benchmark"] for run in runs} == {summary.data.tags["nas.benchmark"]}
    assert {run.info.status for run in runs} == {"FINISHED"}
    kendalls = {name: run.data.metrics["ranking/kendall"] for name, run in jobs.items()}
    assert {name: summary.data.metrics[f"kendall/{name}"] for name in jobs} == kendalls


MISTAKES = [
    (["--methods", "uniform,sandwhich"], "did you mean sandwich"),
    (["--methods", ","], "--methods: must name at least one"),
    (["--column", "accuracy"], "no column 'accuracy'"),
    (["--archs", "500"], "--archs: "),
    (["--space", "nasbench202"], "did you mean nasbench201"),
    (["--space", ""], "--space: must be given"),
    (["--table", "away.csv"], "away.csv"),
    (["--budget", "8"], "one of --epochs and --budget"),
    (["--set", "pada:train.lr=1"], "did you mean pa_da"),
    (["--set", "uniform:train.epochs=9"], "may differ between methods"),
    (["--set", "uniform:data.flip=false"], "may differ between methods"),
    (["--set", "train.lr=-1"], "train.lr: must be more than 0"),
    (["--provenance", ""], "provenance"),
]


@pytest.mark.parametrize(("more", "message"), MISTAKES, ids=[" ".join(more) for more, _ in MISTAKES])
def test_every_mistake_is_one_line(more: list[str], message: str, tmp_path: Path) -> None:
    given = more if more[0] != "--set" else []
    sets = [*SETS, *(more[1:] if more[0] == "--set" else [])]
    lines = lines_of_failure(nas(*arguments(tmp_path, *given, sets=sets)))
    assert len(lines) == 1, lines
    assert message in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_space_without_supernet_is_refused(tmp_path: Path) -> None:
    sets = [setting for setting in SETS if not setting.startswith("space.")]
    lines = lines_of_failure(nas(*arguments(tmp_path, "--space", "nasbench101", sets=sets)))
    assert len(lines) == 1
    assert "nasbench101 has no supernet to train" in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    assert "other files" in lines_of_failure(nas(*arguments(tmp_path)))[0]


def test_another_training_in_the_folder_is_refused(finished, tmp_path: Path) -> None:
    shutil.copytree(finished[0], tmp_path / "copy")
    lines = lines_of_failure(nas(*arguments(tmp_path / "copy", "--epochs", "3")))
    assert "holds another job" in lines[0]
    assert "train.epochs" in lines[1]


def test_without_images_nothing_is_trained(tmp_path: Path) -> None:
    sets = [setting for setting in SETS if not setting.startswith("data.")]
    assert "--data: must be given" in lines_of_failure(nas(*arguments(tmp_path, sets=sets)))[0]


def test_settings_of_one_method_are_its_own(tmp_path: Path) -> None:
    plan = benchmark.plan(request(tmp_path, sets=[*SETS, "sandwich:train.subnets_per_step=2", "train.lr=0.3"]))
    jobs = {run.method: run.job for run in plan.runs}
    assert (jobs["sandwich"].train.subnets_per_step, jobs["uniform"].train.subnets_per_step) == (2, 1)
    assert jobs["sandwich"].train.epochs == jobs["uniform"].train.epochs / 2
    assert {run.passes for run in plan.runs} == {8}
    assert jobs["uniform"].train.lr == jobs["sandwich"].train.lr == 0.3


def test_architectures_of_the_plan_are_rows_of_the_table(tmp_path: Path) -> None:
    plan = benchmark.plan(request(tmp_path))
    assert len(set(plan.truth.rows.architectures)) == 10
    assert all(isinstance(a, Architecture) for a in plan.truth.rows.architectures)


def test_every_method_is_a_job_of_the_same_passes_whatever_the_recipe_says(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: a\nspace: {name: nasbench201, options: {shared_affine: false}}\n"
        "train: {sampler: path_adaptive, sampler_options: {floor: 0.1}, examples: importance, epochs: 20}\n"
    )
    cheap = [f"{m}:train.split.{s}" for m in ("gm", "few_shot", "pa_da+gm") for s in ("rounds=1", "repeats=1")]
    wanted = request(tmp_path, source=str(recipe), space=None, methods=",".join(METHODS), seeds=1, epochs=None)
    with pytest.raises(InvalidJob, match=r"gm: train.split.repeats: must be lower .* of 80 passes in all"):
        benchmark.plan(wanted)
    plan = benchmark.plan(replace(wanted, sets=[*SETS, *cheap]))
    jobs = {run.method: run.job for run in plan.runs}
    assert list(jobs) == list(METHODS)
    assert all(run.passes == pytest.approx(plan.runs[0].passes, abs=4) for run in plan.runs)
    assert (jobs["uniform"].train.sampler, jobs["uniform"].train.examples) == ("uniform", "uniform")
    assert jobs["uniform"].train.sampler_options == {}
    assert jobs["fair"].train.epochs == 4
    assert jobs["pa_da+gm"].train.split is not None
    assert jobs["pa_da"].train.split is None
    assert (jobs["pa_da"].train.sampler, jobs["pa_da"].train.examples) == ("path_adaptive", "importance")


def test_split_supernets_are_ranked_through_their_parts(tmp_path: Path) -> None:
    sets = [s for s in SETS if "batch_size" not in s] + [
        *("train.batch_size=4", "pa_da+gm:train.split.rounds=1", "pa_da+gm:train.split.repeats=1"),
    ]
    comparison, _ = performed(request(tmp_path, sets=sets, methods="pa_da+gm", seeds=1, epochs=1.5))
    (run,) = comparison.plan.runs
    events = [json.loads(line) for line in (run.folder / "progress.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events].count("split") == 1
    again = performed(request(tmp_path, sets=sets, methods="pa_da+gm", seeds=1, epochs=1.5))[0]
    assert again.ranked == comparison.ranked


def test_relaxed_supernets_spend_the_same_passes_and_rank_their_subnets(tmp_path: Path) -> None:
    sets = [s for s in SETS if "batch_size" not in s] + ["train.batch_size=16", "amended:train.relaxation.lr=0.02"]
    comparison, _ = performed(request(tmp_path, sets=sets, methods="uniform,amended,tangled", seeds=1, epochs=1.0))
    runs = {run.method: run for run in comparison.plan.runs}
    steps = runs["uniform"].passes
    assert abs(runs["amended"].passes - steps) <= 1.5
    assert runs["amended"].stages.steps == (round(steps / 3),)
    assert runs["amended"].stages.per_path == round(steps / 3), "a step trains all choices"
    relaxation = runs["amended"].job.train.relaxation
    assert relaxation is not None
    assert (relaxation.hypergradient, relaxation.lr) == ("amended", 0.02)
    assert runs["tangled"].job.space.options["entangled"] is True
    assert "entangled" not in runs["amended"].job.space.options
    assert runs["uniform"].job.train.relaxation is None
    assert all((runs[name].folder / "learned.json").exists() for name in ("amended", "tangled"))
    assert len(set(comparison.ranked["tangled"].of_seeds["kendall"])) == 1


def test_a_space_that_cannot_be_relaxed_is_refused_in_a_line(tmp_path: Path) -> None:
    sets = [*SETS, "space.options.connected=true"]
    (line,) = lines_of_failure(nas(*arguments(tmp_path, "--methods", "uniform,drnas", sets=sets)))
    assert "train.relaxation: must be null: decisions of nasbench201 depend on each other" in line


# ---- controls -----------------------------------------------------------------------------------------------------


SPLIT = ["few_shot:train.split.repeats=1", "gm:train.split.repeats=1"]


def test_methods_with_splits_can_train_each_path_as_often_as_the_others(tmp_path) -> None:
    given = {"methods": "uniform,prior,few_shot,gm", "seeds": 1, "epochs": 40.0, "sets": [*SETS, *SPLIT]}
    equal = {run.method: run for run in benchmark.plan(request(tmp_path, **given)).runs}
    assert {run.passes for run in equal.values()} == {160}
    whole = equal["uniform"].stages
    assert (whole.steps, whole.parts, whole.repeats, whole.per_path) == ((160,), (1,), 0, 32)
    for name, parts in (("few_shot", (1, 5)), ("gm", (1, 2, 4))):
        ways = equal[name].stages
        assert (ways.parts, ways.repeats) == (parts, 1)
        assert ways.per_path < 0.9 * whole.per_path
        assert sum(n * steps for n, steps in zip(ways.parts, ways.steps)) <= 160
    other = request(tmp_path, **given, per_path=True, output=tmp_path / "path")
    longer = {run.method: run for run in benchmark.plan(other).runs}
    assert longer["uniform"].passes == longer["prior"].passes == 160
    for name in ("few_shot", "gm"):
        assert whole.per_path <= longer[name].stages.per_path < 1.1 * whole.per_path
        assert longer[name].passes > 1.2 * 160


def test_every_table_has_the_prior_that_learns_nothing_and_the_parameters(finished) -> None:
    folder, comparison = finished
    architectures = comparison.plan.truth.rows.architectures
    convolutions = [sum("conv" in str(choice) for choice in a.values()) for a in architectures]
    rows = read(folder / "out" / "accuracies.csv")
    assert kendall(np.array([float(row["prior untrained"]) for row in rows]), np.array(convolutions)) == 1.0
    assert set(comparison.ranked) >= {"params", "macs", "prior untrained"}
    for name in ("uniform", "sandwich"):
        params = [float(row["params"]) for row in rows]
        taus = [
            kendall(np.array([float(row[f"{name} seed {seed}"]) for row in rows]), np.array(params)) for seed in (0, 1)
        ]
        assert comparison.costs[name]["params_kendall"] == pytest.approx(np.mean(taus))
