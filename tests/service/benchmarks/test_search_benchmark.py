"""nas benchmark search: one command, nothing lost when killed, one line a mistake."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from search_spaces.families.conv_macro import conv_macro
from service.benchmarks import search_benchmark as runs
from service.benchmarks.search_knowledge import footnotes, knowledge
from service.benchmarks.search_log import finished_runs
from service.benchmarks.search_problems import GROUPS, KNOWN, ProblemRequest, problems_of
from service.benchmarks.search_report import targets_of
from service.errors import InvalidJob
from service.job.tracking import TrackingConfig
from service.tracking.finished import log_finished
from tests.killing import kill_after_progress
from tests.service.test_cli import lines_of_failure, nas

GOALS = ["--space", "conv_macro", "--objectives", "acc:max,ms:min"]


def write_table(path: Path, n: int = 120) -> Path:
    """Random architectures with an accuracy and a latency made up of their decisions."""
    space, generator = conv_macro(), np.random.default_rng(0)
    drawn = np.unique(space.sample_encodings(n, generator), axis=0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*("c1", "c2", "c3", "c4", "k1", "k2", "k3", "k4"), "acc", "ms"])
        for encoding in drawn:
            values = [*space.decode(encoding).values()]
            writer.writerow([*values, 60 + encoding @ np.arange(1, 9) / 2, 1 + encoding[:4].sum() + encoding[4] / 4])
    return path


def plan_of(folder: Path, **changes) -> runs.Plan:
    request = ProblemRequest(table=write_table(folder / "t.csv"), space="conv_macro", objectives="acc:max,ms:min")
    settings = {"searchers": ["nsga2", "random"], "seeds": 3, "evaluations": 20, "population": 6, **changes}
    return runs.Plan(problems=problems_of(request), **settings)


def journal(folder: Path) -> dict[tuple[str, int], list]:
    records = [json.loads(line) for line in (folder / runs.JOURNAL).read_text().splitlines()]
    assert len({record["key"] for record in records}) == len(records)
    return {(record["searcher"], record["seed"]): record["losses"] for record in records}


def test_the_command_writes_tables_and_figures_and_goes_on(tmp_path):
    table, output = write_table(tmp_path / "t.csv"), tmp_path / "out"
    command = ["benchmark", "search", "--table", str(table), *GOALS, "--limit", "ms<=5", "--evaluations", "20"]
    command += ["--searcher", "nsga2,random", "--set", "nsga2.population=8", "--no-mlflow", "--workers", "1"]
    first = nas(*command, "--output", str(output), "--seeds", "2")
    assert first.exit_code == 0, first.output
    assert "best feasible so far" in first.output
    assert "others are never evaluated and count as infeasible" in first.output.replace("\n", " ")
    with (output / "summary.csv").open() as file:
        rows = {(row["searcher"], row["measure"]): row for row in csv.DictReader(file)}
    assert 0 < float(rows["nsga2", "hypervolume_share"]["median"]) <= 1
    assert float(rows["random", "overhead_s"]["median"]) > 0
    assert ("random", "evaluations_to_nsga2") in rows
    with (output / "curves.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2 * 20
    page = (output / "benchmark.html").read_text()
    assert "src=" not in page.split("</script>")[-1]
    assert "Plotly.newPlot" in page
    assert (output / "benchmark.png").read_bytes().startswith(b"\x89PNG")
    before = (output / runs.JOURNAL).read_text()
    second = nas(*command, "--output", str(output), "--seeds", "3")
    assert second.exit_code == 0, second.output
    after = (output / runs.JOURNAL).read_text()
    assert after.startswith(before)
    assert len(after.splitlines()) == 6


def run_slowly(folder: str) -> None:
    plan = plan_of(Path(folder), searchers=["regularized_evolution"], seeds=6, evaluations=40)
    runs.perform(plan, Path(folder), lambda event: None, workers=1)


@pytest.mark.integration
def test_killed_and_started_again_it_ends_with_the_same_runs_as_in_two_processes(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    whole.mkdir()
    kill_after_progress(run_slowly, killed, killed / runs.JOURNAL, delay_s=0.6)
    with (killed / runs.JOURNAL).open("a") as file:
        file.write('{"key": "half a li')
    run_slowly(str(killed))
    plan = plan_of(whole, searchers=["regularized_evolution"], seeds=6, evaluations=40)
    comparisons = runs.perform(plan, whole, lambda event: None, workers=2)
    assert journal(killed) == journal(whole)
    assert len(journal(whole)) == 6
    assert comparisons[0].hypervolumes["regularized_evolution"].shape == (6, 40)


def test_runs_of_a_searcher_whose_file_has_changed_are_not_taken_for_its_own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    written = "from nas.searchers import Random\n\nclass Mine(Random):\n    pass\n"
    for text in (written, written, written + "\n# another one\n"):
        (tmp_path / "my_searcher.py").write_text(text)
        plan = plan_of(tmp_path, searchers=["my_searcher:Mine"], seeds=1)
        runs.perform(plan, tmp_path, lambda event: None, workers=1)
    assert len((tmp_path / runs.JOURNAL).read_text().splitlines()) == 2


def test_an_oracle_is_told_by_what_it_predicts_and_not_by_its_reference(tmp_path):
    def digest(rows, reference):
        table = write_table(tmp_path / "t.csv", rows)
        request = ProblemRequest(oracle=table, space="conv_macro", objectives="acc:max,macs:min", reference=reference)
        return runs._digest(problems_of(request)[0])

    assert digest(120, "worst") == digest(120, "nadir")
    assert digest(120, "worst") != digest(60, "worst")


def test_runs_of_other_settings_are_not_taken_for_these(tmp_path):
    quiet = print
    runs.perform(plan_of(tmp_path, seeds=1), tmp_path, quiet, workers=1)
    runs.perform(plan_of(tmp_path, seeds=1, population=7), tmp_path, quiet, workers=1)
    runs.perform(plan_of(tmp_path, seeds=1), tmp_path, quiet, workers=1)
    assert len((tmp_path / runs.JOURNAL).read_text().splitlines()) == 4


def test_every_known_problem_can_be_had(shared_data):
    for name in GROUPS["all"]:
        assert (shared_data / KNOWN[name].file).is_file()
    cora, latency = problems_of(ProblemRequest(names=["macro", "nb201_pixel2"], data_folder=shared_data))
    assert (cora.rows, cora.default_evaluations) == (6_561, 131)
    assert (latency.rows, latency.default_evaluations) == (10_000, 200)
    assert latency.directions == [("accuracy", True), ("latency_ms", False)]
    assert -latency.front[:, 0].min() == pytest.approx(94.37333)


def test_a_store_that_is_away_is_one_line_and_a_run_has_its_curve(tmp_path):
    plan = plan_of(tmp_path, seeds=2)
    comparisons = runs.perform(plan, tmp_path, print, workers=1)
    logged = list(finished_runs(plan, comparisons, ["nsga2"], tmp_path))
    assert [run.name for run in logged] == ["t nsga2", "t random"]
    assert logged[0].params["population"] == 6
    assert logged[0].curves["hypervolume_share_median"][-1][0] == 20
    away = log_finished(logged, TrackingConfig(uri="http://127.0.0.1:9"))
    assert away.error is not None
    assert "no MLflow server answers" in away.error


def test_targets_are_those_that_take_part():
    assert targets_of(["random", "nsga2"]) == ["nsga2"]
    assert targets_of(["random", "linas", "nsga2"]) == ["linas", "nsga2"]
    assert targets_of(["random"]) == ["random"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--searcher", "rando"], "unknown searcher 'rando'; did you mean random"),
        (["--objectives", "accuracy:max"], "has no column 'accuracy'; it has c1"),
        (["--objectives", "acc"], "objectives are written name:max or name:min"),
        (["--limit", "ms<=0"], "no architecture has ms <= 0; the best reachable is 2"),
        (["--limit", "ms<5"], "a limit is written name<=number"),
        (["--reference", "acc=1"], "reference must be worst, nadir or acc=NUMBER,ms=NUMBER"),
        (["--problem", "nb201"], "give exactly one of --problem, --table and --oracle, got 2"),
        (["--target", "linas"], "'linas' does not take part; allowed: nsga2"),
        (["--set", "nsga2.popultion=3"], "nsga2 has no option 'popultion'; did you mean population?"),
        (["--set", "population=3"], "must be NAME.OPTION=VALUE"),
        (["--join", "nowhere.csv"], "--join: nowhere.csv: No such file"),
        (["--space", "conv_mini"], "unknown space 'conv_mini'"),
    ],
)
def test_mistakes_are_one_line(tmp_path, options, message):
    table = write_table(tmp_path / "t.csv", 30)
    arguments = ["benchmark", "search", "--searcher", "nsga2", "--table", str(table), *GOALS]
    lines = lines_of_failure(nas(*arguments, "--output", str(tmp_path / "out"), *options))
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out").exists()


def test_an_unknown_problem_and_a_missing_folder_are_one_line(tmp_path):
    wrong = lines_of_failure(nas("benchmark", "search", "--problem", "nb202", "--data-folder", str(tmp_path)))
    assert "'nb202' is not known; did you mean nb201" in wrong[0]
    assert "--data-folder: must be given" in lines_of_failure(nas("benchmark", "search", "--problem", "macro"))[0]
    absent = lines_of_failure(nas("benchmark", "search", "--problem", "macro", "--data-folder", str(tmp_path)))
    assert "nb_macro_cifar10.csv.gz: No such file" in absent[0]


VARIANTS = {
    "linas": {},
    "linas/repaired": {"mutation": "redrawn"},
    "linas/told": {"mutation": "redrawn", "exact_costs": True, "features": "summary"},
    "nsga2": {},
    "nsga2/5": {"population": 5},
    "nas.searchers.screened:ScreenedNSGA2/told": {"candidates": 3},
}


def test_variants_of_a_searcher_take_part_with_options_of_their_own(tmp_path):
    fast = {name: {**options, "inner_evaluations": 60} if name.startswith("linas") else options
            for name, options in VARIANTS.items()}  # fmt: skip
    plan = plan_of(tmp_path, searchers=list(VARIANTS), options=fast, seeds=1)
    problem = plan.problems[0]
    assert plan.settings(problem, "nsga2/5")["population"] == 5
    assert plan.settings(problem, "nsga2")["population"] == 6
    runs.check(plan)
    (comparison,) = runs.perform(plan, tmp_path, lambda event: None, workers=1)
    assert list(comparison.best) == list(VARIANTS)
    found = journal(tmp_path)
    assert found["linas", 0] != found["linas/told", 0]
    assert found["nsga2", 0] != found["nsga2/5", 0]
    assert found["nsga2", 0] != found["nas.searchers.screened:ScreenedNSGA2/told", 0]
    runs.check_names(["nsga2/5"], {"nsga2/5": {"population": 5}})
    with pytest.raises(InvalidJob, match="nsga3/a has no option 'populatoin'"):
        runs.check_names(["nsga3/a"], {"nsga3/a": {"populatoin": 5}})


def test_who_knows_more_than_was_evaluated_stands_in_the_table(tmp_path):
    told = {"linas/told": {"exact_costs": True, "features": "summary"}}
    request = ProblemRequest(table=write_table(tmp_path / "t.csv"), space="conv_macro", objectives="acc:max,macs:min")
    searchers = ["surrogate", "linas", "linas/told", "nas.searchers.screened:ScreenedNSGA2", "nsga2"]
    plan = runs.Plan(problems=problems_of(request), searchers=searchers, options=told)
    known = knowledge(plan)["t"]
    assert [known[name].text() for name in searchers] == [
        *("exact macs, summaries", "-", "exact macs, summaries", "exact macs, summaries", "-")
    ]
    assert footnotes(known) == [
        "exact macs: it computes macs; the others predict it or do without",
        "summaries: it sees features of architectures that were made by hand",
    ]


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("nb201_pixel2", "summaries, tuned on the accuracies"),
        ("nb201_samsung_s7", "summaries, tuned on the problem"),
        ("macro", "exact macs, summaries, tuned on the problem"),
    ],
)
def test_where_settings_were_chosen_is_said_of_surrogate_alone(shared_data, problem, said):
    plan = runs.Plan(
        problems=problems_of(ProblemRequest(names=[problem], data_folder=shared_data)),
        searchers=["surrogate", "linas/told"],
        options={"linas/told": {"exact_costs": True, "features": "summary"}},
    )
    known = knowledge(plan)[problem]
    assert known["surrogate"].text() == said
    assert known["linas/told"].text() == said.partition(", tuned")[0]


@pytest.mark.parametrize("predictor", ["boosted_trees", "nearest"])
def test_an_oracle_can_be_of_another_kind_than_the_model_of_surrogate(tmp_path, predictor):
    command = ["benchmark", "search", "--oracle", str(write_table(tmp_path / "t.csv")), "--space", "conv_macro"]
    command += ["--objectives", "acc:max,macs:min", "--predictor", predictor, "--searcher", "surrogate,nsga2"]
    command += ["--seeds", "1", "--evaluations", "12", "--workers", "1", "--no-mlflow", "--output", str(tmp_path / "o")]
    result = nas(*command)
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "oracle_t: surrogate knows beforehand: exact macs, summaries" in text
    table = text[text.index("oracle_t: 12 evaluations") :]
    assert table.index("knows beforehand") < table.index("exact macs: it computes macs; the others predict it")
    with (tmp_path / "o" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["problem"] for row in rows} == {"oracle_t"}
    marks = {(row["searcher"], row["exact_objectives"], row["summaries"], row["settings_chosen_on"]) for row in rows}
    assert marks == {("surrogate", "macs", "1", ""), ("nsga2", "", "0", "")}
