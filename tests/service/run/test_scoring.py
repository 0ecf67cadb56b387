"""nas score and nas benchmark proxies: the right architectures, every column kept, nothing lost, one line a mistake."""

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from proxies import Passes, Proxy, Score
from search_spaces import Architecture, Space
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.nasbench201_cell import parse_cell, to_string
from service.errors import InvalidJob
from service.run import score as command
from service.run import scoring
from tests.killing import kill_after_progress
from tests.service.test_cli import lines_of_failure, nas, settings

SMALL = ["space.options.cells=1", "space.options.width=4", "proxies.batch=4", "data.image_size=8", "device=cpu"]
CELLS = ["x333333", "x421211", "x000000", "x333333"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def write_cells(path: Path, cells: list[str] = CELLS) -> Path:
    path.write_text("idx,cell,note\n" + "".join(f'{i},{cell},"a, ""b"""\n' for i, cell in enumerate(cells)))
    return path


def request(**changes: object) -> command.Request:
    return command.Request(**{"space": "nasbench201", "proxies": "params,synflow", "sets": SMALL, **changes})


def test_every_column_of_the_table_is_kept_and_every_row_scored(tmp_path: Path) -> None:
    archs, output = write_cells(tmp_path / "cells.csv"), tmp_path / "scores.csv"
    result = nas("score", "--space", "nasbench201", "--proxy", "params,gradsign", "--archs", str(archs),
                 "--output", str(output), *settings(*SMALL))  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = read(output)
    assert [row["cell"] for row in rows] == CELLS
    assert {row["note"] for row in rows} == {'a, "b"'}
    space = nasbench201(cells=1, width=4, image_size=8)
    expected = space.costs([space.architecture(parse_cell(cell)) for cell in CELLS])["params"]
    assert [float(row["params"]) for row in rows] == expected.tolist()
    assert rows[0]["gradsign"] == rows[3]["gradsign"] != rows[1]["gradsign"]
    assert "random noise" in result.stdout


@pytest.mark.integration
def test_scores_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    job, space = command.job_and_space(request(proxies="gradsign,zen"))
    rows = scoring.rows_of_sample(space, 6, seed=0)
    one = scoring.score_rows(job, rows, tmp_path / "one.jsonl", print, workers=1)
    two = scoring.score_rows(job, rows, tmp_path / "two.jsonl", print, workers=2)
    assert {a: s.values for a, s in one.items()} == {a: s.values for a, s in two.items()}
    assert len(one) == 6


MADE: list[Architecture] = []


def with_own_cost() -> Space:
    """A space with a cost of its own, which remembers the networks that it made."""
    space = nasbench201(cells=1, width=4, image_size=8)
    costs, build = space.costs, space.subnet

    def network(architecture: Architecture) -> nn.Module:
        MADE.append(architecture)
        return build(architecture)

    def cost(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        indices = [[d.choices.index(value) for value in columns[d.name]] for d in space.decisions]
        counted = costs(np.array(indices).T)
        return {**counted, "energy_nj": counted["params"] + 2 * counted["macs"]}

    return replace(space, places=None, cost=cost, network=network, units={"energy_nj": "nJ"})


OWN = "tests.service.run.test_scoring:with_own_cost"


def test_what_the_space_counts_is_scored_without_networks_data_and_journal(tmp_path: Path) -> None:
    archs, output = write_cells(tmp_path / "cells.csv"), tmp_path / "scores.csv"
    result = nas("score", "--space", OWN, "--proxy", "params,macs,energy_nj", "--archs", str(archs),
                 "--output", str(output), *settings("data.image_size=8"))  # fmt: skip
    assert result.exit_code == 0, result.output
    space = nasbench201(cells=1, width=4, image_size=8)
    costs = space.costs([space.architecture(parse_cell(cell)) for cell in CELLS])
    rows = read(output)
    for name in ("params", "macs"):
        assert [float(row[name]) for row in rows] == costs[name].tolist()
    assert [float(row["energy_nj"]) for row in rows] == (costs["params"] + 2 * costs["macs"]).tolist()
    assert "counted 3 architectures" in result.stdout
    assert "random noise" not in result.stdout
    checked = len(MADE)  # a few, to see whether the space counts right
    MADE.clear()
    result = nas("score", "--space", OWN, "--proxy", "params,macs,energy_nj", "--sample", "300",
                 "--output", str(output), *settings("data.image_size=8"))  # fmt: skip
    assert result.exit_code == 0, result.output
    assert len(MADE) == checked < 10
    assert {path.name for path in tmp_path.iterdir()} == {archs.name, output.name}
    result = nas("score", "--space", OWN, "--proxy", "params,l2_norm", "--archs", str(archs),
                 "--output", str(output), *settings("data.image_size=8"))  # fmt: skip
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == {archs.name, output.name, command.journal_file(output).name}


def test_a_cost_that_the_space_does_not_have_is_no_proxy() -> None:
    lines = lines_of_failure(nas("score", "--space", OWN, "--proxy", "energy_mj", "--sample", "2",
                                 *settings("data.image_size=8")))  # fmt: skip
    assert "unknown proxy 'energy_mj'; did you mean energy_nj" in lines[0]


def test_networks_give_the_same_numbers_where_another_proxy_needs_them(tmp_path: Path) -> None:
    job, space = command.job_and_space(request(proxies="macs,l2_norm,params"))
    rows = scoring.rows_of_sample(space, 3, seed=0)
    mixed = scoring.score_rows(job, rows, tmp_path / "mixed.jsonl", print, workers=1)
    layered = scoring.score_rows(job, rows, tmp_path / "layers.jsonl", print, workers=1, layers=True)
    assert {a: s.values for a, s in mixed.items()} == {a: s.values for a, s in layered.items()}
    assert [list(scored.values) for scored in mixed.values()] == 3 * [["macs", "l2_norm", "params"]]
    shares = [json.loads(line)["layers"] for line in (tmp_path / "layers.layers.jsonl").read_text().splitlines()]
    assert [sum(share["macs"].values()) for share in shares] == space.costs(rows.architectures)["macs"].tolist()


def test_all_lists_every_architecture_once() -> None:
    _, space = command.job_and_space(request())
    rows = scoring.rows_of_all(space)
    assert len(set(rows.architectures)) == len(rows.architectures) == 15_625 == space.count()


def test_too_many_are_not_listed() -> None:
    _, space = command.job_and_space(request(space="darts", sets=["data.image_size=32"]))
    with pytest.raises(InvalidJob, match="too many to list"):
        scoring.rows_of_all(space)


def test_the_task_of_the_job_is_what_its_architectures_are_scored_for(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(
        "name: a\nspace: {name: nasbench201}\ndata: {source: noise}\n"
        "task: {name: classification, options: {label_smoothing: 0.2}}\n"
    )
    found = command.requested_job(request(source=str(job), space=None))
    assert found.task.options == {"label_smoothing": 0.2}


def score_slowly(folder: str) -> None:
    job, space = command.job_and_space(request(proxies="synflow,nwot", sets=[*SMALL, "space.options.cells=3"]))
    rows = scoring.rows_of_sample(space, 100, seed=0)
    command.perform(job, rows, Path(folder) / "scores.csv", lambda event: None, workers=1)


@pytest.mark.integration
def test_killed_and_started_again_it_ends_with_the_same_table(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    whole.mkdir()
    journal = command.journal_file(killed / "scores.csv")
    for _ in range(2):
        kill_after_progress(score_slowly, killed, journal, delay_s=0.7)
    before = len(journal.read_bytes().splitlines())
    assert 1 < before < 101
    score_slowly(str(killed))
    score_slowly(str(whole))
    kept = [{k: v for k, v in row.items() if k != "score_seconds"} for row in read(killed / "scores.csv")]
    assert kept == [{k: v for k, v in row.items() if k != "score_seconds"} for row in read(whole / "scores.csv")]
    assert len(kept) == 100


def test_a_journal_of_other_scores_is_refused(tmp_path: Path) -> None:
    sets = settings(*SMALL)
    archs = write_cells(tmp_path / "cells.csv")
    common = ["score", "--space", "nasbench201", "--archs", str(archs), "--output", str(tmp_path / "s.csv"), *sets]
    assert nas(*common, "--proxy", "l2_norm").exit_code == 0
    with command.journal_file(tmp_path / "s.csv").open() as file:
        assert set(json.loads(file.readline())["space"]) == {"name", "options"}, "as in journals of earlier versions"
    lines = lines_of_failure(nas(*common, "--proxy", "synflow"))
    assert "is the journal of another " in lines[0]


def test_aggregates_rank_over_all_rows(tmp_path: Path) -> None:
    output = tmp_path / "s.parquet"
    cells = write_cells(tmp_path / "c.csv", ["x333333", "x421211", "x123123"])
    result = nas("score", "--space", "nasbench201", "--proxy", "az_nas", "--archs", str(cells), "--output", str(output),
                 *settings(*SMALL))  # fmt: skip
    assert result.exit_code == 0, result.output
    from pyarrow import parquet

    columns = parquet.read_table(output).to_pydict()
    parts = ["az_expressivity", "az_progressivity", "az_trainability", "macs"]
    ranks = [np.argsort(np.argsort(columns[part])) + 1 for part in parts]
    assert columns["az_nas"] == pytest.approx(np.log(np.array(ranks) / 3).sum(0).tolist())


def test_shares_of_layers_are_kept_on_request(tmp_path: Path) -> None:
    job, space = command.job_and_space(request(proxies="gradsign"))
    rows = scoring.rows_of_sample(space, 2, seed=0)
    output = tmp_path / "s.csv"
    command.perform(job, rows, output, lambda event: None, workers=1, layers=True)
    lines = [json.loads(line) for line in scoring.layer_file(command.journal_file(output)).read_text().splitlines()]
    totals = {line["index"]: sum(line["layers"]["gradsign"].values()) for line in lines}
    assert [totals[i] for i in range(2)] == [float(row["gradsign"]) for row in read(output)]


class Wrong(Proxy):
    """A proxy that is no number for one kind of network."""

    def __call__(self, passes: Passes) -> Score:
        return Score(float("nan") if len(passes.weights) < 10 else 1.0)


def test_a_proxy_of_the_user_and_missing_scores_with_their_reason(tmp_path: Path) -> None:
    cells = write_cells(tmp_path / "c.csv", ["x333333", "x000000"])
    name = "tests.service.run.test_scoring:Wrong"
    result = nas("score", "--space", "nasbench201", "--proxy", name, "--archs", str(cells), "--output",
                 str(tmp_path / "s.csv"), "--workers", "1", *settings(*SMALL))  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = read(tmp_path / "s.csv")
    assert [row[name] for row in rows] == ["1.0", ""]
    assert "nan" in rows[1]["score_reason"]
    assert "1 of 2" in result.stdout


MISTAKES = [
    (["--space", "nasbench202", "--proxy", "snip", "--sample", "2"], "did you mean nasbench201"),
    (["--space", "nasbench201", "--proxy", "gradsgn", "--sample", "2"], "did you mean gradsign"),
    (["--space", "nasbench201", "--proxy", "snip"], "exactly one of --archs"),
    (["--space", "nasbench201", "--sample", "2"], "--proxy: must name"),
    (["--proxy", "snip", "--sample", "2"], "--space: must be given"),
    (["--space", "nasbench201", "--proxy", "snip", "--archs", "away.csv"], "away.csv"),
    (["--space", "nasbench201", "--proxy", "snip", "--archs", "wrong.csv"], "line 3"),
    (["--space", "nasbench201", "--proxy", "snip", "--archs", "columns.csv"], "arch_str"),
    (["--space", "nasbench201", "--proxy", "snip", "--sample", "2", "--output", "s.txt"], ".csv or .parquet"),
    (["--space", "nasbench201", "--proxy", "snip", "--sample", "2", "--set", "proxies.batch=9999"], "proxies.batch"),
    (["--space", "nasbench201", "--proxy", "gradsign", "--sample", "2",
      "--set", "proxies.options.gradsign.reduktion=sum"], "did you mean reduction"),
    (["--space", "nasbench201", "--proxy", "snip", "--sample", "2", "--data", "none.npz"], "none.npz"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_every_mistake_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cells(tmp_path / "wrong.csv", ["x333333", "x33333"])
    (tmp_path / "columns.csv").write_text("name,accuracy\na,1\n")
    lines = lines_of_failure(nas("score", *arguments))
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "scores.csv").exists()


@pytest.mark.integration
def test_benchmark_of_proxies_says_how_they_rank(tmp_path: Path) -> None:
    space = nasbench201(cells=1, width=4, image_size=8)
    generator = np.random.default_rng(0)
    drawn = [space.sample(generator) for _ in range(30)]
    table = tmp_path / "table.csv"
    accuracies = space.costs(drawn)["params"] / 400
    table.write_text(
        "arch_str,accuracy\n" + "".join(f"{to_string(a)},{p}\n" for a, p in dict(zip(drawn, accuracies)).items())
    )
    arguments = ["benchmark", "proxies", "--space", "nasbench201", "--table", str(table), "--column", "accuracy",
                 "--proxy", "l2_norm", "--output", str(tmp_path / "p.csv"), *settings(*SMALL)]  # fmt: skip
    assert "provenance" in lines_of_failure(nas(*arguments))[0]
    result = nas(*arguments, "--provenance", "dataset=own,epochs=1,split=validation,seeds=1")
    assert result.exit_code == 0, result.output
    rows = {row["proxy"]: row for row in read(tmp_path / "p.agreement.csv")}
    assert float(rows["params"]["spearman"]) == 1.0
    assert float(rows["params"]["kendall_low"]) == 1.0
    assert 0 < float(rows["l2_norm"]["spearman"]) <= 1
    assert float(rows["l2_norm"]["seconds_alone"]) > 0


def test_images_with_nan_are_refused() -> None:
    job, _ = command.job_and_space(request(proxies="gradsign"))
    images = torch.zeros(4, 3, 8, 8)
    images[0, 0, 0, 0] = torch.nan
    scorer = scoring.make_scorer(job, ["gradsign"], (images, torch.zeros(4, dtype=torch.long)))
    with pytest.raises(ValueError, match=r"1 of 768 values are not finite"):
        scorer(scorer.space.largest())


def test_a_space_without_supernet_is_refused_before_training(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text("name: a\nspace: {name: nasbench101}\ndata: {source: noise}\n")
    lines = lines_of_failure(nas("run", str(job), "--output", str(tmp_path / "run")))
    assert lines == [
        "nas: space.name: nasbench101 has no supernet to train; its architectures are scored with: nas score"
    ]
    assert not (tmp_path / "run").exists()
