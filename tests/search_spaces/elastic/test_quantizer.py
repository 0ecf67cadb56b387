"""Quantizers: codes, gradients and fitted ranges against hand-made numbers, and banks against their rules."""

import pytest
import torch
from torch import nn

from search_spaces import Architecture
from search_spaces.elastic import ElasticChunkedLinear, ElasticConv2d, ElasticLinear, Size, extracted
from search_spaces.elastic.fake_quantize import Levels, damped, factor_of, fake_quantized, fitted
from search_spaces.elastic.quantized import quantized, quantized_layers, without_quantizers
from search_spaces.elastic.quantizer import Bank, Quantizer, Rounding

BITS = Size("bits", {2: 2, 4: 4, 8: 8})


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_two_bits_round_to_the_published_codes_and_rounding_twice_changes_nothing() -> None:
    x = torch.tensor([-1.2, -0.3, 0.2, 0.6, 3.0])
    rounded = fake_quantized(x, torch.tensor(0.5), None, Levels.of(2, signed=True))
    assert rounded.tolist() == [-1.0, -0.5, 0.0, 0.5, 0.5]
    for offset in (None, torch.tensor(0.13)):
        for bits in range(2, 9):
            levels, x = Levels.of(bits, signed=True), numbers(200)
            once = fake_quantized(x, torch.tensor(0.07), offset, levels)
            assert torch.equal(fake_quantized(once, torch.tensor(0.07), offset, levels), once)
            assert len(once.unique()) <= 2**bits


def test_levels_are_those_of_signed_and_unsigned_numbers() -> None:
    assert (Levels.of(4, signed=True), Levels.of(4, signed=False)) == ((-8, 7), (0, 15))


def test_gradients_are_those_of_lsq_and_pass_inside_the_range_alone() -> None:
    x = torch.tensor([-9.0, -0.31, 0.2, 0.52, 9.0], requires_grad=True)
    scale, offset = torch.tensor(0.5, requires_grad=True), torch.tensor(0.1, requires_grad=True)
    fake_quantized(x, scale, offset, Levels(-2, 1)).sum().backward()
    assert x.grad is not None
    assert scale.grad is not None
    assert offset.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
    inside = ((x - 0.1) / 0.5)[1:4]
    wanted = -2 + 1 + (inside.round() - inside).sum()
    assert float(scale.grad) == pytest.approx(float(wanted.detach()), abs=1e-5)
    assert float(offset.grad) == pytest.approx(2.0)


def test_gradients_of_scales_are_damped_by_the_numbers_that_share_them() -> None:
    weight, levels = numbers(6, 4, 3, 3), Levels.of(4, signed=True)
    assert factor_of(weight, levels, per_channel=False) == pytest.approx((7 * 216) ** -0.5)
    assert factor_of(weight, levels, per_channel=True) == pytest.approx(2 * (7 * 36) ** -0.5)  # 36 in a channel
    value = torch.tensor(3.0, requires_grad=True)
    damped(value, 0.25).backward()
    assert value.grad is not None
    assert float(value.grad) == 0.25


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("per_channel", [True, False])
def test_fitted_ranges_lose_little_at_8_bits_and_never_more_with_more_bits(per_channel: bool, symmetric: bool) -> None:
    x, errors = numbers(8, 50) + (0.0 if symmetric else 0.7), []
    for bits in range(2, 9):
        levels = Levels.of(bits, signed=True)
        scale, offset = fitted(x, levels, per_channel=per_channel, symmetric=symmetric)
        assert scale.shape == offset.shape == ((8,) if per_channel else ())
        assert bool(offset.any()) != symmetric
        errors.append(float((x - fake_quantized(x, scale, offset, levels)).abs().pow(2.4).sum()))
    assert errors == sorted(errors, reverse=True)
    rounded = fake_quantized(x, scale, offset, levels)
    assert float((x - rounded).norm() / x.norm()) < 0.01


def test_a_fitted_range_is_the_best_of_all_that_are_tried() -> None:
    x, levels = numbers(1, 300, seed=3), Levels.of(3, signed=True)
    widths = [float(x.abs().max()) * 2 * (1 - 0.01 * i) / 7 for i in range(80)]
    losses = [float((x - fake_quantized(x, torch.tensor(w), None, levels)).abs().pow(2.4).sum()) for w in widths]
    scale, _ = fitted(x, levels, per_channel=False, symmetric=True)
    assert float(scale) == pytest.approx(widths[losses.index(min(losses))])


def test_numbers_that_are_never_negative_have_levels_from_0() -> None:
    bank = Bank(BITS)
    assert float(bank(numbers(100).relu()).min()) == 0.0
    assert bank.extract().form.tolist() == [8, 0]
    other = Bank(BITS)
    other(numbers(100))
    assert other.extract().form.tolist() == [8, 1]


def test_a_step_with_4_bits_leaves_the_ranges_of_others_without_gradients() -> None:
    bank = Bank(BITS, channels=6, per_channel=Size("g", {"tensor": 0, "channel": 1}), has_offset=1, signed=True)
    bank.activate(Architecture({"bits": 4, "g": "channel"}))
    bank(numbers(6, 5).requires_grad_()).sum().backward()
    assert [name for name, one in bank.named_parameters() if one.grad is not None] == [
        "scales.bits4_channel_offset",
        "offsets.bits4_channel_offset",
    ]


def test_symmetric_ranges_have_no_offset_that_could_move() -> None:
    bank = Bank(BITS, has_offset=Size("s", {"symmetric": 0, "asymmetric": 1}), signed=True)
    bank.activate(Architecture({"bits": 2, "s": "symmetric"}))
    x = numbers(50)
    assert float((bank(x) / bank.scales["bits2"] % 1).abs().max()) == 0.0
    assert set(bank.offsets) == {"bits2_offset", "bits4_offset", "bits8_offset"}


def layer_of(kind: str) -> nn.Module:
    torch.manual_seed(0)
    width = Size("width", {4: 4, 8: 8})
    made = {
        "conv": lambda: ElasticConv2d(3, width, kernel=Size("kernel", {3: 3, 5: 5})),
        "depthwise": lambda: ElasticConv2d(width, width, kernel=3, depthwise=True),
        "linear": lambda: ElasticLinear(6, width),
        "chunked": lambda: ElasticChunkedLinear(6, width, out_chunks=3),
        "plain": lambda: nn.Conv2d(3, 8, 3, padding=1),
    }[kind]()
    channels = {"chunked": 24}.get(kind, 8)
    weight = Bank(
        BITS, channels=channels, per_channel=Size("g", {"tensor": 0, "channel": 1}), has_offset=1, signed=True
    )
    return quantized(made, Quantizer(weight, Bank(BITS, has_offset=1)))


@pytest.mark.parametrize("kind", ["conv", "depthwise", "linear", "chunked", "plain"])
def test_extracted_layers_round_as_the_elastic_ones_and_their_weights_carry_the_bits(kind: str) -> None:
    network = nn.Sequential(layer_of(kind))
    inputs = {"depthwise": 4, "linear": 6, "chunked": 6}.get(kind, 3)
    x = numbers(2, 6) if kind in ("linear", "chunked") else numbers(2, inputs, 5, 5)
    from search_spaces.elastic import elastic_layers

    setting = Architecture({"width": 4, "kernel": 3, "bits": 2, "g": "channel"})
    for layer in elastic_layers(network):
        layer.activate(setting)
    active, plain = network(x), extracted(network)
    assert torch.allclose(plain(x), active, atol=1e-6)
    ((_, layer),) = quantized_layers(plain)
    rows = layer.quantizer.weight(layer.weight).flatten(1)
    assert max(len(row.unique()) for row in rows) <= 4  # 2 bits
    again = extracted(network)
    for rounding in (again[0].quantizer.weight, again[0].quantizer.input):
        rounding.reset_parameters()
    again.load_state_dict(plain.state_dict())
    assert torch.equal(again(x), plain(x))
    assert plain.state_dict()["0.quantizer.weight.form"].tolist() == [2, 1]
    assert not quantized_layers(without_quantizers(plain))


def test_scales_of_channels_follow_the_channels_that_are_kept() -> None:
    layer = layer_of("chunked")
    layer(numbers(4, 6))
    scale = layer.quantizer.weight.scales["bits8_channel_offset"]
    layer.activate(Architecture({"width": 4}))
    kept = layer.extract().quantizer.weight.scale
    assert torch.equal(kept, torch.cat([scale[0:4], scale[8:12], scale[16:20]]))


def test_weights_of_other_bits_are_refused() -> None:
    rounding, other = Rounding(4), Rounding(2)
    with pytest.raises(RuntimeError, match="the weights are of 4 bits, the network of 2"):
        other.load_state_dict(rounding.state_dict())


def test_a_bank_goes_on_from_its_state_without_fitting_again() -> None:
    bank = Bank(BITS)
    bank(numbers(64).relu())
    other = Bank(BITS)
    other.load_state_dict(bank.state_dict())
    assert torch.equal(other(100 * numbers(5)), bank(100 * numbers(5)))
