"""HAT: the published spaces, and networks of the small one."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from search_spaces import FieldError, InvalidArchitecture
from search_spaces.families.hat import hat, small_hat
from search_spaces.families.hat_genes import RELEASED, features_of, parse_gene
from search_spaces.relaxing import relaxing
from supernets import Supernet
from tests.search_spaces.transformers import check_extraction, check_gradients, check_mixtures, check_sorting, drawn
from tests.supernets.helpers import scrambled

TABLE = "hat/hat_transformer_latency.csv.gz"
TITAN = {
    91.2: (512, [3072] * 6, [4, 8, 8, 4, 8, 8], 512, 2, [3072] * 2, [8] * 2, [8] * 2, [-1, 1]),
    126.0: (512, [3072] * 6, [4, 4, 8, 8, 8, 4], 512, 3, [3072] * 3, [8] * 3, [4, 8, 8], [-1, 1, 1]),
    146.7: (640, [3072] * 6, [4, 8, 8, 8, 4, 4], 640, 3, [3072] * 3, [8] * 3, [4, 8, 8], [-1, 1, 1]),
    208.1: (
        *(512, [3072] * 6, [8, 4, 8, 8, 8, 4], 512, 5, [2048, 2048, 3072, 3072, 3072]),
        *([8, 8, 8, 4, 8], [4, 8, 8, 8, 8], [-1, 1, 1, 1, -1]),
    ),
}
"""Released networks for WMT'14 English to German on a Titan Xp, by their latency in ms."""
MILLIONS = {91.2: 35.72, 126.0: 40.97, 146.7: 51.20, 208.1: 49.38}
"""Their published parameters, without the vectors of tokens."""


def released(latency: float) -> dict[str, str]:
    return {name: str(entry) for name, entry in zip(RELEASED, TITAN[latency])}


def small(**options):
    sizes = {"embeds": (16, 24), "hidden": (8, 16, 32), "heads": (1, 2), "width": 16, "length": 7, "longest": 12}
    return small_hat(source_vocabulary=20, target_vocabulary=30, **sizes | options)


@pytest.mark.parametrize("variant", ["space0", "space1"])
def test_counts_are_those_of_distinct_networks(variant):
    expected = (2 * 3**6 * 2**6) * (2 * sum((3 * 2 * 2 * 3) ** depth for depth in range(1, 7)))
    assert hat(variant=variant).count() == expected == 417_846_678_672_384


@pytest.mark.parametrize("latency", TITAN)
def test_released_networks_have_their_published_parameters(latency):
    space = hat()
    architecture = space.read_row(released(latency))
    vectors = 32_768 * (int(architecture["encoder.embed"]) + int(architecture["decoder.embed"]))
    params = int(space.costs([architecture])["params"][0]) - vectors
    assert round(params / 1e6, 2) == MILLIONS[latency]


def test_a_gene_names_what_the_released_file_names():
    space = hat()
    encoder = [512, 6, *[3072] * 6, 4, 4, 8, 8, 8, 4]
    decoder = [512, 3, *[3072] * 6, *[8] * 6, 4, 8, 8, 4, 4, 4, -1, 1, 1, 2, 2, 2]
    gene = " ".join(map(str, [*encoder, *decoder]))
    assert space.read_row({"gene": gene}) == space.read_row(released(126.0))


@pytest.mark.parametrize(
    ("gene", "message"),
    [
        ("512 6", "must have 40 entries, got 2"),
        ("512 x", "gene = '512 x' must be whole numbers"),
        (" ".join(["5"] * 40), "the encoder must have 6 layers, got 5"),
    ],
)
def test_genes_that_name_no_network_are_refused(gene, message):
    with pytest.raises(InvalidArchitecture, match=message):
        parse_gene(gene)


def test_a_released_file_with_too_few_entries_is_refused():
    row = released(126.0) | {RELEASED[5]: "[3072]"}
    with pytest.raises(InvalidArchitecture, match=r"decoder hidden: 3 layers need as many entries, got \[3072\]"):
        hat().read_row(row)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "space2"}, "variant must be one of space0, space1, got 'space2'"),
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"longest": 8}, "longest must be at least length = 30, got 8"),
        ({"dropout": 1.0}, "dropout must be from 0 to below 1, got 1.0"),
        ({"source_vocabulary": 1}, "source_vocabulary must be at least 2, got 1"),
    ],
)
def test_options_that_make_no_network_are_refused(options, message):
    with pytest.raises(FieldError, match=message):
        hat(**options)


def test_heads_divide_the_width():
    with pytest.raises(FieldError, match="heads must be parts of 16, got"):
        small(heads=(1, 3))


def test_features_are_means_over_the_layers_that_run():
    space = hat()
    row = released(208.1)
    encodings = space.encode(space.read_row(row))[None]
    found = features_of(space.decisions, encodings)[0]
    assert found.tolist() == pytest.approx([512, 6, 3072, 40 / 6, 512, 5, 13312 / 5, 36 / 5, 36 / 5, 8 / 5])
    scaled = space.traits_of(space.sample_encodings(200, np.random.default_rng(0)))
    assert scaled.shape == (200, 10)
    assert 0 < scaled.min() <= scaled.max() <= 1
    assert space.traits_of(space.encode(space.largest())[None]).tolist() == [[1.0] * 10]


def test_features_of_the_released_table_lie_where_ours_do(shared_data: Path):
    with gzip.open(shared_data / TABLE, "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["task"].startswith("wmt14")]
    space = hat()
    ours = features_of(space.decisions, space.sample_encodings(2000, np.random.default_rng(0)))
    names = list(rows[0])[2:12]
    theirs = np.array([[float(row[name]) for name in names] for row in rows])
    assert (theirs.max(0) <= ours.max(0) + 1).all()
    depths = theirs[:, 5]
    assert set(depths) == set(ours[:, 5])


def test_extracted_networks_are_the_active_ones():
    check_extraction(small(), 50)


def test_gradients_are_zero_outside_the_active_part():
    check_gradients(small(), 4)


def test_mixtures_of_one_architecture_are_that_architecture():
    check_mixtures(small(), 3)


def test_padding_changes_nothing():
    space = small()
    network = scrambled(Supernet(space)).eval().extract(space.largest())
    source, target = (tokens.clamp(min=1) for tokens in space.example(batch=2))
    padded = torch.nn.functional.pad(source, (0, 3)), torch.nn.functional.pad(target, (0, 2))
    assert torch.allclose(network(*padded)[:, :7], network(source, target), atol=1e-5)


def test_no_score_depends_on_later_tokens():
    space = small()
    network = scrambled(Supernet(space)).eval().extract(space.largest())
    source, target = space.example(batch=2)
    other = target.clone()
    other[:, 4:] = other[:, 4:].roll(1, 1) + 1
    before, after = network(source, target), network(source, other % 30)
    assert torch.allclose(before[:, :4], after[:, :4], atol=1e-6)
    assert not torch.allclose(before[:, 5], after[:, 5], atol=1e-3)


def test_translating_token_by_token_gives_the_scores_of_the_whole():
    """Also after rows have changed places, in the supernet and in the extracted network alike."""
    space = small()
    supernet = scrambled(Supernet(space)).eval()
    source, target = (tokens.clamp(min=1) for tokens in space.example(batch=3))
    source[1:, -2:] = 0
    rows = torch.tensor([2, 0, 1, 1])
    for architecture in drawn(space, 3):
        for network in (supernet.extract(architecture), supernet.network):
            state, tokens, whole = network.encode(source), target, network(source, target)
            for place in range(7):
                if place == 3:
                    state, tokens = state.select(rows), target[rows]
                    whole = network(source[rows], tokens)
                assert torch.allclose(network.decode(tokens[:, place], state), whole[:, place], atol=1e-5)
            assert state.length == 7


def test_a_mixture_of_spans_is_not_decoded_token_by_token():
    space = small()
    supernet = Supernet(space).eval()
    weights = {v.name: dict.fromkeys(v.choices, 1 / len(v.choices)) for v in relaxing(space).all}
    supernet.relax(relaxing(space).relaxation(weights))
    with pytest.raises(ValueError, match="activate an architecture before"):
        supernet.network.encode(space.example()[0])


def test_sentences_that_are_too_long_are_refused():
    network = small().subnet(small().smallest())
    with pytest.raises(ValueError, match="a sequence of 13 tokens is longer than the limit of 12"):
        network(torch.ones(1, 13, dtype=torch.long), torch.ones(1, 5, dtype=torch.long))


def test_sorting_hidden_units_keeps_what_was_trained():
    check_sorting(small(), (16,))
