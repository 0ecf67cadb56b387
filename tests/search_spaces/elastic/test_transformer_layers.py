"""Elastic layers of transformers against naive second versions."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import Architecture, Relaxation
from search_spaces.elastic import (
    ElasticAttend,
    ElasticChunkedLinear,
    ElasticClassToken,
    ElasticEmbedding,
    ElasticLayerNorm,
    ElasticLinear,
    ElasticPositions,
    ElasticStack,
    JointSize,
    Size,
    governed,
    resolve,
)
from search_spaces.sizes import Mixture
from search_spaces.transformer import Attend, DropPath, FeedForward, Patches, RelativeAttend, Stack, sinusoids

WIDTH = Size("width", {2: 2, 4: 4, 6: 6})
HEADS = Size("heads", {1: 1, 2: 2, 4: 4})


def set_to(layer, **choices):
    layer.activate(Architecture(choices))
    return layer


def naive_attention(query, key, value, heads, *, mask=None):
    """Head by head, place by place."""
    width = query.shape[-1] // heads
    read = torch.zeros_like(query)
    for b, h, t in itertools.product(range(len(query)), range(heads), range(query.shape[1])):
        part = slice(h * width, (h + 1) * width)
        scores = key[b, :, part] @ query[b, t, part] / width**0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[b, t], -torch.inf)
        read[b, t, part] = scores.softmax(0) @ value[b, :, part]
    return read


def test_attention_with_any_number_of_heads():
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 3, 8), torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    for heads in HEADS.values:
        layer = set_to(ElasticAttend(HEADS), heads=heads)
        expected = naive_attention(query, key, value, heads)
        assert torch.allclose(layer(query, key, value), expected, atol=1e-6)
        assert torch.equal(layer.extract()(query, key, value), layer(query, key, value))
        assert torch.allclose(Attend(head_width=8 // heads)(query, key, value), expected, atol=1e-6)


def test_attention_reads_what_masks_allow():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 8)
    causal = torch.ones(4, 4).tril().bool().expand(2, -1, -1)
    expected = naive_attention(query, key, value, 2, mask=causal)
    assert torch.allclose(ElasticAttend(2)(query, key, value, causal=True), expected, atol=1e-6)
    mask = torch.tensor([[True, True, False, True], [True, False, False, False]])
    expected = naive_attention(query, key, value, 2, mask=mask[:, None].expand(-1, 4, -1))
    assert torch.allclose(ElasticAttend(2)(query, key, value, mask[:, None, None]), expected, atol=1e-6)


def test_mixed_numbers_of_heads_mix_what_they_read():
    torch.manual_seed(0)
    parts = torch.randn(3, 2, 4, 8)
    layer = ElasticAttend(HEADS)
    layer.activate(Relaxation({"heads": {1: 0.25, 4: 0.75}}))
    expected = 0.25 * naive_attention(*parts, 1) + 0.75 * naive_attention(*parts, 4)
    assert torch.allclose(layer(*parts), expected, atol=1e-6)
    with pytest.raises(ValueError, match="heads is a mixture of choices"):
        layer.extract()


def test_relative_positions_of_keys_and_values():
    torch.manual_seed(0)
    rows, columns, width = 2, 3, 4
    attend = RelativeAttend(width, (rows, columns), most=1)
    for table in attend.parameters():
        nn.init.normal_(table)
    query, key, value = torch.randn(3, 1, 1 + rows * columns, 2 * width)

    def vector(of_rows, of_columns, t, s):
        if t == 0 or s == 0:
            return of_rows[0] + of_columns[0]
        (y, x), (v, u) = divmod(t - 1, columns), divmod(s - 1, columns)
        down, right = (int(np.clip(one, -1, 1)) + 2 for one in (v - y, u - x))
        return of_rows[down] + of_columns[right]

    expected = torch.zeros_like(query)
    places = range(query.shape[1])
    for h, t in itertools.product(range(2), places):
        part = slice(h * width, (h + 1) * width)
        keys = [vector(attend.rows_of_keys, attend.columns_of_keys, t, s) for s in places]
        values = [vector(attend.rows_of_values, attend.columns_of_values, t, s) for s in places]
        scores = torch.stack([query[0, t, part] @ (key[0, s, part] + keys[s]) for s in places]) / width**0.5
        weights = scores.softmax(0)
        expected[0, t, part] = sum(weights[s] * (value[0, s, part] + values[s]) for s in places)
    assert torch.allclose(attend(query, key, value), expected, atol=1e-5)


def test_parts_of_a_chunked_layer_keep_their_first_features():
    torch.manual_seed(0)
    layer = ElasticChunkedLinear(WIDTH, Size("out", {1: 1, 3: 3}), in_chunks=2, out_chunks=3)
    nn.init.normal_(layer.bias)
    assert layer.weight.shape == (9, 12)
    set_to(layer, width=4, out=1)
    x = torch.randn(5, 8)
    kept = [0, 1, 2, 3, 6, 7, 8, 9]
    expected = nn.functional.linear(x, layer.weight[[0, 3, 6]][:, kept], layer.bias[[0, 3, 6]])
    assert torch.allclose(layer(x), expected, atol=1e-6)
    assert torch.equal(layer.extract()(x), layer(x))


def test_mixed_parts_are_mixed_alike():
    torch.manual_seed(0)
    layer = ElasticChunkedLinear(WIDTH, Size("out", {1: 1, 3: 3}), in_chunks=2, out_chunks=2)
    nn.init.normal_(layer.bias)
    layer.activate(Relaxation({"width": {2: 0.5, 4: 0.5}, "out": {1: 0.3, 3: 0.7}}))
    inputs = torch.tensor([1, 1, 0.5, 0.5] * 2)
    outputs = torch.tensor([1, 0.7, 0.7] * 2)
    kept = [0, 1, 2, 3, 6, 7, 8, 9]
    x = torch.randn(5, 8)
    expected = nn.functional.linear(x * inputs, layer.weight[:, kept], layer.bias) * outputs
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_a_norm_is_over_the_active_features():
    torch.manual_seed(0)
    layer = ElasticLayerNorm(WIDTH, eps=1e-3)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = torch.randn(2, 5, 4)
    centred = x - x.mean(-1, keepdim=True)
    normalised = centred / (centred.square().mean(-1, keepdim=True) + 1e-3).sqrt()
    set_to(layer, width=4)
    assert torch.allclose(layer(x), normalised * layer.weight[:4] + layer.bias[:4], atol=1e-6)
    assert torch.equal(layer.extract()(x), layer(x))


def test_a_mixed_norm_mixes_the_norms_of_the_widths():
    torch.manual_seed(0)
    layer = ElasticLayerNorm(WIDTH)
    nn.init.normal_(layer.weight)
    x = torch.randn(3, 6)
    narrow, wide = (set_to(layer, width=width)(x[:, :width]).detach() for width in (2, 6))
    layer.activate(Relaxation({"width": {2: 0.25, 6: 0.75}}))
    expected = 0.75 * wide
    expected[:, :2] += 0.25 * narrow
    assert torch.allclose(layer(x), expected, atol=1e-6)
    layer.activate(Relaxation({"width": {2: 1.0, 6: 0.0}}))
    assert torch.allclose(layer(x)[:, :2], narrow, atol=1e-6)


def test_tokens_have_the_first_features_and_are_scored_by_them():
    torch.manual_seed(0)
    layer, tokens = ElasticEmbedding(7, WIDTH, scaled=True), torch.tensor([[1, 6], [0, 3]])
    set_to(layer, width=4)
    assert torch.equal(layer(tokens), layer.weight[tokens][..., :4] * 2.0)
    x = torch.randn(2, 4)
    assert torch.equal(layer.scores(x), x @ layer.weight[:, :4].T)
    plain = layer.extract()
    assert torch.equal(plain(tokens), layer(tokens))
    assert torch.allclose(plain.scores(x), layer.scores(x))
    assert sum(p.numel() for p in plain.parameters()) == 28
    layer.activate(Relaxation({"width": {2: 0.5, 4: 0.5}}))
    factors = torch.tensor([0.5 * 2**0.5 + 1.0] * 2 + [1.0] * 2)
    assert torch.allclose(layer(tokens), layer.weight[tokens][..., :4] * factors)


@pytest.mark.parametrize("learned", [True, False])
def test_positions_are_added_from_where_a_sequence_starts(learned):
    layer = set_to(ElasticPositions(5, WIDTH, learned=learned), width=4)
    x = torch.zeros(2, 3, 4)
    assert torch.equal(layer(x, 1), layer.weight[1:4, :4].expand(2, -1, -1))
    assert torch.equal(layer.extract()(x), layer(x))
    assert ("weight" in layer.state_dict()) == learned
    with pytest.raises(ValueError, match="a sequence of 6 tokens is longer than the limit of 5"):
        layer(x, 3)


def test_sinusoids_are_sines_and_cosines_of_falling_rates():
    waves = sinusoids(4, 6)
    assert waves[3, 2].item() == pytest.approx(np.sin(3 / 10000 ** (2 / 6)), abs=1e-6)
    assert waves[3, 3].item() == pytest.approx(np.cos(3 / 10000 ** (2 / 6)), abs=1e-6)


def test_a_class_token_stands_first():
    layer = set_to(ElasticClassToken(WIDTH), width=2)
    out = layer(torch.zeros(3, 4, 2))
    assert torch.equal(out[:, 0], layer.weight[:2].expand(3, -1))
    assert not out[:, 1:].any()
    assert torch.equal(layer.extract()(torch.zeros(3, 4, 2)), out)


def test_patches_are_read_as_a_convolution_reads_them():
    torch.manual_seed(0)
    conv, x = nn.Conv2d(3, 5, 4, stride=4), torch.randn(2, 3, 8, 12)
    expected = conv(x).flatten(2).transpose(1, 2)
    assert torch.allclose(nn.functional.linear(Patches(4)(x), conv.weight.flatten(1), conv.bias), expected, atol=1e-6)


def test_a_size_may_follow_two_decisions():
    size = JointSize(("width", "ratio"), {(w, r): w * r for w in (2, 4) for r in (1, 3)})
    assert resolve(size, Architecture({"width": 4, "ratio": 3})) == 12
    assert resolve(size, Architecture({"width": 4})) is None
    mixed = resolve(size, Relaxation({"width": {2: 0.5, 4: 0.5}, "ratio": {1: 0.4, 3: 0.6}}))
    assert isinstance(mixed, Mixture)
    assert mixed.weights == {2: 0.2, 6: 0.3, 4: 0.2, 12: 0.3}
    partly = resolve(size, Relaxation({"width": {2: 0.5, 4: 0.5}, "ratio": 3}))
    assert partly == Mixture("width", {6: 0.5, 12: 0.5})
    found = {(decision, choice) for decision, choice, _ in governed(ElasticLinear(5, size))}
    assert found == {("width", 2), ("width", 4), ("ratio", 1), ("ratio", 3)}


class Shifted(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, x, factor):
        return x + self.by * factor


def test_a_stack_hands_on_what_is_beside_the_sequence():
    stack = ElasticStack([Shifted(1.0), Shifted(10.0)], Size("depth", {1: 1, 2: 2}))
    x = torch.zeros(1)
    assert set_to(stack, depth=2)(x, 3.0) == 33
    assert set_to(stack, depth=1)(x, 3.0) == 3
    plain = stack.extract()
    assert isinstance(plain, Stack)
    assert plain(x, 3.0) == 3
    stack.activate(Relaxation({"depth": {1: 0.5, 2: 0.5}}))
    assert stack(x, 3.0) == 18


def test_hidden_units_of_a_feed_forward_can_change_places():
    torch.manual_seed(0)
    block, x = FeedForward(ElasticLinear(4, 6), nn.GELU(), ElasticLinear(6, 4)), torch.randn(3, 4)
    nn.init.normal_(block.expand.bias)
    before, order = block(x), torch.randperm(6)
    (hidden,) = block.hidden_channels()
    with torch.no_grad():
        for tensor, dimension in hidden.carriers:
            tensor.copy_(tensor.index_select(dimension, order))
    assert torch.allclose(block(x), before, atol=1e-6)
    assert not torch.equal(block.expand.weight, block.expand.weight[order])


def test_a_branch_is_left_out_for_some_examples():
    torch.manual_seed(0)
    branch = DropPath(0.25)
    out = branch(torch.ones(4000, 2, 3))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (out == out[:, :1, :1]).all()
    assert out.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(branch.eval()(torch.ones(2)), torch.ones(2))
