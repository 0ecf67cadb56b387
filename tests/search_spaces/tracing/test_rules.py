"""A small network for each family of operations, with groups that are known by hand; each is proven."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.search_spaces.tracing.small import groups, proven, reasons


class Then(nn.Module):
    """Two layers with a function of the first layer's result between them."""

    def __init__(self, first: nn.Module, between, last: nn.Module) -> None:
        super().__init__()
        self.first, self.between, self.last = first, between, last

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.between(self.first(x)))


def conv(into: int, out: int, kernel: int = 1, **options) -> nn.Conv2d:
    return nn.Conv2d(into, out, kernel, padding=kernel // 2, **options)


def test_channels_between_convolutions_are_hidden_and_input_and_output_stay():
    traced = proven(Then(conv(3, 8, 3), F.relu, conv(8, 5, 3)), 3, 6, 6)
    assert groups(traced) == {"first.weight": ("hidden", 8)}
    assert reasons(traced, "first.weight") == {1: "network input", 2: "kernel positions", 3: "kernel positions"}
    assert reasons(traced, "last.bias") == {0: "network output"}
    units = traced.tensors["last.weight"]
    assert units[0] is None
    assert units[1] is not None
    assert units[1].tolist() == list(range(8))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = conv(3, 6), nn.BatchNorm2d(6)
        self.wide, self.narrow, self.head = conv(6, 9, 3), conv(9, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x))
        x = x + self.narrow(F.silu(self.wide(x)))
        return self.head(x.mean((2, 3)))


def test_a_residual_addition_makes_a_stream_of_all_its_writers_and_readers():
    traced = proven(Residual(), 3, 6, 6)
    assert groups(traced) == {"stem.weight": ("stream", 6), "wide.weight": ("hidden", 9)}
    for name in ("norm.weight", "norm.running_var", "narrow.bias"):
        units = traced.tensors[name][0]
        assert units is not None
        assert units.tolist() == list(range(6))


def test_depthwise_channels_follow_their_input_and_kernels_of_five_are_noted():
    traced = proven(nn.Sequential(conv(3, 8), conv(8, 8, 5, groups=8), conv(8, 16, 3, groups=8), conv(16, 4)), 3, 8, 8)
    assert groups(traced) == {"0.weight": ("hidden", 8)}
    units = traced.tensors["3.weight"][1]
    assert units is not None
    assert units.tolist() == [channel // 2 for channel in range(16)]
    assert [(kernel.weight, kernel.size) for kernel in traced.kernels] == [("1.weight", 5)]


def test_a_group_of_a_grouped_convolution_is_one_unit():
    traced = proven(nn.Sequential(conv(3, 8), conv(8, 12, 3, groups=4), conv(12, 2)), 3, 6, 6)
    assert groups(traced) == {"0.weight": ("grouped", 4)}
    assert reasons(traced, "1.weight")[1] == "channels inside a group of a grouped convolution"


def test_a_group_of_a_group_norm_is_one_unit_and_one_group_ties_nothing():
    traced = proven(nn.Sequential(conv(3, 8), nn.GroupNorm(2, 8), conv(8, 6), nn.GroupNorm(1, 6), conv(6, 2)), 3, 4, 4)
    assert groups(traced) == {"0.weight": ("hidden", 2), "2.weight": ("hidden", 6)}


def test_transposed_convolutions_have_their_channels_the_other_way_round():
    traced = proven(nn.Sequential(conv(3, 8), nn.ConvTranspose2d(8, 6, 2, 2), conv(6, 2)), 3, 4, 4)
    assert groups(traced) == {"0.weight": ("hidden", 8), "1.weight": ("hidden", 6)}


class Joined(nn.Module):
    def __init__(self, join) -> None:
        super().__init__()
        self.left, self.right, self.join, self.last = conv(3, 4), conv(3, 6), join, conv(10, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.join(self.left(x), self.right(x)))


def test_concatenated_channels_keep_their_groups():
    traced = proven(Joined(lambda a, b: torch.cat([b, a], 1)), 3, 4, 4)
    assert groups(traced) == {"left.weight": ("hidden", 4), "right.weight": ("hidden", 6)}
    units = traced.tensors["last.weight"][1]
    assert units is not None
    assert units.tolist() == [*range(4, 10), *range(4)]


def test_pieces_of_a_value_are_groups_of_their_own():
    def between(x: Tensor) -> Tensor:
        first, second, third = x.split([3, 3, 4], 1)
        return torch.cat([first * second, third, third], 1)

    traced = proven(Then(conv(3, 10), between, conv(11, 2)), 3, 4, 4)
    assert groups(traced) == {"first.weight": ("hidden", 3), "first.weight#2": ("hidden", 4)}


@pytest.mark.parametrize("between", [lambda x: F.glu(x, 1), lambda x: x.chunk(2, 1)[0] * x.chunk(2, 1)[1].sigmoid()])
def test_the_halves_of_a_gate_are_tied(between):
    traced = proven(Then(conv(3, 8), between, conv(4, 2)), 3, 4, 4)
    assert groups(traced) == {"first.weight": ("hidden", 4)}


def test_shuffled_channels_are_tied_across_shuffle_groups():
    def shuffle(x: Tensor) -> Tensor:
        batch, channels, *side = x.shape
        return x.view(batch, 2, channels // 2, *side).transpose(1, 2).reshape(batch, channels, *side)

    traced = proven(Then(conv(3, 8), shuffle, conv(8, 2)), 3, 4, 4)
    assert groups(traced) == {"first.weight": ("hidden", 4)}


def windows(x: Tensor) -> Tensor:
    return F.unfold(x, 2, stride=2)[..., None]


@pytest.mark.parametrize(("between", "channels"), [(nn.PixelUnshuffle(2), 32), (nn.PixelShuffle(2), 2), (windows, 32)])
def test_positions_move_into_channels_and_back(between, channels):
    traced = proven(Then(conv(3, 8), between, conv(channels, 2)), 3, 4, 4)
    assert groups(traced) == {"first.weight": ("hidden", 2 if channels == 2 else 8)}


def test_flattened_channels_and_positions_follow_the_channel():
    traced = proven(Then(conv(3, 4), lambda x: x.flatten(1), nn.Linear(4 * 9, 2)), 3, 3, 3)
    units = traced.tensors["last.weight"][1]
    assert groups(traced) == {"first.weight": ("hidden", 4)}
    assert units is not None
    assert units.tolist() == [index // 9 for index in range(36)]


def test_zeros_beside_channels_may_be_left_out_too():
    traced = proven(Then(conv(3, 4), lambda x: F.pad(x, (0, 0, 0, 0, 1, 2)), conv(7, 2)), 3, 3, 3)
    assert groups(traced)["first.weight"] == ("hidden", 4)


class Attention(nn.Module):
    """Attention with queries, keys and values from one layer, as a fused operation or step by step."""

    def __init__(self, heads: int, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.qkv, self.out = nn.Linear(12, 3 * 24), nn.Linear(24, 12)
        self.table = nn.Parameter(torch.randn(5, heads))
        self.register_buffer("where", torch.arange(25).reshape(5, 5) % 5)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.where].permute(2, 0, 1)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        else:
            y = (q @ k.transpose(-2, -1) + bias).softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(batch, tokens, -1))


@pytest.mark.parametrize("fused", [False, True])
def test_heads_are_units_with_their_queries_keys_values_projection_and_bias(fused):
    traced = proven(Attention(4, fused), 5, 12)
    assert groups(traced) == {"table": ("heads", 4)}
    units = traced.tensors["qkv.weight"][0]
    assert units is not None
    assert units.tolist() == [index // 6 % 4 for index in range(72)]
    assert reasons(traced, "table") == {0: "index"}


def test_the_width_of_a_single_head_is_hidden():
    assert {kind for kind, _ in groups(proven(Attention(1, False), 5, 12)).values()} == {"hidden"}


class Einsum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.out = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k = self.q(x).unflatten(-1, (2, 4)), self.k(x).unflatten(-1, (2, 4))
        weights = torch.einsum("bnhd,bmhd->bhnm", q, k).softmax(-1)
        return self.out(torch.einsum("bhnm,bmhd->bnhd", weights, k).flatten(2))


def test_letters_of_an_einsum_are_tied():
    assert groups(proven(Einsum(), 5, 6)) == {"q.weight": ("heads", 2)}


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm, self.head = conv(3, 6), nn.LayerNorm(6), nn.Linear(6, 2)
        self.token, self.positions = nn.Parameter(torch.randn(1, 1, 6)), nn.Parameter(torch.randn(1, 10, 6))
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.scale * self.norm(x)[:, 0])


def test_class_tokens_and_positional_embeddings_share_the_width():
    traced = proven(Tokens(), 3, 3, 3)
    assert {name: size for name, (_, size) in groups(traced).items()} == {"token": 6}
    assert reasons(traced, "positions") == {1: "network input"}


class TokenMixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(5, 7), nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(F.gelu(self.wide(x.transpose(1, 2)))).transpose(1, 2)


def test_hidden_units_of_a_token_mixer_are_elastic_and_tokens_are_not():
    assert groups(proven(TokenMixer(), 5, 4)) == {"wide.weight": ("hidden", 7)}


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.cells, self.after = nn.Linear(3, 4), nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.cells(self.before(x))[0])


def test_the_state_of_a_recurrent_layer_stays_and_says_why():
    traced = proven(Recurrent(), 6, 3)
    assert groups(traced) == {}
    assert reasons(traced, "before.weight")[0] == "the state of a recurrent layer"


def test_an_operation_without_a_rule_pins_its_inputs_and_is_named():
    traced = proven(Then(conv(3, 4), lambda x: torch.cummax(x, 1)[0], conv(4, 2)), 3, 3, 3)
    assert groups(traced) == {}
    assert reasons(traced, "first.weight")[0] == "the operation cummax has no rule"


def test_weights_that_the_network_does_not_use_stay():
    module = Residual()
    module.unused = nn.Linear(7, 9)
    assert reasons(proven(module, 3, 6, 6), "unused.weight") == {
        0: "a tensor that the network does not use",
        1: "a tensor that the network does not use",
    }


class Rows(nn.Module):
    """A table of positions of which only the first rows are read, moved dimensions, and a weight norm."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(9, 6))
        self.stem, self.head = nn.utils.parametrizations.weight_norm(nn.Linear(3, 6)), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x) + self.table[: x.shape[1]]
        return self.head(x.movedim(1, -1).mT.mean(1))


def test_rows_of_a_table_that_nothing_reads_are_no_group():
    traced = proven(Rows(), 4, 3)
    assert groups(traced) == {"table": ("hidden", 6)}
    assert reasons(traced, "table") == {0: "a part of a tensor that the network does not use"}
    places = [name for name, units in traced.tensors.items() if units[0] is not None]
    assert places == [f"stem.{name}" for name in ("bias", *(f"parametrizations.weight.original{n}" for n in (0, 1)))]


def test_an_image_that_is_read_at_the_places_of_a_grid_keeps_its_channels():
    def turned(x: Tensor) -> Tensor:
        return F.grid_sample(x, x[:, :2].permute(0, 2, 3, 1).tanh(), align_corners=False)

    assert groups(proven(Then(conv(3, 8), turned, conv(8, 2)), 3, 4, 4)) == {"first.weight": ("hidden", 6)}


def test_what_is_taken_in_steps_stays_and_says_why():
    traced = proven(Then(conv(3, 8), lambda x: torch.cat([x[:, ::2], x[:, :0]], 1), conv(4, 2)), 3, 4, 4)
    assert groups(traced) == {}
    assert reasons(traced, "first.weight")[0] == "every second index is taken"


class TypedScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.scale, self.last = conv(3, 8), nn.Parameter(torch.ones(())), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(x.mean((2, 3)) * self.scale.exp().type_as(x))


def test_a_number_that_takes_the_type_of_a_value_keeps_its_own_shape():
    assert groups(proven(TypedScale(), 3, 4, 4)) == {"first.weight": ("hidden", 8)}
