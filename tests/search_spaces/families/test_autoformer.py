"""AutoFormer: the published spaces, and networks of the small one."""

import pytest
import torch

from search_spaces import FieldError, InvalidArchitecture
from search_spaces.families.autoformer import VARIANTS, autoformer, small_autoformer
from tests.search_spaces.transformers import check_extraction, check_gradients, check_mixtures, check_sorting

PUBLISHED = {
    "tiny": (
        *("192", "13", "3.5 3.5 3.0 3.5 3.0 3.0 4.0 4.0 3.5 4.0 3.5 4.0 3.5", "3 3 3 3 3 3 3 3 3 3 4 3 3"),
        5_867_944,
    ),
    "small": (
        "384",
        "13",
        "[3.0, 3.5, 3.0, 3.5, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 3.5, 4.0]",
        "[6, 6, 5, 7, 5, 5, 5, 6, 6, 7, 7, 6, 7]",
        22_891_432,
    ),
    "base": (
        *("576", "14", "3.5 3.5 4.0 3.5 4.0 3.5 3.5 3.0 4.0 4.0 3.0 4.0 3.0 3.5", "9 9 9 9 9 10 9 9 10 9 10 9 9 10"),
        53_691_688,
    ),
}
"""The released subnets, and their parameters."""


def small():
    return small_autoformer(image_size=16, embeds=(24, 36, 48), heads=(1, 2, 3), depths=(1, 2, 3), head_width=8)


def row(*texts: str) -> dict[str, str]:
    return dict(zip(("hidden_dim", "depth", "mlp_ratio", "num_heads"), texts))


@pytest.mark.parametrize(
    ("variant", "count"),
    [("tiny", 1_056_964_608), ("small", 77_103_263_459_313), ("base", 10_108_977_168_384)],
)
def test_counts_are_those_of_the_released_choices(variant, count):
    _, ratios, heads, depths = VARIANTS[variant]
    assert 3 * sum((len(ratios) * len(heads)) ** depth for depth in depths) == count
    assert autoformer(variant=variant).count() == count


@pytest.mark.parametrize("variant", PUBLISHED)
def test_released_subnets_have_their_published_parameters(variant):
    *texts, params = PUBLISHED[variant]
    space = autoformer(variant=variant, ratios=(3.0, 3.5, 4.0))
    assert space.costs([space.read_row(row(*texts))])["params"].tolist() == [params]


@pytest.mark.parametrize(
    ("variant", "macs"), [("tiny", 1.3e9), ("small", 5.1e9), ("base", 11e9)], ids=["tiny", "small", "base"]
)
def test_released_subnets_have_about_the_published_flops(variant, macs):
    """Of products with relative positions, the paper does not say whether they count: these are without."""
    *texts, _ = PUBLISHED[variant]
    space = autoformer(variant=variant, ratios=(3.0, 3.5, 4.0))
    architecture = space.read_row(row(*texts))
    heads = sum(int(value) for name, value in architecture.items() if name.endswith("heads"))
    relative = 2 * 197**2 * 64 * heads
    assert space.costs([architecture])["macs"][0] - relative == pytest.approx(macs, rel=0.07)


def test_tiny_lacks_a_ratio_that_its_released_subnet_has():
    with pytest.raises(InvalidArchitecture, match=r"ratio = 3.0 is not one of \(3.5, 4.0\)"):
        autoformer().read_row(row(*PUBLISHED["tiny"][:4]))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("192", "12", "4.0 " * 11, "3 " * 12), "mlp_ratio = .* must have 12 entries, got 11"),
        (("192", "12", "4.0 " * 12, "3 x" * 6), "num_heads = .* must be numbers with blanks between"),
        (("200", "12", "4.0 " * 12, "3 " * 12), r"embed = 200.0 is not one of \(192, 216, 240\)"),
    ],
)
def test_rows_that_name_no_architecture_are_refused(texts, message):
    with pytest.raises(InvalidArchitecture, match=message):
        autoformer().read_row(row(*texts))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "huge"}, "variant must be one of tiny, small, base, got 'huge'"),
        ({"image_size": 30}, r"image_size must be a multiple of patch = 16, got 30"),
        ({"ratios": (0.0,)}, "ratios must be numbers above 0"),
        ({"drop_path": 1.0}, "drop_path must be from 0 to below 1, got 1.0"),
        ({"classes": 1}, "classes must be at least 2, got 1"),
    ],
)
def test_options_that_make_no_network_are_refused(options, message):
    with pytest.raises(FieldError, match=message):
        autoformer(**options)


def test_images_of_another_size_are_refused_in_words():
    network = small().subnet(small().smallest())
    with pytest.raises(ValueError, match="positions are those of 16 x 16 pixels, got 32 x 8"):
        network(torch.zeros(1, 3, 32, 8))


def test_extracted_networks_are_the_active_ones():
    check_extraction(small(), 50)


def test_gradients_are_zero_outside_the_active_part():
    check_gradients(small(), 4)


def test_mixtures_of_one_architecture_are_that_architecture():
    check_mixtures(small(), 3)


def test_sorting_hidden_units_keeps_what_was_trained():
    check_sorting(small(), (3.0,))
