"""What the spaces of transformers promise, for the tests of each family."""

import numpy as np
import torch

from search_spaces import Architecture, Choice, Space
from search_spaces.elastic import Elastic
from search_spaces.relaxing import relaxing
from supernets import Supernet, sort_channels
from tests.search_spaces.counting import counted_products
from tests.supernets.helpers import scrambled


def drawn(space: Space, number: int, seed: int = 0) -> list[Architecture]:
    """The smallest architecture, the largest, and random ones between."""
    generator = np.random.default_rng(seed)
    return [space.smallest(), *(space.sample(generator) for _ in range(number)), space.largest()]


def check_extraction(space: Space, number: int) -> None:
    """Extracted networks are plain, compute what is active, and cost what the space says."""
    torch.manual_seed(0)
    supernet = scrambled(Supernet(space)).eval()
    inputs, architectures = space.example(batch=2), drawn(space, number)
    costs = space.costs(architectures)
    for place, architecture in enumerate(architectures):
        subnet = supernet.extract(architecture)
        assert not any(isinstance(module, Elastic) for module in subnet.modules())
        with torch.no_grad():
            assert (subnet(*inputs) - supernet(*inputs)).abs().max() <= 1e-5
        stated = (costs["params"][place], costs["macs"][place])
        assert counted_products(subnet, space.example()) == stated


def check_gradients(space: Space, number: int) -> None:
    """Weights that an architecture lacks have no gradient; the others that it reads have as many entries as it has
    parameters."""
    torch.manual_seed(0)
    supernet = scrambled(Supernet(space)).eval()
    inputs = space.example(batch=3)
    for architecture in drawn(space, number):
        supernet.zero_grad(set_to_none=True)
        supernet.activate(architecture)
        supernet(*inputs).square().sum().backward()
        touched = sum(int((p.grad != 0).sum()) for p in supernet.parameters() if p.grad is not None)
        params = int(space.costs([architecture])["params"][0])
        assert touched <= params
        assert touched >= 0.9 * params - unread(space, supernet)


def unread(space: Space, supernet: Supernet) -> int:
    """Parameters that one batch need not read: vectors of tokens and of positions that do not occur."""
    tables = ("embed", "positions", "attend")
    named = supernet.named_parameters()
    return sum(parameter.numel() for name, parameter in named if any(part in name for part in tables))


def check_mixtures(space: Space, number: int) -> None:
    """Weight one of what an architecture has, and zero of the rest, is that architecture; other weights have
    gradients."""
    torch.manual_seed(0)
    supernet = scrambled(Supernet(space)).eval()
    inputs, vectors = space.example(batch=2), relaxing(space)
    for architecture in drawn(space, number):
        expected = supernet.extract(architecture)(*inputs)
        chosen = {v.name: architecture.get(v.name, v.choices[0]) for v in vectors.all}
        weights = {v.name: {choice: float(choice == chosen[v.name]) for choice in v.choices} for v in vectors.all}
        supernet.relax(vectors.relaxation(weights))
        assert torch.allclose(supernet(*inputs), expected, atol=1e-5)
    leaves = {v.name: torch.zeros(len(v.choices), requires_grad=True) for v in vectors.all}
    mixed = {v.name: dict(zip(v.choices, leaves[v.name].softmax(0))) for v in vectors.all}
    supernet.relax(vectors.relaxation(mixed))
    supernet(*inputs).square().sum().backward()
    assert all(leaf.grad is not None and leaf.grad.abs().sum() > 0 for leaf in leaves.values())


def check_sorting(space: Space, trained: tuple[Choice, ...]) -> None:
    """Sorting hidden units changes neither the largest network nor those of trained choices, but the others."""
    torch.manual_seed(0)
    supernet = scrambled(Supernet(space)).eval()
    inputs, largest, kept = space.example(batch=2), space.largest(), []
    name = next(d.name for d in space.decisions if set(trained) <= set(d.choices))
    for choice in trained:
        others = {d: choice for d in largest if d.endswith(name.rpartition(".")[2])}
        kept.append(space.architecture(dict(largest) | others))
    with torch.no_grad():
        before = [supernet.extract(one)(*inputs) for one in (largest, *kept, space.smallest())]
        sort_channels(supernet, trained)
        after = [supernet.extract(one)(*inputs) for one in (largest, *kept, space.smallest())]
    *same, other = (torch.allclose(*pair, atol=1e-5) for pair in zip(before, after))
    assert all(same)
    assert not other
