"""Where convolutions go: native on a CPU, and wherever our own programs would be wrong or cannot run."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from search_spaces.elastic import ElasticConv2d
from search_spaces.kernels import block_sizes as blocks
from search_spaces.kernels import conv2d as convolution
from supernets.device import computing, judging

CUDA = torch.device("cuda")


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("kernel", "groups"), [(3, 8), (1, 1), (3, 1)])
def test_a_cpu_computes_by_the_native_convolution(kernel, groups):
    x, weight = images(2, 8, 5, 5), torch.randn(8, 8 // groups, kernel, kernel)
    expected = F.conv2d(x, weight, None, 1, kernel // 2, 1, groups)
    assert torch.equal(convolution.conv2d(x, weight, None, 1, kernel // 2, 1, groups), expected)


def test_a_pointwise_convolution_is_a_matrix_product_in_the_same_layout():
    torch.manual_seed(0)
    x, whole, bias = images(2, 6, 5, 4).double(), torch.randn(9, 8, 1, 1, dtype=torch.double), torch.randn(7).double()
    weight = whole[:7, :6]
    found = convolution._pointwise(x, weight, bias)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, F.conv2d(x, weight, bias))


def test_only_images_in_the_right_layout_and_here_are_taken(monkeypatch):
    assert convolution._is_ordinary(images(2, 8, 5, 5))
    assert not convolution._is_ordinary(torch.randn(2, 8, 5, 5))
    assert not convolution._is_ordinary(images(2, 8, 5, 5).double())
    assert not convolution._is_ordinary(images(0, 8, 5, 5))
    seen = []

    def probe(x: torch.Tensor) -> torch.Tensor:
        seen.append(convolution._is_ordinary(x))
        return x.sum()

    torch.func.grad(probe)(images(2, 8, 5, 5))
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    probe(images(2, 8, 5, 5))
    assert seen == [False, False]


@pytest.mark.parametrize(
    ("shape", "stride", "padding", "fits"),
    [
        ((8, 1, 3, 3), 1, 1, True),
        ((8, 1, 7, 7), 2, 3, True),
        ((8, 1, 7, 7), 1, 0, False),
        ((8, 1, 3, 3), 3, 1, False),
        ((8, 1, 4, 4), 1, 2, False),
        ((8, 1, 3, 5), 1, 1, False),
        ((16, 1, 3, 3), 1, 1, False),
    ],
)
def test_other_depthwise_convolutions_are_native(shape, stride, padding, fits):
    assert convolution._is_depthwise(images(2, 8, 5, 5), torch.zeros(shape), stride, padding) is fits


def test_amounts_that_differ_in_the_two_directions_are_native():
    assert [convolution._single(amount) for amount in (2, (2, 2), [1, 1], (1, 2), "same")] == [2, 2, 1, None, None]


def test_types_must_agree_outside_of_autocast():
    x = images(1, 8, 3, 3)
    assert convolution._fits(x, torch.zeros(8, 1, 3, 3), None)
    assert not convolution._fits(x.bfloat16(), torch.zeros(8, 1, 3, 3), None)
    assert not convolution._fits(x, torch.zeros(8, 1, 3, 3), torch.zeros(8).half())


def test_judging_leaves_a_network_on_the_cpu_alone():
    network = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8))
    with judging(network):
        assert "forward" not in vars(network[0])


def test_convolutions_are_swapped_and_put_back(monkeypatch):
    network = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 4, 3, padding="same"), nn.ReLU())
    network.append(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"))
    x = images(1, 8, 5, 5)
    expected, seen = network(x), []
    monkeypatch.setattr(nn.Parameter, "is_cuda", True, raising=False)

    def told(*arguments):
        seen.append(arguments[3:])
        return F.conv2d(*arguments)

    monkeypatch.setattr(convolution, "conv2d", told)
    with convolution.kernels_in(network), convolution.kernels_in(network):
        assert torch.equal(network(x), expected)
    assert seen == [((1, 1), (1, 1), (1, 1), 8), ((1, 1), "same", (1, 1), 1)]
    assert all("forward" not in vars(module) for module in network)
    with convolution.own_kernels(False), convolution.kernels_in(network):
        assert all("forward" not in vars(module) for module in network)


def test_a_switch_inside_a_switch_that_is_off_stays_off():
    with convolution.own_kernels(False), convolution.own_kernels(True):
        assert not convolution._in_use
    assert convolution._in_use


def test_settings_of_cuda_last_as_long_as_the_computation():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.allow_tf32, matmul.allow_bf16_reduced_precision_reduction, cudnn.benchmark, cudnn.allow_tf32)
    with computing(CUDA, kernels=False):
        assert matmul.allow_tf32 == cudnn.allow_tf32
        assert [matmul.allow_bf16_reduced_precision_reduction, cudnn.benchmark, convolution._in_use] == [False] * 3
    with computing(torch.device("cpu"), kernels=False):
        assert convolution._in_use
    after = (matmul.allow_tf32, matmul.allow_bf16_reduced_precision_reduction, cudnn.benchmark, cudnn.allow_tf32)
    assert after == before


def test_chosen_blocks_are_kept_in_a_file_and_a_damaged_one_is_timed_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(blocks, "_chosen", {("a card", "output"): blocks.Blocks(16, 32, 2)})
    blocks._keep()
    monkeypatch.setattr(blocks, "_chosen", {("another", "output"): blocks.Blocks(64, 32, 4)})
    blocks._keep()
    assert blocks._kept() == {("a card", "output"): (16, 32, 2), ("another", "output"): (64, 32, 4)}
    file = tmp_path / "espalier" / "depthwise_blocks.json"
    assert len(json.loads(file.read_text())) == 2
    file.write_text("[1")
    assert blocks._kept() == {}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("depthwise", [True, False])
def test_an_elastic_layer_gives_on_cuda_what_it_gives_natively(depthwise):
    torch.manual_seed(0)
    layer = ElasticConv2d(24, 24, kernel=5 if depthwise else 1, depthwise=depthwise).cuda()
    x = images(4, 24, 9, 9).cuda().requires_grad_()
    found = []
    for ours in (True, False):
        with convolution.own_kernels(ours):
            y = layer(x)
            found.append([y, *torch.autograd.grad(y.square().sum(), [x, layer.weight])])
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_second_derivatives_and_captured_graphs_work_on_cuda():
    weight = torch.randn(8, 1, 3, 3, device="cuda", requires_grad=True)
    x = images(2, 8, 5, 5).cuda().requires_grad_()
    slope = torch.autograd.grad(convolution.conv2d(x, weight, None, 1, 1, 1, 8).square().sum(), x, create_graph=True)[0]
    assert torch.autograd.grad(slope.square().sum(), weight)[0].isfinite().all()
    layer = ElasticConv2d(8, 8, kernel=3, depthwise=True).cuda()
    expected = layer(x)
    graphed = torch.cuda.make_graphed_callables(layer, (x.detach().clone().requires_grad_(),))
    torch.testing.assert_close(graphed(x), expected)
