"""Recorded passes inside of ordinary autograd; a stand-in for CUDA records."""

import pytest
import torch
from torch import Tensor, nn

from supernets.training.capture.passes import CapturedPass, NotCapturable
from tests.supernets.training.capture.stand_in import StandIn


def block() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())


def images(seed: int) -> Tensor:
    return torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(seed))


def captured(module: nn.Module, x: Tensor) -> CapturedPass:
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    one = CapturedPass(StandIn(), module, module, [x])
    for buffer, before in buffers:
        buffer.copy_(before)
    return one


def test_replays_give_outputs_gradients_and_running_statistics_of_the_module() -> None:
    plain, module = block(), block()
    one = captured(module, images(0).requires_grad_())
    for seed in range(3):
        mine, theirs = images(seed).requires_grad_(), images(seed).requires_grad_()
        slope = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
        out, wanted = one(mine), plain(theirs)
        assert torch.equal(out, wanted)
        found = torch.autograd.grad(out, [mine, *module.parameters()], slope)
        expected = torch.autograd.grad(wanted, [theirs, *plain.parameters()], slope)
        assert all(torch.equal(a, b) for a, b in zip(found, expected))
    assert all(torch.equal(a, b) for a, b in zip(module.buffers(), plain.buffers()))


def test_gradients_of_several_calls_in_a_step_add_up() -> None:
    plain, module = block(), block()
    one = captured(module, images(0))
    for step in range(2):
        for seed in range(3):
            (one(images(seed)) * (seed + step)).sum().backward()
            (plain(images(seed)) * (seed + step)).sum().backward()
        for mine, theirs in zip(module.parameters(), plain.parameters()):
            assert mine.grad is not None
            assert theirs.grad is not None
            assert torch.equal(mine.grad, theirs.grad)
        plain.zero_grad()
        module.zero_grad()


def test_a_call_that_waits_for_its_backward_keeps_the_pass_busy() -> None:
    one = captured(block(), images(0))
    out = one(images(1))
    assert not one.is_free
    out.sum().backward()
    assert one.is_free
    unused = one(images(2))
    assert not one.is_free
    del unused
    assert one.is_free


def test_a_second_backward_of_one_call_is_refused() -> None:
    one = captured(block(), images(0))
    loss = one(images(1)).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match=r"train\.capture"):
        loss.backward()


def test_what_draws_random_numbers_is_refused_and_draws_as_before() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with pytest.raises(NotCapturable, match="random"):
        captured(nn.Sequential(block(), nn.Dropout(0.5)), images(0))
    torch.manual_seed(5)
    assert torch.equal(before, torch.get_rng_state())


def test_what_changes_its_input_is_refused() -> None:
    with pytest.raises(NotCapturable, match="in place"):
        captured(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(2, 3, 1)), images(0))


def test_what_returns_something_else_is_refused() -> None:
    class Pair(nn.Conv2d):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            return x, super().forward(x)

    with pytest.raises(NotCapturable, match="one tensor"):
        captured(Pair(2, 3, 1), images(0))


def test_the_output_may_be_changed_in_place() -> None:
    plain, module = block()[:2], block()[:2]
    one = captured(module, images(0))
    for seed in range(2):
        torch.relu_(one(images(seed))).sum().backward()
        torch.relu_(plain(images(seed))).sum().backward()
    for mine, theirs in zip(module.parameters(), plain.parameters()):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert torch.equal(mine.grad, theirs.grad)
