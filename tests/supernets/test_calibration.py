"""Batch-norm calibration, and the refusal to read an accuracy without it."""

import pytest
import torch
from torch import nn

from nas.objectives import top1_percent
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from supernets import Supernet, calibrate, require_calibrated
from tests.supernets.helpers import scrambled


def test_statistics_are_averages_of_batch_means_and_biased_variances_weighted_by_size():
    net = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.BatchNorm2d(3))
    batches = [torch.randn(n, 3, 4, 4) * (i + 1) + i for i, n in enumerate((8, 8, 4))]
    calibrate(net, batches)
    weights = torch.tensor([8, 8, 4.0])[:, None] / 20
    means = torch.stack([b.mean((0, 2, 3)) for b in batches])
    variances = torch.stack([b.var((0, 2, 3), correction=0) for b in batches])
    assert torch.allclose(net[0].running_mean, (weights * means).sum(0), atol=1e-6)
    assert torch.allclose(net[0].running_var, (weights * variances).sum(0), atol=1e-5)
    normal = [
        torch.relu((b - b.mean((0, 2, 3), True)) / (b.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt())
        for b in batches
    ]
    expected = (weights * torch.stack([x.mean((0, 2, 3)) for x in normal])).sum(0)
    assert torch.allclose(net[2].running_mean, expected, atol=1e-5)  # later layers see normalised inputs
    assert not net.training
    assert net[0].momentum == 0.1


def test_constant_input_gives_its_value_and_no_variance():
    net = calibrate(nn.Sequential(nn.BatchNorm2d(2)), [torch.full((4, 2, 3, 3), 7.0)])
    assert torch.equal(net[0].running_mean, torch.tensor([7.0, 7.0]))
    assert torch.equal(net[0].running_var, torch.zeros(2))


def test_weights_do_not_change_and_need_no_gradient():
    supernet = scrambled(Supernet(small_mobilenet_v3()))
    subnet = supernet.extract()
    before = {name: p.clone() for name, p in subnet.named_parameters()}
    calibrate(subnet, [torch.randn(8, 3, 32, 32)])
    assert all(torch.equal(p, before[name]) and p.grad is None for name, p in subnet.named_parameters())


def test_uncalibrated_accuracy_is_impossible():
    subnet = Supernet(small_mobilenet_v3()).extract()
    batches = [(torch.randn(4, 3, 32, 32), torch.zeros(4, dtype=torch.long))]
    with pytest.raises(ValueError, match="is not calibrated"):
        top1_percent(subnet, batches)
    assert 0 <= top1_percent(calibrate(subnet, [images for images, _ in batches]), batches) <= 100


def test_bfloat16_changes_nothing_on_a_cpu():
    batches = [torch.randn(n, 3, 4, 4) for n in (8, 4)]
    found = [calibrate(nn.Sequential(nn.BatchNorm2d(3)), batches, bf16=bf16) for bf16 in (False, True)]
    assert torch.equal(found[0][0].running_var, found[1][0].running_var)


def test_a_norm_that_does_not_run_keeps_its_statistics():
    class OneOfTwo(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.used(x)

    net = calibrate(OneOfTwo(), [torch.randn(8, 3, 4, 4) + 5])
    assert net.used.running_mean.min() > 4
    assert torch.equal(net.unused.running_mean, torch.zeros(3))


def test_a_norm_that_runs_twice_is_weighted_by_all_that_it_saw():
    norm = nn.BatchNorm2d(3)
    batches = [torch.randn(n, 3, 4, 4) + n for n in (8, 4)]
    calibrate(nn.Sequential(norm, nn.Identity()), batches)
    once = norm.running_mean.clone()
    twice = nn.BatchNorm2d(3)
    twice.weight.requires_grad_(False).zero_()
    calibrate(nn.Sequential(twice, twice), batches)
    assert torch.allclose(twice.running_mean, once / 2, atol=1e-6)  # the second time it sees zeros


def test_norms_without_running_statistics_need_none():
    net = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.BatchNorm2d(3))
    images = torch.randn(8, 3, 4, 4) + 2
    expected = torch.nn.functional.batch_norm(images, None, None, net[0].weight, net[0].bias, training=True)
    calibrate(net, [images])
    require_calibrated(net)
    assert torch.allclose(net[1].running_mean, expected.mean((0, 2, 3)), atol=1e-6)
    require_calibrated(calibrate(net[:1], [images]))


def test_no_images_is_an_error():
    with pytest.raises(ValueError, match="at least one batch"):
        calibrate(nn.Sequential(nn.BatchNorm2d(2)), [])
