"""Zen and MeCo, from statistics of features, equal their published definitions."""

import numpy as np
import pytest
import torch
from torch import nn

from proxies import Passes, ScoreError
from proxies.meco import MeCo, correlation
from proxies.redrawn import draw_gaussian, draw_kaiming
from proxies.zen import Zen, ZenRunning, features
from tests.proxies import reference_statistics as reference
from tests.proxies.networks import classified
from tests.proxies.statistics_networks import BEFORE_POOLING, CNNS, network, passes_of


@pytest.mark.parametrize("variance", ["batch", "running"])
@pytest.mark.parametrize("name", CNNS)
def test_zen_equals_its_definition(name, variance, images, labels):
    passes = passes_of(name, images, labels)
    generator, model, expected = passes.generator("zen"), network(name), []
    for _ in range(2):
        draw_gaussian(model, generator)
        x = torch.randn(4, 3, 8, 8, generator=generator)
        noisy = x + 0.01 * torch.randn(4, 3, 8, 8, generator=generator)
        expected.append(reference.zen(model, x, noisy, model[BEFORE_POOLING[name]], running=variance == "running"))
    assert Zen(repeats=2, batch=4, variance=variance)(passes).value == pytest.approx(np.mean(expected), rel=1e-4)


def test_zen_is_the_formula_of_the_paper_and_zen_running_the_released_code(images, labels):
    passes = passes_of("plain", images, labels)
    assert Zen() == Zen(variance="batch")
    assert ZenRunning()(passes) == Zen(variance="running")(passes) != Zen()(passes)


def test_zen_weights_are_standard_normal_and_kaiming_ones_have_their_variance():
    for draw, deviation in ((draw_gaussian, 1), (draw_kaiming, (2 / (32 * 9)) ** 0.5)):
        model = nn.Sequential(nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64)).to(memory_format=torch.channels_last)
        nn.init.zeros_(model[1].weight)
        draw(model, torch.Generator().manual_seed(0))
        weight = model[0].weight.detach()
        assert float(weight.std()) == pytest.approx(deviation, rel=0.02)
        assert abs(float(weight.mean())) < 0.02 * deviation
        assert float(model[0].bias.detach().abs().max()) == 0
        assert torch.equal(model[1].weight, torch.ones(64))


def test_zen_features_end_before_the_global_pool_and_not_inside_squeeze_and_excitation():
    class Squeezed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.gate, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 7, 1)

        def forward(self, x):
            x = self.conv(x)
            self.seen = x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
            return self.head(nn.functional.adaptive_avg_pool2d(self.seen, 1)).relu().flatten(1)

    model = Squeezed()
    assert torch.equal(features(model, torch.ones(2, 3, 6, 6)), model.seen)
    flat = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 2))
    assert features(flat, torch.ones(2, 3, 6, 6)).shape == (2, 4, 4, 4)


def test_zen_leaves_out_a_norm_behind_nothing_and_works_without_running_statistics(images, labels):
    class Dead(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x):
            return x + self.norm(0 * x)

    bare, dead = network("plain"), nn.Sequential(Dead(), *network("plain"))
    untracked = network("plain")
    untracked[1] = nn.BatchNorm2d(6, track_running_stats=False)
    scores = [Zen(batch=4)(Passes(m, classified(images, labels))).value for m in (bare, dead, untracked)]
    assert scores[0] == scores[1] == scores[2]


@pytest.mark.parametrize("leaves_only", [False, True])
@pytest.mark.parametrize("name", CNNS)
def test_meco_equals_its_definition(name, leaves_only, images, labels):
    passes = passes_of(name, images, labels)
    image = torch.randn(1, 3, 16, 16, generator=passes.generator("meco"))
    expected = reference.meco(network(name), image, leaves_only=leaves_only)
    value = MeCo(size=16, leaves_only=leaves_only)(passes).value
    assert value == pytest.approx(expected, abs=1e-4)
    assert value > 0


def test_meco_of_opposite_channels_is_zero():
    rows = torch.tensor([[1.0, 2.0, 4.0], [-1.0, -2.0, -4.0]])
    matrix = correlation(rows)
    assert matrix.tolist() == [[pytest.approx(1), pytest.approx(-1)], [pytest.approx(-1), pytest.approx(1)]]
    assert float(torch.linalg.eigvalsh(matrix)[0]) == pytest.approx(0, abs=1e-6)
    assert correlation(torch.ones(2, 5)).abs().max() == 0


def test_meco_of_a_network_without_maps_has_no_score(images, labels):
    with pytest.raises(ScoreError, match="more positions than channels"):
        MeCo(size=8)(passes_of("mlp", images, labels))


def test_meco_opt_is_one_of_the_choices_of_channels_times_its_share(images, labels):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    passes = Passes(model, classified(images, labels))
    value = MeCo(size=16, channels=2, leaves_only=True)(passes).value
    image = torch.randn(1, 3, 16, 16, generator=passes.generator("meco"))
    matrix = np.corrcoef(model[0](image)[0].detach().flatten(1).numpy())
    choices = [2 * (1 - abs(matrix[i, j])) for i in range(4) for j in range(i)]
    assert min(abs(value - choice) for choice in choices) < 1e-4
    assert MeCo(size=16, channels=4)(passes).value == pytest.approx(MeCo(size=16)(passes).value, abs=1e-6)
