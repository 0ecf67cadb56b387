"""What every space of the catalogue promises."""

import numpy as np
import pytest
import torch

from service import catalogue
from supernets import Supernet
from tests.supernets.helpers import scrambled

OPTIONS = {"ofa_mobilenet_v3": {"resolutions": (96,), "classes": 10}}


@pytest.fixture(params=list(catalogue.SPACES), scope="module")
def space(request):
    return catalogue.resolve("space", request.param)(**OPTIONS.get(request.param, {}))


def test_choices_are_listed_cheapest_first(space):
    """One step up in any decision never makes an architecture cheaper."""
    base = space.encode(space.largest())
    for column, choices in enumerate(space.choice_counts):
        rows = np.repeat(base[None], choices, axis=0)
        rows[:, column] = np.arange(choices)
        costs = space.costs(rows)
        assert (np.diff(costs.macs) >= 0).all(), space.decisions[column].name
        assert (np.diff(costs.params) >= 0).all(), space.decisions[column].name


def test_encodings_round_trip(space):
    for encoding in space.sample_encodings(200, np.random.default_rng(0)):
        architecture = space.decode(encoding)
        assert space.architecture(architecture) == architecture
        assert space.encode(architecture).tolist() == encoding.tolist()


def test_costs_do_not_depend_on_inactive_genes(space):
    generator = np.random.default_rng(0)
    raw = generator.integers(0, space.choice_counts, (200, len(space.decisions)))
    folded = space.canonical(raw)
    assert (raw != folded).any()
    assert space.costs(raw).macs.tolist() == space.costs(folded).macs.tolist()
    assert space.costs(raw).params.tolist() == space.costs(folded).params.tolist()


def test_costs_of_many_equal_costs_of_each(space):
    drawn = [space.sample(np.random.default_rng(i)) for i in range(20)]
    together = space.costs(drawn)
    assert together.macs.tolist() == [int(space.costs([a]).macs[0]) for a in drawn]
    assert together.params.tolist() == [int(space.costs([a]).params[0]) for a in drawn]


def test_extracted_subnet_equals_active_supernet_and_has_the_stated_cost(space):
    supernet = scrambled(Supernet(space)).eval()
    x = torch.randn(2, *space.input_shape)
    for architecture in [space.smallest(), space.sample(np.random.default_rng(7)), space.largest()]:
        subnet = supernet.extract(architecture)
        with torch.no_grad():
            assert (subnet(x) - supernet(x)).abs().max() <= 1e-5
            assert subnet(x).shape == (2, space.classes)
        assert sum(p.numel() for p in subnet.parameters()) == space.costs([architecture]).params[0]


def test_memory_format_does_not_change_the_function(space):
    supernet = scrambled(Supernet(space)).eval()
    x = torch.randn(4, *space.input_shape)
    plain = supernet(x)
    last = supernet.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(plain, last, atol=1e-4)
