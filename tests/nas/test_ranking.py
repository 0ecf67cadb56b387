"""Ranking on the supernet: the same accuracies as naive ways give, and no trace left."""

import numpy as np
import pytest
import torch

from nas.objectives import top1_percent
from nas.ranking import RankingImages, rank
from search_spaces import Architecture, Space
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.families.nasbench201 import nasbench201
from supernets import Supernet, calibrate
from tests.supernets.helpers import scrambled

CPU = torch.device("cpu")


def cells(**options: bool) -> Supernet:
    torch.manual_seed(0)
    return Supernet(nasbench201(width=4, cells=1, image_size=8, classes=4, **options))


def sizes() -> Supernet:
    torch.manual_seed(0)
    space = small_mobilenet_v3(
        image_size=8, channels=3, classes=4, stem_width=8, first_width=8, stage_widths=(8, 12), strides=(1, 2),
        depths=(1, 2), last_width=16, feature_width=16,
    )  # fmt: skip
    return scrambled(Supernet(space))


def batches(*counts: int, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(n, 3, 8, 8, generator=generator), torch.randint(0, 4, (n,), generator=generator)) for n in counts
    ]


def drawn(space: Space, n: int = 6) -> list[Architecture]:
    generator = np.random.default_rng(0)
    return [space.smallest(), space.largest(), *(space.sample(generator) for _ in range(n))]


@pytest.mark.parametrize("make", [lambda: cells(shared_affine=False), cells, sizes])
def test_calibrated_equals_extracting_calibrating_and_testing(make) -> None:
    supernet, validation = make(), batches(40, 23)
    calibration = [images for images, _ in batches(32, 17, seed=1)]
    architectures = drawn(supernet.space)
    images = RankingImages.of(validation, device=CPU, calibration=calibration)
    percent = rank(supernet, architectures, images, batch_norm="calibrated")
    expected = [top1_percent(calibrate(supernet.extract(a), calibration), validation) for a in architectures]
    assert percent.tolist() == expected
    assert len(set(expected)) > 2


@pytest.mark.parametrize("make", [lambda: cells(shared_affine=False), sizes])
def test_batch_statistics_equal_those_of_an_extracted_network_in_training_mode(make) -> None:
    supernet, validation = make(), batches(40, 24)
    architectures = drawn(supernet.space)
    percent = rank(supernet, architectures, RankingImages.of(validation, device=CPU))
    expected = []
    for architecture in architectures:
        subnet = supernet.extract(architecture).train()
        with torch.no_grad():
            right = sum(int((subnet(images).argmax(1) == labels).sum()) for images, labels in validation)
        expected.append(100.0 * right / 64)
    assert percent.tolist() == expected
    assert len(set(expected)) > 2


@pytest.mark.parametrize("batch_norm", ["batch", "calibrated"])
@pytest.mark.parametrize("training", [True, False])
def test_ranking_leaves_no_trace(batch_norm, training: bool) -> None:
    supernet = sizes().train(training)
    next(supernet.network.children()).train(not training)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    modes = [module.training for module in supernet.modules()]
    architectures = drawn(supernet.space)
    supernet.activate(architectures[3])
    images = RankingImages.of(batches(16), device=CPU, calibration=[images for images, _ in batches(16)])
    rank(supernet, architectures, images, batch_norm=batch_norm)
    after = supernet.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert [module.training for module in supernet.modules()] == modes
    assert supernet.active == architectures[3]
    assert all(parameter.grad is None for parameter in supernet.parameters())
    supernet(batches(8)[0][0]).sum().backward()  # what ranking touched can be trained on


def test_a_failure_in_the_middle_leaves_no_trace_either() -> None:
    supernet = cells().train()
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    images = RankingImages.of(batches(16), device=CPU)
    with pytest.raises(ValueError, match="edge0_2"):
        rank(supernet, [supernet.space.largest(), Architecture({"edge0_1": "none"})], images)
    assert all(torch.equal(tensor, supernet.state_dict()[name]) for name, tensor in before.items())
    assert supernet.training
    assert supernet.active == supernet.space.largest()


def test_chunks_arrive_in_order_and_make_up_the_whole() -> None:
    supernet, seen = cells(), []
    architectures = drawn(supernet.space, 5)
    images = RankingImages.of(batches(16), device=CPU)
    percent = rank(supernet, architectures, images, chunk=3, on_chunk=lambda done, part: seen.append((done, part)))
    assert [done for done, _ in seen] == [0, 3, 6]
    assert np.concatenate([part for _, part in seen]).tolist() == percent.tolist()
    assert rank(supernet, architectures, images, chunk=100).tolist() == percent.tolist()
    assert rank(supernet, [], images).tolist() == []


def test_dropout_is_off() -> None:
    space = cells().space
    supernet = Supernet(space)
    supernet.network.classifier = torch.nn.Sequential(torch.nn.Dropout(0.9), supernet.network.classifier)
    images, architectures = RankingImages.of(batches(64), device=CPU), drawn(space)
    assert rank(supernet.train(), architectures, images).tolist() == rank(supernet, architectures, images).tolist()


def test_no_batch_is_a_small_rest() -> None:
    given = batches(8, 8, 1)
    images = RankingImages.of(given, device=CPU, batch_size=8)
    assert [len(labels) for _, labels in images.batches] == [6, 6, 5]
    assert torch.equal(torch.cat([labels for _, labels in images.batches]), torch.cat([labels for _, labels in given]))
    assert torch.equal(torch.cat([x for x, _ in images.batches]), torch.cat([x for x, _ in given]))
    assert [len(labels) for _, labels in RankingImages.of(given, device=CPU).batches] == [8, 8, 1]


def test_what_cannot_be_ranked_is_refused() -> None:
    supernet = cells()
    images = RankingImages.of(batches(8), device=CPU)
    with pytest.raises(ValueError, match="calibration images"):
        rank(supernet, [supernet.space.largest()], images, batch_norm="calibrated")
    with pytest.raises(ValueError, match="chunk must be at least 1, got 0"):
        rank(supernet, [supernet.space.largest()], images, chunk=0)
    with pytest.raises(ValueError, match="at least one image"):
        RankingImages.of([], device=CPU)


def test_calibration_of_norms_that_are_no_layers_is_refused() -> None:
    layers = torch.nn.Conv2d(3, 64, 1), torch.nn.BatchNorm2d(64), torch.nn.Conv2d(64, 4, 8), torch.nn.Flatten()
    space = Space.from_module(torch.nn.Sequential(*layers), torch.zeros(1, 3, 8, 8))
    images = RankingImages.of(batches(4), device=CPU, calibration=[batches(4)[0][0]])
    with pytest.raises(ValueError, match="no batch norm of this supernet is called as a layer"):
        rank(Supernet(space), [space.largest()], images, batch_norm="calibrated")
    assert rank(Supernet(space), [space.largest()], images, batch_norm="batch").shape == (1,)
