"""Distances between choices by their gradients, groups of choices, and which decision is split."""

from itertools import combinations, cycle, product
from math import fsum

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from search_spaces import Architecture, Decision, Input, Space
from search_spaces.elastic import ElasticChoice, ElasticLinear, Size, with_shared_norms
from search_spaces.families.darts import darts
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.nasbench201_cell import is_connected
from supernets import Classification, Supernet
from supernets.transforms import (
    Cut,
    best_cut,
    compared_parameters,
    cut_of,
    distances,
    eligible,
    parameters_of,
    partition,
)
from supernets.transforms.gradient_matching import _pairwise
from supernets.transforms.grouping import allowed_sizes
from tests.supernets.helpers import Images
from tests.supernets.transforms.test_split import blocks, cells


def batches(n: int = 1000):
    drawn = Images().batches(16, epoch=0, seed=0)
    return (batch for batch, _ in zip(cycle(list(drawn)), range(n)))


def scores(supernet: Supernet, decision: str, *, repeats: int = 3, seed: int = 0, **options) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return distances(
        supernet, decision, batches(), task=Classification(), repeats=repeats, generator=generator, **options
    )


# ---- distances ------------------------------------------------------------------------------------------------------


def test_cosine_distance_is_the_published_formula():
    a, b = torch.tensor([1.0, 0, 1]), torch.tensor([1.0, 1, 0])
    matrix = _pairwise([[a[:1], a[1:]], [b[:1], b[1:]]], "cosine")
    assert matrix[0, 1].item() == pytest.approx(0.50000025, abs=1e-12)
    assert matrix[0, 0].item() == pytest.approx(5e-7, abs=1e-12)
    opposite = _pairwise([[a], [-a]], "cosine")
    assert opposite[0, 1].item() == pytest.approx(2, abs=1e-6)
    assert _pairwise([[a], [b]], "mse")[0, 1].item() == pytest.approx(2 / 3)


def test_filter_cosine_averages_over_the_output_channels_that_have_a_gradient():
    one = torch.tensor([[1.0, 0, 1], [1, 1, 0], [0, 0, 0]])
    two = torch.tensor([[1.0, 1, 0], [2, 2, 0], [0, 0, 0]])
    norm = torch.tensor([5.0, 5, 5])  # no filter
    assert _pairwise([[one, norm], [two, -norm]], "filter_cosine")[0, 1].item() == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize("others", ["random", "relaxed"])
@pytest.mark.parametrize("distance", ["cosine", "filter_cosine", "mse"])
def test_distances_are_symmetric_zero_to_themselves_and_reproducible(others, distance):
    torch.manual_seed(0)
    supernet = Supernet(cells())
    matrix = scores(supernet, "edge0_1", others=others, distance=distance)
    assert np.allclose(matrix, matrix.T)
    assert np.all((matrix >= 0) & (matrix <= 2))
    assert np.all(np.diag(matrix) < 1e-2)
    assert matrix[0, 4] > 1e-6
    assert np.array_equal(matrix, scores(supernet, "edge0_1", others=others, distance=distance))
    assert not np.array_equal(matrix, scores(supernet, "edge0_3", others=others, distance=distance))


def released_vectors(reference: Supernet, edge: str, settings: list, batch: tuple) -> list[torch.Tensor]:
    """Gradients as released: of all weights of all cells, residual blocks included, but for those of one edge."""
    vectors = []
    for setting in settings:
        reference.zero_grad(set_to_none=True)
        run = reference.activate if isinstance(setting, Architecture) else reference.relax
        run(setting)
        F.cross_entropy(reference.train()(batch[0]), batch[1]).backward()
        named = [(n, p) for n, p in reference.network.named_parameters() if n.startswith("cells.")]
        kept = [p for n, p in named if f".{edge}." not in n]
        assert 0 < len(kept) < len(named) < len(list(reference.parameters()))
        vectors.append(torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in kept]))
    return vectors


@pytest.mark.parametrize("others", ["random", "relaxed"])
@pytest.mark.parametrize("edge", ["edge0_2", "edge0_3"])
def test_gradients_are_those_of_the_cells_without_the_edge_that_is_split(others, edge):
    """Second implementation, by the names of weights and backward into all of them."""
    torch.manual_seed(0)
    space = cells()
    supernet = Supernet(space)
    reference = Supernet(space)
    reference.load_state_dict(supernet.state_dict())
    matrix = scores(supernet, edge, repeats=1, others=others, seed=5)
    choices = next(d.choices for d in space.decisions if d.name == edge)
    if others == "relaxed":
        mixed = {d.name: dict.fromkeys(d.choices, 0.2) for d in space.decisions}
        settings = [space.relaxation({**mixed, edge: choice}) for choice in choices]
    else:
        drawn = np.random.default_rng(5).integers(0, space.choice_counts)
        values = {d.name: d.choices[i] for d, i in zip(space.decisions, drawn)}
        settings = [space.architecture({**values, edge: choice}) for choice in choices]
    (batch,) = batches(1)
    vectors = released_vectors(reference, edge, settings, batch)
    for (i, a), (j, b) in combinations(enumerate(vectors), 2):
        assert matrix[i, j] == pytest.approx(float(1 - a @ b / (a.norm() * b.norm() + 1e-6)), abs=1e-5)


def test_stems_and_heads_are_not_compared():
    """The parts that count as cells, by their names."""
    for space, decision, expected in (
        (cells(), "edge0_1", {"cells"}),
        (darts(width=4, cells=3, image_size=8, classes=4), "normal.node2.op1", {"cells"}),
        (blocks(), "stage1.block1.kernel", {"stages"}),
    ):
        network = space.build()
        found = compared_parameters(network, decision)
        names = {id(p): name for name, p in network.named_parameters()}
        assert {names[id(p)].partition(".")[0] for p in found} == expected
        assert not {id(p) for p in found} & {id(p) for p in parameters_of(network, decision)}


def test_where_cells_hold_nothing_else_all_other_weights_are_compared():
    network = one_decision().build()
    assert {name for name, p in network.named_parameters() if any(p is q for q in compared_parameters(network, "op"))} \
        == {"0.weight", "0.bias", "2.weight", "2.bias", "5.weight", "5.bias"}  # fmt: skip


def test_where_all_weights_follow_a_decision_those_that_run_with_every_choice_are_compared():
    """Against gradients of all weights, zeros where the smaller width does not reach."""
    size = Size("width", {2: 2, 4: 4})
    space = Space(
        name="widths",
        decisions=(Decision("width", (2, 4)),),
        build=lambda: nn.Sequential(ElasticLinear(3, size), nn.Tanh(), ElasticLinear(size, 2)),
    )
    torch.manual_seed(0)
    supernet = Supernet(space)
    assert compared_parameters(supernet.network, "width") == list(supernet.parameters())
    batch = torch.randn(8, 3), torch.randint(0, 2, (8,))
    vectors = []
    for width in (2, 4):
        supernet.activate(space.architecture({"width": width}))
        gradients = torch.autograd.grad(F.cross_entropy(supernet(batch[0]), batch[1]), list(supernet.parameters()))
        vectors.append(torch.cat([gradient.flatten() for gradient in gradients]))
    given = {"task": Classification(), "repeats": 1, "generator": np.random.default_rng(0)}
    matrix = distances(supernet, "width", [batch], **given)
    expected = 1 - vectors[0] @ vectors[1] / (vectors[0].norm() * vectors[1].norm() + 1e-6)
    assert matrix[0, 1] == pytest.approx(float(expected), abs=1e-6)


def test_scoring_leaves_no_trace():
    torch.manual_seed(0)
    supernet = Supernet(cells()).eval()
    supernet.network.stem.train()
    architecture = supernet.space.sample(np.random.default_rng(1))
    supernet.activate(architecture)
    x = torch.randn(2, 1, 8, 8)
    supernet(x).sum().backward()
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    gradients = {name: p.grad for name, p in supernet.named_parameters()}
    kept = {name: None if g is None else g.clone() for name, g in gradients.items()}
    modes = [module.training for module in supernet.modules()]
    random = torch.random.get_rng_state()
    scores(supernet, "edge0_1")
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())
    for name, parameter in supernet.named_parameters():
        assert parameter.grad is gradients[name]
        assert kept[name] is None or torch.equal(parameter.grad, kept[name])
    assert [module.training for module in supernet.modules()] == modes
    assert supernet.active == architecture
    assert torch.equal(torch.random.get_rng_state(), random)


def one_decision() -> Space:
    """Stem, an operation of three, head; `copy` has the weights of `original`."""

    def build() -> nn.Module:
        operations = {name: nn.Conv2d(4, 4, 3, padding=1) for name in ("other", "original", "copy")}
        operations["copy"].load_state_dict(operations["original"].state_dict())
        stem, head = nn.Conv2d(1, 4, 3), [nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)]
        return with_shared_norms(nn.Sequential(stem, ElasticChoice("op", operations), *head))

    choices = ("other", "original", "copy")
    return Space(name="one", decisions=(Decision("op", choices),), inputs=(Input((1, 8, 8)),), build=build)


@pytest.mark.parametrize("seed", range(5))
def test_equal_operations_are_not_separated(seed):
    torch.manual_seed(seed)
    space = one_decision()
    matrix = scores(Supernet(space), "op", seed=seed)
    assert matrix[1, 2] < 1e-3 < matrix[0, 1]
    assert cut_of(space.decisions[0], matrix, 2).groups == (("other",), ("original", "copy"))


def test_kernels_of_a_block_that_may_be_left_out_are_compared():
    torch.manual_seed(0)
    supernet = Supernet(blocks())
    decision = "stage2.block2.kernel"
    matrix = scores(supernet, decision, repeats=4)
    assert matrix.shape == (3, 3)
    assert matrix[0, 1] > 1e-6
    own = parameters_of(supernet.network, decision)
    names = {name for name, p in supernet.network.named_parameters() if any(p is other for other in own)}
    assert names
    assert all(name.startswith("stages.1.blocks.1.") for name in names)
    with pytest.raises(ValueError, match="depend on others: it cannot be relaxed"):
        scores(supernet, decision, others="relaxed")


def test_only_connected_cells_are_compared_where_the_space_has_no_others():
    torch.manual_seed(0)
    space = nasbench201(width=4, cells=1, image_size=8, channels=1, classes=4, connected=True)
    supernet, seen = Supernet(space), []
    activate = supernet.activate
    supernet.activate = lambda architecture: (seen.append(architecture), activate(architecture))[1]
    matrix = scores(supernet, "edge0_3", repeats=4)
    assert matrix.shape == (5, 5)
    assert len(seen) >= 20
    assert all(map(is_connected, seen))


def test_a_diverged_supernet_and_too_few_batches_are_errors_in_plain_words():
    supernet = Supernet(cells())
    with pytest.raises(ValueError, match="repeats must be at most the number of batches, 2, got 3"):
        distances(supernet, "edge0_1", batches(2), task=Classification(), repeats=3, generator=np.random.default_rng(0))
    with torch.no_grad():
        supernet.network.classifier.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="distances between the choices of edge0_1 are not finite"):
        scores(supernet, "edge0_1")


# ---- groups ---------------------------------------------------------------------------------------------------------


def card_matrix() -> np.ndarray:
    upper = {(0, 1): 0.1, (0, 2): 0.9, (0, 3): 0.8, (0, 4): 0.7, (1, 2): 0.85}
    upper |= {(1, 3): 0.75, (1, 4): 0.8, (2, 3): 0.2, (2, 4): 0.3, (3, 4): 0.25}
    matrix = np.zeros((5, 5))
    for (i, j), value in upper.items():
        matrix[i, j] = matrix[j, i] = value
    return matrix


def test_the_numeric_example_of_the_method():
    cut = cut_of(Decision("op", (0, 1, 2, 3, 4)), card_matrix(), 2)
    assert cut.groups == ((0, 1), (2, 3, 4))
    assert cut.within == pytest.approx(0.85)
    assert cut.between == pytest.approx(4.80)
    alone = cut_of(Decision("op", (0, 1, 2, 3, 4)), card_matrix(), None)
    assert alone.groups == ((0,), (1,), (2,), (3,), (4,))
    assert (alone.within, alone.between) == (0, pytest.approx(5.65))


def brute_force(matrix: np.ndarray, groups: int, balanced: bool) -> tuple[float, set]:
    """Every labelling of every choice; the least sum within groups and all partitions that have it."""
    n, best, found = len(matrix), np.inf, set()
    for labels in product(range(groups), repeat=n):
        sizes = tuple(sorted(labels.count(g) for g in range(groups)))
        if 0 in sizes or (balanced and sizes not in allowed_sizes(n, groups)):
            continue
        within = fsum(matrix[i, j] for i, j in combinations(range(n), 2) if labels[i] == labels[j])
        parts = frozenset(frozenset(i for i in range(n) if labels[i] == g) for g in range(groups))
        if within <= best:
            found = {parts} if within < best else found | {parts}
            best = within
    return best, found


def test_groups_equal_brute_force_on_a_thousand_random_matrices():
    generator = np.random.default_rng(0)
    cases = [(2, 2), (3, 2), (4, 2), (5, 2), (6, 2), (7, 2), (3, 3), (4, 3), (5, 3), (6, 3)]
    for trial in range(1000):
        n, groups = cases[trial % len(cases)]
        matrix = generator.random((n, n))
        if trial % 3 == 0:
            matrix = np.round(matrix, 1)  # ties
        matrix = np.triu(matrix, 1) + np.triu(matrix, 1).T
        balanced = trial % 2 == 0
        found = partition(matrix, groups, "balanced" if balanced else "any")
        within, best = brute_force(matrix, groups, balanced)
        assert frozenset(map(frozenset, found)) in best
        assert fsum(matrix[i, j] for group in found for i, j in combinations(group, 2)) == within


def test_sizes_of_groups_are_the_published_ones():
    assert allowed_sizes(5, 2) == {(2, 3)}
    assert allowed_sizes(7, 2) == {(2, 5), (3, 4)}
    assert allowed_sizes(3, 2) == {(1, 2)}
    assert allowed_sizes(3, 3) == {(1, 1, 1)}
    assert allowed_sizes(7, 3) == {(2, 2, 3)}
    far = np.zeros((5, 5))
    far[0, 1:] = far[1:, 0] = 1.0  # alone by itself, if that were allowed
    assert partition(far, 2, "any") == ((0,), (1, 2, 3, 4))
    assert sorted(map(len, partition(far, 2))) == [2, 3]


def test_equally_good_groups_are_chosen_the_same_way_every_time():
    assert partition(np.ones((4, 4)), 2) == ((0, 1), (2, 3))


def test_impossible_groups_are_errors_in_plain_words():
    with pytest.raises(ValueError, match="groups must be from 1 to the number of choices, 3, got 4"):
        partition(np.zeros((3, 3)), 4)
    with pytest.raises(ValueError, match="must be finite"):
        partition(np.full((3, 3), np.nan), 2)


# ---- which decision -------------------------------------------------------------------------------------------------


def test_the_largest_cut_is_split_or_the_least_distance_within_as_released():
    wide = Cut("wide", ((0,), (1,)), np.zeros((2, 2)), within=2.0, between=5.0)
    close = Cut("close", ((0,), (1,)), np.zeros((2, 2)), within=0.5, between=1.0)
    assert best_cut([close, wide]).decision == "wide"
    assert best_cut([close, wide], "least_within").decision == "close"
    assert best_cut([wide, close, wide]) is wide


def test_only_whole_decisions_that_a_pattern_names_are_split():
    space = blocks()
    part = space.restrict({"stage1.block1.kernel": (3, 5)})
    names = [d.name for d in eligible(space, part, ["*.kernel"], 2)]
    assert names == ["stage1.block2.kernel", "stage2.block1.kernel", "stage2.block2.kernel"]
    assert not eligible(space, part, ["*.expand"], 3)  # two choices only
    assert len(eligible(space, part, ["*.expand", "*.kernel"], None)) == 7
