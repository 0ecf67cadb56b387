"""What the benchmarks of learned architectures show, look up and do once."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.relaxed_nasbench201 import Published, skips
from benchmarks.relaxed_rows import Row, ShortEpochs, scaled_lr, steps
from search_spaces.families.nasbench201 import nasbench201
from supernets.training.halves import Halves


class Rows:
    """A split whose batches are the numbers of their examples."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batches(self, batch_size, *, epoch, seed, start, rank, world_size, order=None):
        for i in range(start, self.count // batch_size):
            rows = order[i * batch_size : (i + 1) * batch_size]
            yield rows, rows


def test_short_epochs_show_everything_in_turn_and_keep_the_halves_apart():
    data, halves = ShortEpochs(Rows(100), 30), Halves(30, 0.5, batch_size=10, seed=1)  # type: ignore[arg-type]
    assert (len(data), data.steps(10)) == (30, 3)
    of_weights, of_logits = set[int](), set[int]()
    for epoch in range(9):
        given = {"epoch": epoch, "seed": 0, "rank": 0, "world_size": 1, "order": halves.order(epoch)}
        batches = list(data.batches(10, start=0, **given))
        shown = torch.cat([batch[0] for batch in batches])
        assert len(set(shown.tolist())) == 30
        assert torch.equal(next(iter(data.batches(10, start=2, **given)))[0], batches[2][0]), "as after a resume"
        for batch in batches:
            first, second = halves.divided(batch)
            of_weights |= set(first[0].tolist())
            of_logits |= set(second[0].tolist())
    assert not of_weights & of_logits
    assert len(of_weights | of_logits) == 90, "three parts of 30, in turn"


def test_an_answer_that_the_table_lacks_has_the_accuracy_of_those_with_its_function():
    space = nasbench201()
    known = {space.read_row({"cell": cell}): value for cell, value in (("x111110", 60.0), ("x333333", 90.0))}
    published = Published(percent=known)
    assert published.found(space.read_row({"cell": "x333333"}))["accuracy"] == 90.0
    same = published.found(space.read_row({"cell": "x333333"}))
    assert (same["in_table"], same["percentile"]) == (True, 75.0)
    skip_only = published.found(space.read_row({"cell": "x111110"}))
    assert (skip_only["accuracy"], skip_only["percentile"]) == (60.0, 25.0)
    assert published.found(space.read_row({"cell": "x444444"}))["accuracy"] is None
    alike = {"x113003": 80.0, "x131003": 82.0}  # of the same function as the one below
    other = Published(percent={space.read_row({"cell": cell}): value for cell, value in alike.items()})
    found = other.found(space.read_row({"cell": "x311003"}))
    assert found == {"accuracy": 81.0, "percentile": 50.0, "in_table": False}


def test_edges_that_prefer_a_skip_are_counted_by_epoch():
    epochs = {
        2: {"edge0_1/none": 0.6, "edge0_1/skip_connect": 0.4, "edge0_2/none": 0.1, "edge0_2/skip_connect": 0.9},
        1: {"edge0_1/none": 0.4, "edge0_1/skip_connect": 0.6, "edge0_2/none": 0.1, "edge0_2/skip_connect": 0.9},
    }
    assert skips(epochs) == [2, 1]


def test_a_row_is_made_once_and_again_with_other_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    calls = []

    def make(row, spent):
        calls.append(row.seed)
        return {"accuracy": 1.0, "curve": [1, 2]}

    for settings in ({"epochs": 1}, {"epochs": 1}, {"epochs": 2}):
        row = Row(output=tmp_path, name="drnas", seed=3, settings=settings).made(make)
    assert calls == [3, 3]
    assert row["curve"] == [1, 2]
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [sorted(line) for line in printed] == [["accuracy", "method", "processor_s", "seed"]] * 2


def test_adam_moves_as_far_in_fewer_steps():
    assert steps(960, 64, 60) == 900
    assert scaled_lr(3e-4, 19_500, 900) * 900 == pytest.approx(3e-4 * 19_500)
