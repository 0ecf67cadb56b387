"""`nas retrain --scratch`: members of a front, trained alone from fresh weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.export import load_network
from search_spaces.families.darts import darts
from service.job.building import build_space
from service.job.loading import job_of, load_job
from service.run.from_scratch import alone_config, larger
from service.run.run import run
from service.run.stages.plan import Plan
from service.run.stages.scratch import Scratch
from supernets import Supernet, TrainConfig
from tests.service.test_cli import lines_of_failure, nas
from tests.service.trained_job import keys_of, trained_job


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = trained_job(tmp_path_factory.mktemp("scratch") / "job")
    Supernet(build_space(load_job(folder))).save(folder / "supernet.safetensors")
    return folder


def test_a_member_is_trained_once_and_again_where_more_is_asked_for(job: Path) -> None:
    key = keys_of(job)[0]
    done = nas("retrain", str(job), "--scratch", "--member", key, "--epochs", "0.5", "--network", "stem_width=4")
    assert done.exit_code == 0, done.output
    assert "Trained alone from fresh weights" in done.stdout
    place = job / "scratch" / key
    record = json.loads((place / "result.json").read_text())
    assert (record["epochs"], record["network"]["stem_width"], record["cutout"]) == (0.5, 4, 0)
    assert record["lr"] == load_job(job).train.lr, "the weights are fresh: the rate is not lowered"
    weights, before = place / "weights.safetensors", (place / "weights.safetensors").read_bytes()
    assert Scratch(members=[key]).is_done(job)
    assert not Scratch(members=[key], network={"stem_width": 8}).is_done(job)
    assert not Scratch(members=[key], epochs=0.25).is_done(job)
    plan = Plan(stages=("scratch",), options={"scratch": {"members": [key], "epochs": 0.25}})
    run(job, load_job(job), lambda event: None, plan)
    again = json.loads((place / "result.json").read_text())
    assert (again["epochs"], "stem_width" in again["network"]) == (0.25, False)
    assert weights.read_bytes() != before
    assert again["costs"]["params"] > record["costs"]["params"]
    assert not (job / "retrain").exists(), "fine-tuned networks lie elsewhere"


def test_the_network_is_exported_with_the_sizes_that_it_was_trained_in(job: Path, tmp_path: Path) -> None:
    first, second = keys_of(job)
    options = {"members": [second], "epochs": 0.25, "network": {"stem_width": 4}}
    run(job, load_job(job), lambda event: None, Plan(stages=("scratch",), options={"scratch": options}))
    more = ["--weights", "scratch", "--format", "safetensors", "--output", str(tmp_path)]
    done = nas("export", str(job), "--member", second, *more)
    assert done.exit_code == 0, done.output
    card = json.loads((tmp_path / second / "card.json").read_text())
    record = json.loads((job / "scratch" / second / "result.json").read_text())
    assert card["space"]["options"]["stem_width"] == 4
    assert card["costs"]["params"]["value"] == record["costs"]["params"]
    assert (card["accuracy"]["test"], card["measured"]) == (record["retrained_test_quality"], {})
    network = load_network(tmp_path / second / "card.json")
    with np.load(tmp_path / second / "example.npz") as example:
        name = next(name for name in example.files if name != "output")
        assert torch.allclose(network(torch.from_numpy(example[name])), torch.from_numpy(example["output"]), atol=1e-5)
    (line,) = lines_of_failure(nas("export", str(trained_job(tmp_path / "other")), "--member", first, *more))
    assert f"{first} was not trained from scratch; do that with: nas retrain" in line


def test_the_network_is_that_of_the_paper_with_the_options_of_the_command() -> None:
    """The supernet is small, entangled and without weights in its norms; single networks of the paper are not."""
    searched = {"width": 4, "cells": 5, "shared_affine": False, "entangled": True}
    fields = {"name": "a", "data": {"source": "noise", "image_size": 32}}
    job = job_of({**fields, "space": {"name": "darts", "options": searched}, "train": {"lr": 0.025, "lr_end": 0.001}})
    published, full = larger(job, {}, None)
    expected = {"width": 36, "cells": 20, "shared_affine": True, "entangled": False}
    assert {name: published.space.options[name] for name in searched} == expected
    assert alone_config(job.train, full, None, None).epochs == 600
    smaller, space = larger(job, {"cells": 8}, 16)
    assert (smaller.space.options["cells"], smaller.space.options["width"], smaller.data.cutout) == (8, 36, 16)
    costs = space.costs([space.largest()])["params"]
    assert costs == darts(width=36, cells=8).costs([space.largest()])["params"]
    config = alone_config(job.train, space, 3, 0.1)
    assert (config.epochs, config.lr, config.lr_end, config.relaxation) == (3, 0.1, 0.001, None)
    given = TrainConfig(optimizer="adamw", beta2=0.98, lr_schedule="inverse_sqrt", accumulate=4)
    config = alone_config(given, space, 3, None)
    assert (config.optimizer, config.beta2, config.lr_schedule) == ("adamw", 0.98, "inverse_sqrt")
    assert config.accumulate == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--scratch", "--network", "stem_widht=4"], "has no option 'stem_widht'; did you mean stem_width or"),
        (["--scratch", "--network", "stem_width=0"], "stem_width must be"),
        (["--scratch", "--network", "stem_width"], "--network: must be NAME=VALUE, got 'stem_width'"),
        (["--scratch", "--epochs", "0"], "epochs must be more than 0"),
        (["--scratch", "--cutout", "-1"], "cutout must be 0 or more pixels"),
        (["--scratch", "--member", "nobody"], "'nobody' is not on the front"),
        (["--scratch", "--distil"], "--distil: must be left out with --scratch"),
        (["--scratch", "--teacher", "resnet18"], "--teacher: must be left out with --scratch"),
        (["--network", "stem_width=4"], "--network: must be left out without --scratch"),
        (["--cutout", "4"], "--cutout: must be left out without --scratch"),
        (["--teacher", "no/such"], "--teacher: no/such does not exist"),
        (["--teacher", "resnot18"], "resnot18"),
        (["--member", "nobody"], "'nobody' is not on the front"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_mistakes_are_one_line_before_anything_runs(job: Path, more: list[str], message: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in job.rglob("*") if path.name != "lock"}
    result = nas("retrain", str(job), *more)
    (line,) = lines_of_failure(result)
    assert message in line
    assert not result.stdout.strip()
    assert {path: path.stat().st_mtime_ns for path in job.rglob("*") if path.name != "lock"} == before
