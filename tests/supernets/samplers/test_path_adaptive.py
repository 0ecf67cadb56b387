"""PA&DA, the path half: norms, smoothing, schedule, and what becomes of them on real networks."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from search_spaces.elastic import ElasticConv2d
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.nasbench201_cell import OPERATIONS
from supernets import PathAdaptive, Supernet, TrainConfig, phases, train
from supernets.samplers.path_adaptive import mixed_with_uniform
from tests.supernets.helpers import Images

CELLS = nasbench201(width=4, cells=1, image_size=8, channels=1, classes=4, shared_affine=False)
SLICES = small_mobilenet_v3(image_size=8, channels=1, classes=4, stage_widths=(8, 16), strides=(1, 2))


def backward(supernet: Supernet, architecture, images: Images | None = None) -> None:
    """Gradients of one step, after clipping."""
    (x, y), *_ = (images or Images(n=16)).batches(16, epoch=0, seed=0)
    supernet.zero_grad(set_to_none=True)
    supernet.train().activate(architecture)
    F.cross_entropy(supernet(x), y).backward()
    torch.nn.utils.clip_grad_norm_(supernet.parameters(), 5.0)


def norm(parameter: torch.Tensor | None) -> float:
    return 0.0 if parameter is None or parameter.grad is None else float(parameter.grad.norm())


# ---- the schedule ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tau", "expected"),
    [(0.0, [0.2] * 5), (0.4, [0.12, 0.12, 0.27, 0.37, 0.12]), (1.0, [0, 0, 0.375, 0.625, 0])],
)
def test_probabilities_of_the_published_example(tau, expected):
    assert mixed_with_uniform(np.array([0.0, 0, 3, 5, 0]), tau) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("norms", [[0, 0, 0], [1, np.nan, 2], [1, np.inf, 0]])
def test_norms_that_say_nothing_give_uniform_probabilities(norms):
    assert mixed_with_uniform(np.array(norms, dtype=float), 0.9) == pytest.approx([1 / 3] * 3)


def test_a_floor_keeps_every_choice_and_moves_no_more_than_it_must():
    plain = mixed_with_uniform(np.array([0.0, 0, 3, 5, 0]), 1.0)
    raised = mixed_with_uniform(np.array([0.0, 0, 3, 5, 0]), 1.0, floor=0.05)
    assert raised == pytest.approx([0.05, 0.05, 0.85 * plain[2], 0.85 * plain[3], 0.05])
    assert mixed_with_uniform(np.array([3.0, 5]), 0.5, floor=0.1) == pytest.approx(
        mixed_with_uniform(np.array([3.0, 5]), 0.5)
    )
    rng = np.random.default_rng(0)
    for _ in range(200):
        norms, floor = rng.exponential(size=6) ** 4, rng.uniform(0, 1 / 6)
        p = mixed_with_uniform(norms, rng.uniform(), floor=floor)
        assert p.sum() == pytest.approx(1)
        assert p.min() >= floor - 1e-12


def test_every_epoch_has_probabilities_that_sum_to_one_and_the_first_two_are_uniform():
    epochs, events = 6, []
    config = TrainConfig(sampler="path_adaptive", epochs=epochs, batch_size=16, lr=0.05)
    train(Supernet(CELLS), phases(CELLS, config), Images(), config, observer=events.append)
    found = [event for event in events if event["event"] == "sampler"]
    assert [event["epoch"] for event in found] == list(range(1, epochs + 1))
    for ended, event in enumerate(found):  # used in epoch `ended` + 1; epoch 0 has no event, it begins uniform
        probabilities = event["probabilities"]
        assert list(probabilities) == list(OPERATIONS)
        assert sum(probabilities.values()) == pytest.approx(1)
        assert min(probabilities.values()) >= (1 - ended / epochs) / 5 - 1e-12
        for operation in ("none", "skip_connect", "avg_pool_3x3"):  # no weights: the uniform part only
            assert probabilities[operation] == pytest.approx((1 - ended / epochs) / 5)
    assert list(found[0]["probabilities"].values()) == pytest.approx([0.2] * 5)
    assert found[1]["probabilities"]["nor_conv_3x3"] > 0.2


# ---- the norms ------------------------------------------------------------------------------------------------------


def published(supernet: Supernet, architecture, operation: str) -> float:
    """Sum over cells and edges with the operation of the norms of weight and bias, divided by the number of edges."""
    edges = [edge for edge, chosen in architecture.items() if chosen == operation]
    total = 0.0
    for cell in supernet.network.cells:
        for edge in edges:
            if hasattr(cell, edge):
                convolution = getattr(cell, edge).operation(operation).conv
                total += norm(convolution.weight) + norm(convolution.bias)
    return total / len(edges) if edges else 0.0


def test_norms_of_nasbench201_are_the_published_ones_over_the_number_of_cells():
    torch.manual_seed(0)
    supernet, sampler = Supernet(CELLS), PathAdaptive(space=CELLS)
    smoothed = dict.fromkeys(OPERATIONS, 0.0)
    generator = np.random.default_rng(4)
    for _ in range(8):
        architecture = CELLS.sample(generator)
        backward(supernet, architecture)
        sampler.observe([architecture], supernet)
        for operation in ("nor_conv_1x1", "nor_conv_3x3"):
            if h := published(supernet, architecture, operation):
                smoothed[operation] = (smoothed[operation] + h) / 2
    assert sampler._norms.numpy() * 3 == pytest.approx(list(smoothed.values()), rel=1e-5)
    g = np.array(list(smoothed.values()))
    sampler.end_epoch(0.4)
    assert sampler.probabilities["edge"] == pytest.approx(0.4 * g / g.sum() + 0.6 / 5, rel=1e-5)


def test_norms_begin_anew_with_every_epoch():
    torch.manual_seed(0)
    supernet, sampler = Supernet(CELLS), PathAdaptive(space=CELLS)
    backward(supernet, CELLS.largest())
    sampler.observe([CELLS.largest()], supernet)
    sampler.end_epoch(1.0)
    assert sampler.probabilities["edge"] == pytest.approx([0, 0, 0, 0, 1])
    sampler.end_epoch(1.0)  # an epoch in which no convolution was drawn
    assert sampler.probabilities["edge"] == pytest.approx([0.2] * 5)


def test_every_decision_has_its_own_probabilities_on_request():
    torch.manual_seed(0)
    supernet, sampler = Supernet(CELLS), PathAdaptive(space=CELLS, per_decision=True)
    architecture = CELLS.architecture({**CELLS.largest(), "edge0_1": "nor_conv_1x1", "edge2_3": "skip_connect"})
    backward(supernet, architecture)
    sampler.observe([architecture], supernet)
    named = sampler.end_epoch(1.0)
    assert named["edge0_1/nor_conv_1x1"] == pytest.approx(1)
    assert named["edge0_2/nor_conv_3x3"] == pytest.approx(1)
    assert [named[f"edge2_3/{operation}"] for operation in OPERATIONS] == pytest.approx([0.2] * 5)
    assert len(named) == 30


def test_sliced_layers_count_under_the_choices_that_were_active():
    """Kernel decisions of a MobileNetV3: the depthwise convolution of every block that ran, under its kernel size."""
    torch.manual_seed(0)
    supernet, sampler = Supernet(SLICES), PathAdaptive(space=SLICES)
    architecture = SLICES.sample(np.random.default_rng(5))
    backward(supernet, architecture)
    sampler.observe([architecture], supernet)
    expected = {}
    for size in (3, 5, 7):
        norms = [
            norm(module.weight) + norm(module.bias)
            for module in supernet.modules()
            if isinstance(module, ElasticConv2d)
            and hasattr(module.kernel, "decision")
            and architecture.get(module.kernel.decision) == size
        ]
        expected[size] = np.mean(norms) / 2 if norms else 0.0  # the running mean starts from 0
    assert sum(value > 0 for value in expected.values()) >= 2
    start = sampler._starts["kernel"]
    assert sampler._norms[start : start + 3].numpy() == pytest.approx(list(expected.values()), rel=1e-5)


def test_dimensions_with_equal_choices_do_not_share_probabilities():
    space = small_mobilenet_v3(depths=(2, 3, 4), expands=(2, 3, 4))
    sampler = PathAdaptive(space=space)
    assert {"kernel", "depth", "expand"} <= set(sampler.probabilities)
    names = sampler._named()
    assert "depth/2" in names
    assert "expand/2" in names
    assert not any(name.startswith("resolution") for name in names), "one choice only: nothing to log"


def test_several_subnets_count_under_every_choice_that_one_of_them_has():
    torch.manual_seed(0)
    supernet, sampler = Supernet(CELLS), PathAdaptive(space=CELLS, subnets=2)
    first = CELLS.architecture(dict.fromkeys(CELLS.largest(), "nor_conv_1x1"))
    (x, y), *_ = Images(n=16).batches(16, epoch=0, seed=0)
    for architecture in (first, CELLS.largest()):
        supernet.train().activate(architecture)
        F.cross_entropy(supernet(x), y).backward()
    sampler.observe([first, CELLS.largest()], supernet)
    for position, operation in ((3, "nor_conv_1x1"), (4, "nor_conv_3x3")):
        alone = CELLS.architecture(dict.fromkeys(CELLS.largest(), operation))
        assert float(sampler._norms[position]) * 3 * 2 == pytest.approx(published(supernet, alone, operation), rel=1e-5)


# ---- draws ----------------------------------------------------------------------------------------------------------


def test_choices_are_drawn_as_often_as_their_probability_says():
    from scipy.stats import chisquare

    sampler = PathAdaptive(space=CELLS)
    sampler.probabilities["edge"] = p = np.array([0.02, 0.08, 0.2, 0.3, 0.4])
    generator = np.random.default_rng(0)
    drawn = [operation for _ in range(2000) for operation in sampler.draw(generator)[0].values()]
    counts = [drawn.count(operation) for operation in OPERATIONS]
    assert chisquare(counts, p * len(drawn)).pvalue > 1e-4


def test_a_choice_of_probability_zero_is_never_drawn():
    sampler = PathAdaptive(space=CELLS)
    sampler.probabilities["edge"] = np.array([0, 0, 0.375, 0.625, 0])
    drawn = {operation for i in range(300) for operation in sampler.draw(np.random.default_rng(i))[0].values()}
    assert drawn == {"avg_pool_3x3", "nor_conv_1x1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"floor": 0.3}, "floor must be from 0 to 1/5 (a decision has 5 choices), got 0.3"),
        ({"floor": -0.1}, "floor must be from 0 to 1/5"),
        ({"subnets": 0}, "subnets must be at least 1, got 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        PathAdaptive(space=CELLS, **options)
