"""The tangent kernel, its trace, and the variation of gradients between batches equal their definitions."""

from math import log

import numpy as np
import pytest
import torch

from proxies import Passes, ScoreError
from proxies.nasi import Nasi
from proxies.ntk import Ntk
from proxies.zico import ZiCo, inverse_variation
from tests.proxies import reference_statistics as reference
from tests.proxies.networks import classified
from tests.proxies.statistics_networks import NETWORKS, PROXIES, network, passes_of


@pytest.mark.parametrize("name", NETWORKS)
def test_ntk_equals_one_backward_pass_for_each_sample(name, images, labels):
    model = network(name)
    parameters = [p for key, p in model.named_parameters() if "weight" in key]
    expected = reference.condition_number(reference.kernel(model, [images[:4]], parameters))
    assert Ntk(samples=4)(passes_of(name, images, labels)).value == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_ntk_and_nasi_by_sample_equal_a_loop_over_batches_of_one(name, images, labels):
    model = network(name)
    weights = [module.weight for module in reference.weight_modules(model).values()]
    kernel = reference.kernel(model, images[:6].split(1), weights)
    passes = passes_of(name, images, labels)
    value = Ntk(samples=6, normalisation="sample")(passes).value
    assert value == pytest.approx(reference.condition_number(kernel), rel=1e-3)
    traces = Nasi(samples=6)(passes)
    assert traces.value == pytest.approx(np.trace(kernel), rel=1e-4)
    assert sum(traces.layers.values()) == pytest.approx(traces.value)
    for key, module in reference.weight_modules(model).items():
        expected = np.trace(reference.kernel(model, images[:6].split(1), [module.weight]))
        assert traces.layers[key] == pytest.approx(expected, rel=1e-4)


def test_ntk_of_equal_images_is_singular_and_lower_is_better(images, labels):
    twice = images[:1].expand(8, -1, -1, -1)
    for normalisation in ("batch", "sample"):
        with pytest.raises(ScoreError, match="singular"):
            Ntk(samples=2, normalisation=normalisation)(Passes(network("plain"), classified(twice, labels)))
    assert not Ntk().maximise
    assert all(proxy.maximise for key, proxy in PROXIES.items() if not key.startswith("ntk"))


@pytest.mark.parametrize("batches", [2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_zico_equals_its_definition(name, batches, images, labels):
    result = ZiCo(batches=batches)(passes_of(name, images, labels))
    parts = zip(images.tensor_split(batches), labels.tensor_split(batches))
    expected = reference.zico(network(name), parts)
    assert result.value == pytest.approx(sum(expected.values()), rel=1e-2 if batches == 2 else 1e-3)
    assert list(result.layers) == list(expected)
    for key, value in expected.items():
        assert result.layers[key] == pytest.approx(value, abs=0.05)


def test_zico_counts_weights_that_change_only():
    total = inverse_variation([torch.tensor([1.0, 2.0, 0.0]), torch.tensor([3.0, 2.0, 0.0])])
    assert log(float(total)) == pytest.approx(0.693147, abs=1e-6)
    assert float(inverse_variation([torch.ones(3), torch.ones(3)])) == 0


def test_zico_of_equal_halves_has_no_score(images, labels):
    twice = torch.cat([images, images])
    with pytest.raises(ScoreError, match="no gradient differs"):
        ZiCo()(Passes(network("plain"), classified(twice, torch.cat([labels, labels]))))
