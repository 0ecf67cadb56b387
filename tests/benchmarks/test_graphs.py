"""The benchmark of graphs: the epoch that validation chooses, and rows that are made once."""

import argparse
import json

import numpy as np
import torch
from torch import nn

from benchmarks.graphs import Comparison, Followed
from nas.data import DataConfig
from nas.data.sources.planetoid import open_planetoid


class Steps(nn.Module):
    """A network whose logits are given for each call of `advance`."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits, self.step = logits, 0

    def forward(self, nodes: torch.Tensor) -> torch.Tensor:
        return self.logits[self.step][nodes]


def comparison(folder, **options) -> Comparison:
    nodes = np.arange(30)
    path = folder / "ring.npz"
    np.savez(path, x=np.eye(3)[nodes % 3], edges=np.stack([nodes, (nodes + 3) % 30], 1), labels=nodes % 3)
    source = open_planetoid(DataConfig(source="planetoid", path=str(path)))
    given = argparse.Namespace(output=folder / "rows", **options)
    return Comparison(arguments=given, source=source, data=source.load(torch.device("cpu")))


def test_the_test_accuracy_is_that_of_the_epoch_chosen_by_validation(tmp_path):
    made = comparison(tmp_path)
    labels = torch.arange(30) % 3
    (validation,), (test,) = made.data.validation.sequential(99), made.data.test.sequential(99)
    right = nn.functional.one_hot(labels, 3).float()
    wrong = right.roll(1, dims=1)
    logits = torch.stack([wrong, right, 2 * right, 3 * right])
    logits[2][test[0]] = wrong[test[0]]  # surest of validation nodes: this epoch is chosen
    logits[3][validation[0]] = wrong[validation[0]]
    followed, network = Followed(made.data, made.task, tests=True), Steps(logits)
    for step in range(4):
        network.step = step
        followed(network)
    assert followed.row() == {"validation": 100.0, "test": 0.0, "look": 2}


def test_rows_are_made_once_and_answers_follow_validation(tmp_path):
    options = {"epochs": 3, "evaluations": 3, "search_epochs": 2, "macs": 1e9, "searchers": ["conservative"]}
    made = comparison(tmp_path, **options, shared=True, seeds=1, top=2)
    made.searches()
    rows = {path: path.stat().st_mtime_ns for path in (tmp_path / "rows").rglob("row.json")}
    found = json.loads(next(path for path in rows if "search-conservative-seed" in str(path)).read_text())
    assert found["evaluated"] == 3
    assert len(found["best"]) == 2
    made.searches()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "rows").rglob("row.json")} == rows
