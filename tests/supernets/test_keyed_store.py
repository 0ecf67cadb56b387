"""Weights that parts of networks hand on, by key and shape."""

import json

import torch
from torch import nn

from supernets.keyed_store import KeyedStore, handed_on


def network(width: int = 3, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width)), nn.Linear(width, 2))


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_parts_of_the_same_key_and_shapes_begin_with_the_weights_kept_last(tmp_path):
    store = KeyedStore(tmp_path)
    for seed in (1, 2):
        store.keep(f"n{seed}", network(seed=seed), {"0": "gat relu", "1": "out"})
    begun = network(seed=9)
    assert store.begin(begun, {"0": "gat relu", "1": "out"}) == ["0", "1"]
    assert torch.equal(begun[0][0].weight, network(seed=2)[0][0].weight)
    assert torch.equal(begun[1].bias, network(seed=2)[1].bias)


def test_another_key_or_shape_stays_fresh(tmp_path):
    store = KeyedStore(tmp_path)
    store.keep("first", network(seed=1), {"0": "gat relu", "1": "out"})
    begun = network(seed=9)
    assert store.begin(begun, {"0": "gat elu", "1": "other"}) == []
    assert torch.equal(weights(begun), weights(network(seed=9)))
    wider = network(width=5, seed=9)
    assert store.begin(wider, {"0": "gat relu"}) == []
    assert torch.equal(weights(wider), weights(network(width=5, seed=9)))
    assert store.begin(network(), {"1": "gat relu"}) == []  # the key of another part


def test_norms_are_never_handed_on(tmp_path):
    source = network(seed=1)
    nn.init.constant_(source[0][1].weight, 7.0)
    source[0][1].running_mean.fill_(3.0)
    store = KeyedStore(tmp_path)
    store.keep("first", source, {"0": "key"})
    begun = network(seed=9)
    store.begin(begun, {"0": "key"})
    assert torch.equal(begun[0][0].weight, source[0][0].weight)
    assert begun[0][1].weight.eq(1).all()
    assert begun[0][1].running_mean.eq(0).all()
    assert set(handed_on(source[0])) == {"0.weight", "0.bias"}
    assert set(handed_on(source[0][1])) == set()


def test_what_was_kept_is_known_to_the_next_process_and_kept_once(tmp_path):
    first, parts = KeyedStore(tmp_path), {"0": "key"}
    first.keep("a", network(seed=1), parts)
    first.keep("b", network(seed=2), parts)
    first.keep("a", network(seed=3), parts)
    again, begun = KeyedStore(tmp_path), network(seed=9)
    again.begin(begun, parts)
    assert torch.equal(begun[0][0].weight, network(seed=2)[0][0].weight)
    loaded = network(seed=9)
    assert again.load("a", loaded)
    assert torch.equal(weights(loaded), weights(network(seed=1)))
    assert not again.load("c", loaded)
    lines = [json.loads(line) for line in (tmp_path / "parts.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == ["a", "b"]
