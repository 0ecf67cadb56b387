"""What all proxies from statistics of features, gradients and activations have in common."""

from copy import deepcopy

import pytest
import torch

from proxies import Score, ScoreError, score
from proxies.linear_regions import LinearRegions
from proxies.meco import MeCo
from proxies.nasi import Nasi
from proxies.ntk import Ntk
from proxies.swap import Swap
from proxies.zen import Zen
from proxies.zico import ZiCo
from tests.proxies.networks import classified
from tests.proxies.statistics_networks import CNNS, PROXIES, network


@pytest.mark.parametrize("name", CNNS)
def test_scores_are_deterministic_independent_of_each_other_and_leave_the_model_alone(name, images, labels):
    model = network(name).eval()
    before = deepcopy(model.state_dict())
    together = score(model, classified(images, labels), PROXIES)
    reverse = score(model, classified(images, labels), dict(reversed(PROXIES.items())))
    for key, result in together.items():
        assert isinstance(result, Score), f"{key}: {result}"
        assert score(model, classified(images, labels), {key: PROXIES[key]})[key] == result == reverse[key]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_the_seed_matters_where_something_is_drawn(images, labels):
    drawn = {k: PROXIES[k] for k in ("zen", "meco", "linear_regions", "az_expressivity", "az_trainability")}
    first, second = (score(network("plain"), classified(images, labels), drawn, seed=seed) for seed in (0, 1))
    assert all(first[k].value != second[k].value for k in drawn)


def test_a_network_without_what_a_proxy_needs_has_no_score_and_says_why(images, labels):
    scores = score(network("mlp"), classified(images, labels), PROXIES)
    without = {key for key, s in scores.items() if isinstance(s, ScoreError)}
    assert without == {key for key in PROXIES if key.startswith(("zen", "linear", "az"))} | {"meco"}
    assert "fails on inputs" in str(scores["meco"])
    assert "batch norm" in str(scores["zen"])
    assert "ReLU on feature maps" in str(scores["linear_regions"])
    assert "blocks" in str(scores["az_progressivity"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Zen(repeats=0),
        lambda: ZiCo(batches=1),
        lambda: MeCo(size=1),
        lambda: Swap(samples=63),
        lambda: Swap(mu=1.0),
        lambda: Ntk(samples=1),
        lambda: Nasi(samples=0),
        lambda: LinearRegions(inputs=0),
    ],
)
def test_options_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match=r"\d"):
        make()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", CNNS)
def test_scores_on_a_gpu_are_finite_and_those_without_random_draws_agree(name, images, labels):
    there = score(network(name).cuda(), classified(images, labels), PROXIES)
    here = score(network(name), classified(images, labels), PROXIES)
    assert all(isinstance(s, Score) for s in there.values())
    for key in ("zico", "ntk", "ntk_sample", "nasi"):
        assert there[key].value == pytest.approx(here[key].value, rel=0.05)
    assert there["swap"].value == pytest.approx(here["swap"].value, rel=0.02)
