"""Jobs on graphs from their files to their reports."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data.load import open_source
from nas.export import load_network
from service.commands.compare import report
from service.errors import InvalidJob
from service.export.export_members import ExportRequest, export
from service.job.building import build_space, build_task, space_options
from service.job.folder import read_json
from service.job.loading import job_of, load_job
from service.job.outcomes_file import read_breakdown
from service.job.preparation import prepare_folder
from service.run.data_check import report_on_data
from service.run.run import run
from service.run.stages.plan import Plan
from service.run.stages.retrain import Retrain

SETTINGS = [
    *("train.optimizer=adam", "train.lr=0.05", "train.epochs=12", "train.batch_size=64", "train.label_smoothing=0"),
    *("search.searcher=conservative", "search.evaluations=5", "search.population=3", "tracking.enabled=false"),
    *("search.objectives=[quality, params]", "latency.repeats=5", "latency.warmup_s=0", "latency.min_time_ms=0"),
]
SPACE = {"name": "gnn", "options": {"heads": [1, 2], "widths": [2, 4], "dropout": 0.0}}


def graph(path: Path, *, several: bool = False, **changed) -> Path:
    """Three groups of nodes whose features and edges tell them apart."""
    generator, groups = np.random.default_rng(0), np.arange(60) % 3
    pairs = generator.integers(0, 60, (400, 2))
    near = groups[pairs[:, 0]] == groups[pairs[:, 1]]
    labels = np.stack([groups == 0, groups == 1, groups != 2], axis=1).astype(int) if several else groups
    arrays = {"x": generator.normal(size=(60, 5)) + 1.5 * np.eye(5)[groups], "edges": pairs[near], "labels": labels}
    np.savez(path, **{**arrays, **changed})
    return path


def fields(path: Path) -> dict:
    return {"name": "graph", "device": "cpu", "data": {"source": "planetoid", "path": str(path)}, "space": SPACE}


def ran(folder: Path, described: dict, *more: str, stop: int | None = None) -> Path:
    job = job_of(described, [*SETTINGS, *more])
    place = prepare_folder(job, folder)

    def told(event: dict) -> None:
        if event["event"] == "search" and event["done"] == stop:
            raise InterruptedError

    run(place, job, told, Plan())
    return place


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return graph(tmp_path_factory.mktemp("graphs") / "groups.npz")


def test_a_supernet_of_graph_networks_is_trained_searched_and_tested(place, tmp_path):
    folder = ran(tmp_path / "job", fields(place), "search.searcher=nsga2", "train.epochs=40")
    front = read_json(folder / "front.json")
    assert front["task"] == {**front["task"], "name": "nodes"}
    assert front["examples"] == {"validation": 6, "test": 12}
    best = max(front["members"], key=lambda member: member["values"]["accuracy"])
    assert best["test_quality"] > 34
    assert read_breakdown(folder, best["key"], "test").matrix is not None
    report([str(folder)])
    page = (folder / "report" / "report.html").read_text()
    assert "60 nodes with 5 features" in page
    assert "aggregate" in page
    job = load_job(str(folder))
    request = ExportRequest(
        folder=folder, job=job, members=[best["key"]], formats=("safetensors", "pt2"), weights="auto"
    )
    (made,) = export(request, lambda event: None)
    assert made.made == ["safetensors", "pt2"]
    with pytest.raises(ValueError, match="gnn' was made with graph, which the card does not hold: give it as `space`"):
        load_network(made.place / "card.json")
    kept = np.load(made.place / "example.npz")
    network = load_network(made.place / "card.json", space=build_space(job))
    assert np.allclose(network(torch.from_numpy(kept["input"])).detach(), kept["output"], atol=1e-5)


def members(folder: Path) -> list[tuple]:
    found = read_json(folder / "front.json")["members"]
    return [(one["key"], one["values"]["accuracy"], one["test_quality"]) for one in found]


@pytest.mark.parametrize("weights", ["fresh", "shared"])
def test_candidates_that_are_trained_alone_are_the_same_after_an_interruption(place, tmp_path, weights):
    alone = (f"search.alone.weights={weights}", "search.alone.epochs=15")
    whole = ran(tmp_path / "whole", fields(place), *alone)
    assert len(list((whole / "alone").glob("*.safetensors"))) == 5
    assert not (whole / "train").exists()
    header = json.loads((whole / "search" / "journal.jsonl").read_text().splitlines()[0])
    assert header["alone"] == {"epochs": 15, "weights": weights}
    with pytest.raises(InterruptedError):
        ran(tmp_path / "parts", fields(place), *alone, stop=2)
    assert members(ran(tmp_path / "parts", fields(place), *alone)) == members(whole)


def test_the_graph_is_given_to_the_space_and_is_no_option_of_a_card(place):
    options = space_options(job_of(fields(place), SETTINGS))
    assert json.loads(json.dumps(options)) == options
    assert (options["nodes"], options["classes"], options["heads"]) == (60, 3, [1, 2])


def test_candidates_that_were_trained_alone_are_not_fine_tuned_from_a_supernet(place, tmp_path):
    job = job_of(fields(place), [*SETTINGS, "search.alone.weights=fresh"])
    with pytest.raises(InvalidJob, match=r"trained alone, without a supernet to go on from; .* --scratch"):
        Retrain().check(job, tmp_path)


def test_files_of_a_graph_lie_beside_the_job_and_one_step_an_epoch_is_as_it_should_be(tmp_path):
    (tmp_path / "people.csv").write_text("age,label\n" + "".join(f"{node},{node % 4}\n" for node in range(40)))
    (tmp_path / "friends.txt").write_text("0 1\n1 2\n")
    data = {"source": "planetoid", "path": "people.csv", "options": {"edges": "friends.txt"}}
    (tmp_path / "job.yaml").write_text(json.dumps({"name": "graph", "data": data, "space": SPACE}))
    job = load_job(tmp_path / "job.yaml", ["train.batch_size=4096"])
    assert job.data.options["edges"] == str(tmp_path / "friends.txt")
    data = open_source(job.data).load(torch.device("cpu"))
    warnings = report_on_data(data, job, build_task(job)).warnings
    assert not [line for line in warnings if "train.batch_size" in line]


def test_several_labels_are_judged_by_their_f1(tmp_path):
    described = fields(graph(tmp_path / "several.npz", several=True))
    folder = ran(tmp_path / "job", described, "search.alone.weights=fresh", "train.epochs=40")
    front = read_json(folder / "front.json")
    assert front["task"]["metric"] == {"name": "micro_f1", "unit": "%", "maximise": True}
    assert max(member["test_quality"] for member in front["members"]) > 40


@pytest.mark.parametrize(
    ("changed", "sets", "message"),
    [
        ({"edges": np.array([[0, 60]])}, (), r"data: .*edges: edge 0 names node 60, nodes are 0 to 59"),
        ({"labels": np.arange(61) % 3}, (), r"data: .*61 nodes have labels and 60 have features; node 60 has none"),
        ({"train_mask": np.ones(3, bool)}, (), r"data: .*train_mask must be a boolean for each of 60 nodes"),
        ({}, ("space.options.memory_gb=1e-6",), r"space\.options\.memory_gb: must be at least 0\.0, which training"),
        ({}, ("space.options.classes=4",), r"space\.options\.classes: .*3"),
        ({}, ("search.alone.weights=old",), r"search\.alone\.weights"),
        (
            {},
            ("space.name=small_mobilenet_v3",),
            "space: small_mobilenet_v3 needs images or text, the data gives a graph",
        ),
        ({}, ("task.name=node_labels",), "task.name: must be nodes for the labels of these data, got 'node_labels'"),
        (
            {},
            ("search.alone.weights=fresh", "search.searcher=derived", "train.relaxation={}"),
            "search.alone.weights: must be supernet with derived, which reads the supernet, got 'fresh'",
        ),
        (
            {},
            (
                *("space.name=small_mobilenet_v3", "space.options={}", "data.source=noise", "data.path=null"),
                "search.alone.weights=shared",
            ),
            r"search\.alone\.weights: must be fresh or supernet, space small_mobilenet_v3 does not say",
        ),
    ],
)
def test_mistakes_are_told_in_one_line_before_any_work(tmp_path, changed, sets, message):
    described = fields(graph(tmp_path / "graph.npz", **changed))
    with pytest.raises(InvalidJob, match=message) as caught:
        job_of(described, [*SETTINGS, *sets])
    assert len(caught.value.mistakes) == 1
    assert "\n" not in caught.value.mistakes[0]
