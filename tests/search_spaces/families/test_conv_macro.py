"""The convolutional space of TangleNAS against its table and a count by hand."""

import csv
import gzip

import numpy as np
import pytest

from search_spaces import InvalidArchitecture
from search_spaces.families.conv_macro import conv_macro
from tests.search_spaces.counting import counted_costs

BEST = {"c1": "32", "c2": "64", "c3": "128", "c4": "128", "k1": "3", "k2": "7", "k3": "5", "k4": "7"}


def test_the_table_holds_every_architecture_once_and_the_published_optimum(shared_data):
    space = conv_macro()
    with gzip.open(shared_data / "tanglenas" / "conv_macro_cifar10.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    assert len({space.read_row(row) for row in rows}) == len(rows) == space.count() == 6_561
    best = max(rows, key=lambda row: float(row["test_acc"]))
    assert space.read_row(best) == space.read_row(BEST)
    assert float(best["test_acc"]) == pytest.approx(84.41)


def test_the_smallest_has_the_parameters_counted_by_hand():
    space = conv_macro()
    convolutions = (9 * 3 * 8 + 8) + (9 * 8 * 16 + 16) + (9 * 16 * 32 + 32) + (9 * 32 * 64 + 64)
    last = 49 * 64 * 256 + 256
    linear = (9216 * 256 + 256) + (256 * 128 + 128) + (128 * 64 + 64) + (64 * 10 + 10)
    assert space.costs([space.smallest()])["params"][0] == convolutions + last + linear


@pytest.mark.parametrize("options", [{}, {"image_size": 20, "channels": 1, "classes": 4}])
def test_analytic_cost_equals_that_of_the_built_network(options):
    space = conv_macro(**options)
    drawn = [space.smallest(), space.largest(), *(space.sample(np.random.default_rng(i)) for i in range(3))]
    costs = space.costs(drawn)
    counted = [counted_costs(space.subnet(architecture), space.inputs[0].shape) for architecture in drawn]
    assert counted == list(zip(costs["params"].tolist(), costs["macs"].tolist()))


@pytest.mark.parametrize(("column", "text"), [("c1", "9"), ("k4", "x")])
def test_other_widths_and_kernels_are_refused(column, text):
    with pytest.raises(InvalidArchitecture, match=text):
        conv_macro().read_row({**BEST, column: text})


def test_images_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match="image_size must be at least 12, got 8"):
        conv_macro(image_size=8)
