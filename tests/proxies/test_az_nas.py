"""The three scores of AZ-NAS equal their published definitions."""

import numpy as np
import pytest
import torch
from torch import nn

from proxies import Passes, Score, ScoreError, score
from proxies.az_nas import Expressivity, Progressivity, Trainability, block_features, feature_blocks
from proxies.redrawn import draw_kaiming
from tests.proxies import reference_statistics as reference
from tests.proxies.networks import classified
from tests.proxies.statistics_networks import PROXIES, Residual, network, passes_of


def test_az_nas_equals_its_definition(images, labels):
    passes = passes_of("residual", images, labels)
    generator, model = passes.generator("az_nas"), network("residual")
    draw_kaiming(model, generator)
    x = torch.randn(16, 3, 8, 8, generator=generator).requires_grad_()
    maps = [model[0](x)]
    for block in model[1:4]:
        maps.append(block(maps[-1]))
    expected = reference.entropies(maps)
    assert Expressivity(batch=16)(passes).value == pytest.approx(expected.sum(), rel=1e-4)
    assert Progressivity(batch=16)(passes).value == pytest.approx(np.diff(expected).min(), abs=1e-4)
    generator, signs = passes.generator("az_nas gradients"), []
    for feature in maps[:0:-1]:
        draws = torch.rand(feature.permute(0, 2, 3, 1).shape, generator=generator).permute(0, 3, 1, 2)
        signs.append(torch.where(draws < 0.5, 1.0, -1.0))
    assert Trainability(batch=16)(passes).value == pytest.approx(reference.trainability(maps, signs), rel=1e-4)


def test_az_nas_takes_the_blocks_a_model_names_and_else_finds_them(images, labels):
    model = network("residual")
    assert feature_blocks(model) == [model[0][1], model[1], model[2], model[3]]

    class Named(nn.Sequential):
        def blocks(self):
            return [self[0], self[2]]

    named = Named(*model)
    assert feature_blocks(named) == [named[0], named[2]]
    assert len(block_features(Passes(named, classified(images, labels)), 2)) == 2
    assert [type(m) for m in feature_blocks(network("plain"))] == [nn.Conv2d, nn.Conv2d]


def test_trainability_is_best_for_an_orthogonal_block_and_needs_one_that_does_something(images, labels):
    class Blocks(nn.Sequential):
        def blocks(self):
            return [self[0], self[1]]

    class Flip(nn.Module):
        def forward(self, x):
            return -x

    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    flipped = Passes(Blocks(nn.Conv2d(3, 4, 3), Flip(), *head), classified(images, labels))
    assert Trainability(batch=64)(flipped).value == pytest.approx(0, abs=0.02)
    same = Passes(Blocks(nn.Conv2d(3, 4, 3), nn.Identity(), *head), classified(images, labels))
    with pytest.raises(ScoreError, match="unchanged"):
        Trainability()(same)


def test_az_nas_scores_odd_sizes_and_blocks_that_give_nothing(images, labels):
    class Nothing(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Conv2d(4, 4, 1)

        def forward(self, x):
            return x * 0

    odd = nn.Sequential(nn.Conv2d(3, 4, 2), Residual(4, 4, 1), Residual(4, 6, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    parts = {key: PROXIES[key] for key in ("az_expressivity", "az_progressivity", "az_trainability")}
    assert all(isinstance(s, Score) for s in score(odd, classified(images, labels), parts).values())
    dead = nn.Sequential(nn.Conv2d(3, 4, 2), Residual(4, 4, 1), Nothing(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    results = score(dead, classified(images, labels), parts)
    assert "constant" in str(results["az_expressivity"])
