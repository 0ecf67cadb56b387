"""Layer-wise scores as a matrix, whose columns stay what they were."""

import numpy as np
import pytest

from nas.predictors import LayerLayout

SCORES = [
    {"snip": {"stem": 1.0, "cell.b": 2.0, "head": 3.0}, "synflow": {"stem": 4.0, "cell.b": 5.0, "head": 6.0}},
    {"snip": {"stem": 7.0, "head": 8.0}, "synflow": {"stem": 9.0, "head": float("nan")}},
    {"snip": {"stem": 1.0, "cell.a": 1.5, "cell.b": 2.0, "head": 3.0}, "synflow": {"stem": 0.5}},
]


def test_in_order_networks_are_padded_at_the_end():
    layout = LayerLayout.of(SCORES)
    assert layout.proxies == ("snip", "synflow")
    expected = [[1, 2, 3, 0, 4, 5, 6, 0], [7, 8, 0, 0, 9, np.nan, 0, 0], [1, 1.5, 2, 3, 0.5, 0, 0, 0]]
    assert np.array_equal(layout.features(SCORES), expected, equal_nan=True)


def test_by_name_each_layer_has_its_column_in_network_order():
    layout = LayerLayout.of(SCORES, align="name")
    assert layout.layers == ("stem", "cell.a", "cell.b", "head")
    expected = [[1, 0, 2, 3, 4, 0, 5, 6], [7, 0, 0, 8, 9, 0, 0, np.nan], [1, 1.5, 2, 3, 0.5, 0, 0, 0]]
    assert np.array_equal(layout.features(SCORES), expected, equal_nan=True)


@pytest.mark.parametrize("align", ["order", "name"])
def test_rows_do_not_depend_on_the_architectures_beside_them(align):
    layout = LayerLayout.of(SCORES, align=align)
    for i, one in enumerate(SCORES):
        assert np.array_equal(layout.features([one])[0], layout.features(SCORES)[i], equal_nan=True)
    assert layout.features([]).shape == (0, 8)


def test_order_of_the_proxies_given_later_does_not_matter():
    layout = LayerLayout.of(SCORES)
    turned = {name: SCORES[0][name] for name in ("synflow", "snip")}
    assert np.array_equal(layout.features([turned]), layout.features(SCORES[:1]))


def test_room_can_be_kept_for_deeper_networks():
    layout = LayerLayout.of(SCORES[1:2], depth=4)
    assert layout.features(SCORES).shape == (3, 8)
    assert LayerLayout.of(SCORES, depth=2).features(SCORES).shape == (3, 8)


def test_what_the_layout_does_not_know_is_named():
    with pytest.raises(ValueError, match="architecture 0, snip: 3 layers; the layout holds 2, see depth"):
        LayerLayout.of(SCORES[1:2]).features(SCORES)
    with pytest.raises(
        ValueError, match=r"architecture 1, snip: 1 layers are not in the layout, the first is 'cell.a'"
    ):
        LayerLayout.of(SCORES[:2], align="name").features(SCORES[1:])
    with pytest.raises(ValueError, match=r"architecture 0 has scores of \['snip'\]; the layout is of"):
        LayerLayout.of(SCORES).features([{"snip": {"stem": 1.0}}])
    with pytest.raises(ValueError, match="there are no architectures"):
        LayerLayout.of([])
    with pytest.raises(ValueError, match="make no features"):
        LayerLayout.of([{"nwot": {}}])
    with pytest.raises(ValueError, match="align is 'depth'; allowed: order, name"):
        LayerLayout.of(SCORES, align="depth")
