"""SWAP and linear regions, from patterns of activations, equal their published definitions."""

from math import exp

import numpy as np
import pytest
import torch
from torch import nn

from proxies import Passes, ScoreError
from proxies.linear_regions import LinearRegions, distinct_rows
from proxies.swap import Swap, distinct_columns
from tests.proxies import reference_statistics as reference
from tests.proxies.networks import classified
from tests.proxies.statistics_networks import CNNS, NETWORKS, Residual, network, passes_of

BITS = torch.tensor([[1, 1, 0, 0, 1], [0, 0, 1, 0, 1], [1, 1, 1, 0, 1]], dtype=torch.bool)


@pytest.mark.parametrize("samples", [3, 8])
@pytest.mark.parametrize("name", NETWORKS)
def test_swap_equals_its_definition(name, samples, images, labels):
    patterns = reference.relu_patterns(network(name), images[:samples])
    expected = np.unique(patterns, axis=1).shape[1]
    result = Swap(samples=samples)(passes_of(name, images, labels))
    assert result.value == expected


def test_swap_counts_columns_and_linear_regions_count_rows():
    assert distinct_columns([BITS]) == 4
    assert distinct_columns([BITS[:, :2], BITS[:, 2:]]) == 4
    assert len(distinct_rows([BITS])) == 3
    assert len(distinct_rows([BITS[:, :3], BITS[:, 3:]])) == 3


def test_swap_counts_the_same_by_table_and_by_sorting():
    signs = torch.rand(40, 500, generator=torch.Generator().manual_seed(0)) < 0.02
    for samples in (18, 40):
        assert distinct_columns([signs[:samples]]) == np.unique(signs[:samples].numpy(), axis=1).shape[1]


def test_swap_regularised_punishes_other_sizes(images, labels):
    passes = passes_of("mlp", images, labels)
    thousands = sum(p.numel() for p in passes.model.parameters()) / 1000
    bare = Swap()(passes).value
    assert Swap(mu=thousands, sigma=1.0)(passes).value == pytest.approx(bare)
    assert Swap(mu=thousands + 2, sigma=8.0)(passes).value == pytest.approx(bare * exp(-0.5))


@pytest.mark.parametrize("name", CNNS)
def test_linear_regions_of_the_network_itself_equal_their_definition(name, images, labels):
    passes, proxy = passes_of(name, images, labels), LinearRegions(inputs=20, batches=2, thin=False)
    crops = proxy._crops(passes, passes.generator("linear_regions"))
    assert crops.shape == (40, 3, 3, 3)
    rows = np.concatenate([reference.relu_patterns(network(name), batch) for batch in crops.split(20)])
    assert proxy(passes).value == np.unique(rows, axis=0).shape[0]


def test_linear_regions_are_those_of_a_copy_whose_widths_are_divided_by_the_first(images, labels):
    passes, proxy = passes_of("residual", images, labels), LinearRegions(inputs=50, batches=2)
    generator = passes.generator("linear_regions")
    crops = proxy._crops(passes, generator)
    assert crops.shape == (100, 1, 3, 3)
    thin = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 1, 3, 1, 1, bias=False), nn.BatchNorm2d(1)),
        Residual(1, 1, 1),
        Residual(1, 2, 2),
        Residual(2, 2, 1),
        nn.Sequential(nn.BatchNorm2d(2), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2, 1),
    )
    nn.init.zeros_(thin[2].skip.bias)
    for module in (m for m in thin.modules() if isinstance(m, (nn.Conv2d, nn.Linear))):  # here in order of execution
        drawn = torch.randn(module.weight.shape, generator=generator)
        module.weight.data = drawn * (2 / drawn[0].numel()) ** 0.5
    rows = np.concatenate([reference.relu_patterns(thin, batch) for batch in crops.split(50)])
    value = proxy(passes).value
    assert value == np.unique(rows, axis=0).shape[0]
    assert 1 < value < 100


def test_linear_regions_have_no_score_where_tiny_inputs_do_not_fit(images, labels):
    model = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ScoreError, match="fails on inputs"):
        LinearRegions()(Passes(model, classified(images, labels)))
    with pytest.raises(ScoreError, match="crops"):
        LinearRegions(size=9)(passes_of("plain", images, labels))
