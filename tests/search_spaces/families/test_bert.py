"""BERT with layers of their own width."""

import pytest
import torch

from search_spaces import Architecture, FieldError, InvalidArchitecture
from search_spaces.families.bert import WIDTHS, bert, small_bert
from supernets import Supernet
from tests.search_spaces.transformers import check_extraction, check_gradients, check_mixtures
from tests.supernets.helpers import scrambled


def small(**options):
    sizes = {"size": 24, "widths": (8, 16, 24), "layers": 3, "heads": 4, "hidden": 20, "length": 6, "longest": 9}
    return small_bert(vocabulary=20, **sizes | options)


def test_count_is_the_published_one():
    assert bert().count() == 7**12 == 13_841_287_201


def test_params_are_those_of_the_layers_written_out():
    size, hidden, vectors = 768, 3072, (30_522 + 512) * 768
    head = size * size + 3 * size
    for width in WIDTHS:
        attention = 4 * (width * width + width)
        feed_forward = 2 * width * hidden + hidden + width
        layer = 2 * size * width + size + width + attention + feed_forward + 4 * width
        architecture = {f"layer{i}.width": width for i in range(1, 13)}
        stated = bert().costs([architecture])["params"][0]
        assert stated == vectors + 2 * size + 12 * layer + head


def test_extracted_networks_are_the_active_ones():
    check_extraction(small(), 50)


def test_gradients_are_zero_outside_the_active_part():
    check_gradients(small(), 4)


def test_mixtures_of_one_architecture_are_that_architecture():
    check_mixtures(small(), 3)


def test_heads_keep_their_own_features_when_a_layer_is_narrower():
    supernet = Supernet(small())
    supernet.activate(Architecture({f"layer{i}.width": 8 for i in (1, 2, 3)}))
    whole = supernet.network.layers[0].layer.attention.qkv.weight
    plain = supernet.extract().layers[0].layer.attention.qkv.weight
    rows = [part * 24 + head * 6 + place for part in range(3) for head in range(4) for place in range(2)]
    assert torch.equal(plain, whole[rows][:, :8])


def test_padding_changes_nothing_and_every_other_token_does():
    space = small()
    network = scrambled(Supernet(space)).eval().extract(space.largest())
    tokens = space.example(batch=2)[0].clamp(min=1)
    padded = torch.nn.functional.pad(tokens, (0, 3))
    assert torch.allclose(network(padded)[:, :6], network(tokens), atol=1e-5)
    other = tokens.clone()
    other[:, 5] = other[:, 5] % 19 + 1
    assert not torch.allclose(network(tokens)[:, 0], network(other)[:, 0], atol=1e-4)


def test_traits_are_widths_from_zero_to_one():
    space = small()
    rows = [{f"layer{i}.width": width for i, width in enumerate(widths, 1)} for widths in ((8, 16, 24), (24, 24, 8))]
    encodings = torch.tensor([space.encode(row).tolist() for row in rows]).numpy()
    assert space.traits_of(encodings).tolist() == [[0, 0.5, 1], [1, 1, 0]]


def test_rows_name_one_width_for_each_layer():
    assert list(small().read_row({"widths": "8 24 16"}).values()) == [8, 24, 16]
    with pytest.raises(InvalidArchitecture, match="widths = '8 24' must have 3 entries, got 2"):
        small().read_row({"widths": "8 24"})
    with pytest.raises(InvalidArchitecture, match="widths = '8 x 8' must be whole numbers with blanks between"):
        small().read_row({"widths": "8 x 8"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (8, 18)}, r"widths must be multiples of heads = 4 that rise, got \(8, 18\)"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"dropout": -0.1}, "dropout must be from 0 to below 1, got -0.1"),
    ],
)
def test_options_that_make_no_network_are_refused(options, message):
    with pytest.raises(FieldError, match=message):
        small(**options)
