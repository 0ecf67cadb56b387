"""Language models of nested sizes."""

import pytest
import torch

from search_spaces import FieldError, InvalidArchitecture
from search_spaces.families.language import language
from supernets import Supernet
from tests.search_spaces.transformers import check_extraction, check_gradients, check_mixtures, check_sorting
from tests.supernets.helpers import scrambled


def small(**options):
    sizes = {"embeds": (12, 24), "heads": (1, 2, 3), "depths": (1, 2, 3), "head_width": 8, "length": 6, "longest": 9}
    return language(vocabulary=20, **sizes | options)


def test_count_is_that_of_layers_that_run():
    assert small().count() == 2 * (9 + 9**2 + 9**3)


def test_extracted_networks_are_the_active_ones():
    check_extraction(small(), 50)


def test_gradients_are_zero_outside_the_active_part():
    check_gradients(small(), 4)


def test_mixtures_of_one_architecture_are_that_architecture():
    check_mixtures(small(), 3)


def test_no_score_depends_on_later_tokens():
    space = small()
    network = scrambled(Supernet(space)).eval().extract(space.largest())
    (tokens,) = space.example(batch=2)
    other = tokens.clone()
    other[:, 3:] = (other[:, 3:] + 1) % 20
    assert torch.allclose(network(tokens)[:, :3], network(other)[:, :3], atol=1e-6)
    assert not torch.allclose(network(tokens)[:, 3], network(other)[:, 3], atol=1e-3)


def test_smaller_networks_are_the_first_part_of_larger_ones():
    """SortedNet: weights of a network are those of every larger one, cut."""
    space = small()
    supernet = Supernet(space)
    narrow, wide = (dict(supernet.extract(a).named_parameters()) for a in (space.smallest(), space.largest()))
    assert narrow.keys() < wide.keys()
    for name, weight in narrow.items():
        if name.endswith(("qkv.weight", "qkv.bias")):
            parts = wide[name].unflatten(0, (3, -1))[:, : len(weight) // 3].flatten(0, 1)
        else:
            parts = wide[name][: len(weight)]
        cut = parts[:, : weight.shape[1]] if weight.dim() > 1 else parts
        assert torch.equal(weight, cut), name


def test_rows_name_one_ratio_and_number_of_heads_for_each_layer():
    architecture = small().read_row({"embed": "24", "ratios": "1 4", "heads": "3 1"})
    assert dict(architecture) == {
        **{"embed": 24, "depth": 2, "layer1.ratio": 1.0, "layer1.heads": 3},
        **{"layer2.ratio": 4.0, "layer2.heads": 1},
    }
    with pytest.raises(InvalidArchitecture, match="ratios and heads must be as many, got 2 and 1"):
        small().read_row({"embed": "24", "ratios": "1 4", "heads": "3"})
    with pytest.raises(InvalidArchitecture, match="must be numbers with blanks between"):
        small().read_row({"embed": "24", "ratios": "1 x", "heads": "3 1"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embeds": ()}, "embeds must be numbers from 1 that rise"),
        ({"longest": 4}, "longest must be at least length = 6, got 4"),
        ({"head_width": 0}, "head_width must be at least 1, got 0"),
    ],
)
def test_options_that_make_no_network_are_refused(options, message):
    with pytest.raises(FieldError, match=message):
        small(**options)


def test_sorting_hidden_units_keeps_what_was_trained():
    check_sorting(small(), (2.0,))
