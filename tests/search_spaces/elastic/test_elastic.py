"""Elastic layers against plain ones."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F

from search_spaces import Architecture, Relaxation
from search_spaces.blocks import Resize
from search_spaces.elastic import (
    ElasticBatchNorm2d,
    ElasticChoice,
    ElasticConv2d,
    ElasticDepth,
    ElasticLinear,
    ElasticResize,
    Size,
    elastic_layers,
    following_layers,
    governed,
    with_shared_norms,
)
from search_spaces.sizes import make_divisible

KERNEL = Size("kernel", {3: 3, 5: 5, 7: 7})
WIDTH = Size("expand", {1: 8, 2: 16})


def depthwise() -> ElasticConv2d:
    return ElasticConv2d(WIDTH, WIDTH, kernel=KERNEL, depthwise=True)


def test_fresh_kernel_transforms_take_the_centre_of_the_kernel():
    conv, x = depthwise(), torch.randn(2, 16, 9, 9)
    for kernel in (3, 5, 7):
        conv.activate(Architecture({"kernel": kernel, "expand": 2}))
        margin = (7 - kernel) // 2
        centre = conv.weight[:, :, margin : 7 - margin, margin : 7 - margin]
        assert torch.equal(conv(x), F.conv2d(x, centre, padding=kernel // 2, groups=16))


def test_the_7_to_5_transform_changes_5_and_3_but_not_7():
    conv, x = depthwise(), torch.randn(2, 16, 9, 9)
    outputs = {}
    for moment in ("before", "after"):
        for kernel in (3, 5, 7):
            conv.activate(Architecture({"kernel": kernel, "expand": 2}))
            outputs[moment, kernel] = conv(x).detach()
        with torch.no_grad():
            conv.transforms.matrices["7to5"][12, 3] += 1.0  # the centre of the 5x5 kernel, hence of the 3x3 one
    assert torch.equal(outputs["before", 7], outputs["after", 7])
    assert not torch.equal(outputs["before", 5], outputs["after", 5])
    assert not torch.equal(outputs["before", 3], outputs["after", 3])


def test_kernel_transforms_have_706_parameters_as_published():
    assert sum(p.numel() for p in depthwise().transforms.parameters()) == 706


def test_transform_is_the_matrix_times_the_kernel_as_a_vector():
    conv = depthwise()
    matrix = torch.randn(25, 25)
    with torch.no_grad():
        conv.transforms.matrices["7to5"].copy_(matrix)
    conv.activate(Architecture({"kernel": 5, "expand": 1}))
    channel = 3
    expected = (matrix @ conv.weight[channel, 0, 1:6, 1:6].reshape(25)).view(5, 5)
    assert torch.allclose(conv.active_weight(8)[channel, 0], expected, atol=1e-6)


def test_narrow_setting_uses_the_first_channels():
    conv, x = ElasticConv2d(WIDTH, 4, bias=True), torch.randn(2, 8, 5, 5)
    conv.activate(Architecture({"expand": 1}))
    assert torch.equal(conv(x), F.conv2d(x, conv.weight[:, :8], conv.bias))


def test_batch_norm_updates_only_the_statistics_of_active_channels():
    norm = ElasticBatchNorm2d(WIDTH)
    norm.train()(torch.randn(4, 8, 3, 3) + 5)
    assert (norm.running_mean[:8] > 0.2).all()
    assert (norm.running_mean[8:] == 0).all()
    assert (norm.running_var[8:] == 1).all()


def test_linear_uses_the_features_that_arrive():
    linear, x = ElasticLinear(WIDTH, 3), torch.randn(2, 8)
    linear.activate(Architecture({"expand": 1}))
    assert torch.equal(linear(x), F.linear(x, linear.weight[:, :8], linear.bias))
    assert torch.equal(linear.extract()(x), linear(x))


def test_depth_runs_the_first_blocks():
    stage = ElasticDepth([torch.nn.Linear(4, 4) for _ in range(3)], Size("depth", {1: 1, 3: 3}))
    x = torch.randn(2, 4)
    stage.activate(Architecture({"depth": 1}))
    assert torch.equal(stage(x), stage.blocks[0](x))
    assert len(stage.extract()) == 1
    with pytest.raises(ValueError, match="was given 2 blocks"):
        ElasticDepth([torch.nn.Linear(4, 4) for _ in range(2)], Size("depth", {1: 1, 3: 3}))


def test_resize_leaves_images_of_the_right_size_untouched():
    resize, x = ElasticResize(Size("resolution", {16: 16, 32: 32})), torch.randn(2, 3, 32, 32)
    resize.activate(Architecture({"resolution": 32}))
    assert resize(x) is x
    resize.activate(Architecture({"resolution": 16}))
    assert resize(x).shape == (2, 3, 16, 16)
    assert isinstance(resize.extract(), Resize)
    assert torch.equal(resize.extract()(x), resize(x))


def test_an_inactive_layer_keeps_its_setting():
    conv = depthwise()
    conv.activate(Architecture({"kernel": 5, "expand": 1}))
    conv.activate(Architecture({"something": 1}))
    assert (conv.active_kernel, conv.active_in) == (5, 8)


@pytest.mark.parametrize(
    ("value", "rounded"), [(3, 8), (8, 8), (11, 16), (12, 16), (19.2, 24), (28.8, 32), (134.4, 136)]
)
def test_make_divisible(value, rounded):
    assert make_divisible(value) == rounded
    assert make_divisible(value) >= 0.9 * value


class Times(torch.nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(factor))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x


def choice() -> ElasticChoice:
    return ElasticChoice("edge", {"none": None, "double": Times(2.0), "triple": Times(3.0)})


def test_a_choice_runs_the_operation_of_the_architecture():
    layer, x = choice(), torch.tensor([1.0, 2.0])
    assert layer(x).tolist() == [3.0, 6.0]  # the dearest at first
    for name, expected in (("double", [2.0, 4.0]), ("triple", [3.0, 6.0])):
        layer.activate(Architecture({"edge": name}))
        assert layer(x).tolist() == expected
        assert layer.extract()(x).tolist() == expected
    layer.activate(Architecture({"edge": "none"}))
    assert layer(x) is None
    assert layer.extract() is None


def test_a_mixture_is_the_weighted_sum_and_passes_gradients_to_the_weights():
    layer, x = choice(), torch.tensor([1.0, 2.0])
    weight = torch.tensor(0.25, requires_grad=True)
    layer.activate(Relaxation({"edge": {"none": 0.5, "double": weight, "triple": 0.25}}))
    out = layer(x)
    assert out.tolist() == [1.25, 2.5]
    out.sum().backward()
    assert weight.grad.item() == 6.0
    with pytest.raises(ValueError, match="edge is a mixture of choices"):
        layer.extract()


def test_a_copied_choice_is_independent_of_the_original():
    layer, x = choice(), torch.ones(1)
    copied = deepcopy(layer)
    copied.activate(Architecture({"edge": "double"}))
    with torch.no_grad():
        copied.operation("double").factor.fill_(7.0)
    assert (layer(x).item(), copied(x).item()) == (3.0, 7.0)


def test_governed_modules_are_those_that_a_choice_lets_run():
    layer = choice()
    assert [(d, c) for d, c, _ in governed(layer)] == [("edge", "double"), ("edge", "triple")]
    conv = depthwise()
    assert {(d, c) for d, c, m in governed(conv) if m is conv} == {(KERNEL.decision, k) for k in (3, 5, 7)} | {
        (WIDTH.decision, e) for e in (1, 2)
    }
    stage = ElasticDepth([torch.nn.Identity(), torch.nn.Identity()], Size("depth", {1: 1, 2: 2}))
    assert [(c, m is stage.blocks[0]) for _, c, m in governed(stage)] == [(1, True), (2, True), (2, False)]


def test_only_layers_that_follow_a_decision_are_activated():
    norm, wide = ElasticBatchNorm2d(4), ElasticBatchNorm2d(WIDTH)
    edge = ElasticChoice("edge", {"one": ElasticBatchNorm2d(4), "two": torch.nn.Sequential(depthwise())})
    network = torch.nn.Sequential(norm, torch.nn.Sequential(wide), torch.nn.ReLU(), edge)
    assert elastic_layers(network) == [norm, wide, edge]
    assert following_layers(network) == [wide, edge]
    for layer in following_layers(network):
        layer.activate(Architecture({"expand": 1, "kernel": 5, "edge": "two"}))
    conv = edge.operation("two")[0]
    assert (wide.active_size, conv.active_kernel, conv.active_in) == (8, 5, 8)


def test_shared_norms_replace_all_plain_ones_and_keep_their_settings():
    def plain(affine: bool) -> torch.nn.Module:
        norm = torch.nn.BatchNorm2d(3, eps=1e-3, momentum=0.3, affine=affine)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), torch.nn.ModuleDict({"norm": norm})).eval()

    for given, kept, expected in ((True, True, True), (True, False, False), (False, True, False)):
        network = with_shared_norms(plain(given), affine=kept)
        norm = network[1]["norm"]
        assert isinstance(norm, ElasticBatchNorm2d)
        assert (norm.eps, norm.momentum, norm.training) == (1e-3, 0.3, False)
        assert (norm.weight is not None) is (norm.bias is not None) is expected


def test_sizes_of_images_cannot_be_mixed():
    resize = ElasticResize(Size("resolution", {8: 8, 16: 16}))
    with pytest.raises(TypeError, match=r"resolution is a size: its choices \(8, 16\) cannot be mixed"):
        resize.activate(Relaxation({"resolution": {8: 0.5, 16: 0.5}}))
