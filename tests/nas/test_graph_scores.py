"""Scores without training of networks for graphs: the examples are nodes."""

import math

import numpy as np
import pytest
import torch

from nas.scoring import Scorer
from search_spaces.families.gnn import gnn
from service import catalogue
from supernets.tasks.nodes import Nodes

SPACE = gnn(nodes=24, features=8, links=40, classes=3, heads=(1, 2), widths=(3, 4))
BATCH = (torch.arange(8), torch.arange(8) % 3)


def scored(*names: str):
    proxies = {name: catalogue.make("proxy", name) for name in names}
    scorer = Scorer(space=SPACE, proxies=proxies, task=Nodes(3), batch=BATCH)
    return scorer(SPACE.sample(np.random.default_rng(1)))


def test_scores_by_gradients_of_the_whole_batch_are_there():
    found = scored("grad_norm", "snip", "plain", "l2_norm", "params", "macs")
    assert not found.reasons
    assert all(math.isfinite(value) for value in found.values.values())
    assert found.values["grad_norm"] > 0


@pytest.mark.parametrize("name", ["gradsign", "nasi"])
def test_scores_by_gradients_of_single_examples_say_that_they_have_none(name):
    found = scored(name)
    assert not found.values
    assert "\n" not in found.reasons[name]
    assert "no per-sample gradient" in found.reasons[name]
