"""Modules of the kinds that users write, each through all that a space promises."""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import FieldError, Space
from search_spaces.counted_costs import count
from search_spaces.elastic.traced import ElasticGraph


class UNet(nn.Module):
    """Skips that are concatenated, resizing, a transposed convolution, and outputs at two sizes in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            [nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, 2, 1), nn.Conv2d(12, 16, 3, 2, 1)]
        )
        self.norms = nn.ModuleList([nn.BatchNorm2d(8), nn.InstanceNorm2d(12, affine=True), nn.GroupNorm(1, 16)])
        self.up, self.join = nn.ConvTranspose2d(16, 12, 2, 2), nn.Conv2d(24, 8, 3, padding=1, padding_mode="reflect")
        self.last, self.head = nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        skips = []
        for conv, norm in zip(self.down, self.norms):
            x = F.leaky_relu(norm(conv(x)), 0.1, inplace=True)
            skips.append(x)
        coarse = F.relu(self.join(torch.cat([self.up(x), skips[1]], 1)))
        x = F.interpolate(coarse, size=skips[0].shape[-2:], mode="bilinear")
        return [self.head(F.relu(self.last(torch.cat((skips[0], x), dim=1)))), self.head(coarse)]


class Joined(nn.Module):
    """Two inputs: an image, squeezed and excited, is scaled and shifted by what is known of it; dictionary output."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16, affine=False, momentum=0.3)
        self.squeeze, self.excite, self.known = nn.Linear(16, 8), nn.Linear(8, 16), nn.Linear(5, 32)
        self.gate, self.back, self.head = nn.Conv2d(16, 32, 1), nn.Conv2d(16, 16, 1), nn.Linear(16, 4)
        self.register_buffer("scale", torch.rand(16), persistent=False)

    def forward(self, x: Tensor, known: Tensor) -> Mapping[str, Tensor]:
        x = self.norm(self.stem(x))
        b, c, _, _ = x.shape
        weights = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        x = x * weights.view(b, c, 1, 1).expand_as(x)
        scale, shift = self.known(known).chunk(2, -1)
        x = x * (1 + scale[..., None, None]) + shift[..., None, None]
        y = self.back(F.glu(self.gate(x), 1))
        y += x
        return {"classes": self.head(y.flatten(2).mean(-1) * self.scale)}


class Text(nn.Module):
    """Tokens with a table of positions that is longer than they are, an encoder of torch with a mask, and an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.drop = nn.Embedding(20, 16), nn.Dropout(0.2)
        self.register_buffer("places", torch.randn(30, 16))
        self.encoder = nn.TransformerEncoderLayer(16, 2, 24, dropout=0.1, batch_first=True, norm_first=True)
        self.recurrent = nn.LSTM(16, 6, batch_first=True, bidirectional=True)
        self.wide, self.head = nn.Linear(12, 24), nn.Linear(24, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.drop(self.words(tokens) * 4 + self.places[: tokens.size(1)])
        x, _ = self.recurrent(self.encoder(x, src_key_padding_mask=tokens == 19))
        return F.log_softmax(self.head(F.gelu(self.wide(x[:, -1]))), -1)


class Signal(nn.Module):
    """A row of convolutions in one dimension with weight norm, one layer twice, tied weights, and a norm by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 16, 5, 2, 2))
        self.twice, self.norm = nn.Conv1d(16, 16, 3, padding=1), nn.BatchNorm1d(16)
        self.gain, self.squash = nn.Parameter(torch.rand(16)), nn.Linear(16, 12, bias=False)
        self.head, self.slopes = nn.Linear(16, 4), nn.PReLU(16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.slopes(self.stem(x))
        for _ in range(2):
            x = x + F.relu(self.norm(self.twice(x)))
        x = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 1e-5).sqrt() * self.gain[:, None]
        return self.head(F.linear(torch.tanh(self.squash(x.amax(-1))), self.squash.weight.t()))


class Shuffled(nn.Module):
    """Channels that are split, shuffled and joined, pixels that become channels, and queries that are expanded."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.side = nn.Conv2d(12, 16, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.point, self.queries = nn.Conv2d(8, 8, 1), nn.Parameter(torch.randn(3, 16))
        self.keys, self.head = nn.Linear(16, 16), nn.Linear(3 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(F.pixel_unshuffle(x, 2)))
        left, right = x.chunk(2, 1)
        b, c, h, w = x.shape
        x = torch.cat([left, self.point(self.side(right))], 1)
        x = x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h * w).mT
        if x.shape[-1] == 16:
            x = x + self.keys(x)
        found = torch.einsum("bqc,bnc->bqn", self.queries.unsqueeze(0).expand(b, -1, -1), x).softmax(-1)
        return self.head(torch.bmm(found, x).flatten(1))


IMAGE = torch.randn(2, 3, 8, 8)
MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...], set[str]]] = {
    "u-net": (UNet, (IMAGE,), {"down.ratio", "up.ratio", "join.ratio"}),
    "two inputs": (Joined, (IMAGE, torch.randn(2, 5)), {"stem.width", "squeeze.ratio"}),
    "text": (Text, (torch.randint(0, 19, (2, 6)),), {"encoder.ratio", "wide.ratio"}),
    "signal": (Signal, (torch.randn(2, 2, 16),), {"stem.width", "squash.ratio"}),
    "shuffled": (Shuffled, (IMAGE,), {"stem.ratio", "queries.ratio"}),
}


def noisy(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.add_(0.1 * torch.randn_like(tensor))
    return module


def tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    else:
        for item in output.values() if isinstance(output, Mapping) else output:
            yield from tensors(item)


def batch(example: tuple[Tensor, ...], size: int) -> tuple[Tensor, ...]:
    return tuple(one[torch.arange(size) % len(one)] for one in example)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_becomes_a_space_that_keeps_its_promises(name: str):
    torch.manual_seed(0)
    make, example, decisions = MODULES[name]
    original = noisy(make())
    space = Space.from_module(original, *example, divisor=2, least_width=2)
    assert {decision.name for decision in space.decisions} >= decisions
    network = space.build()
    assert isinstance(network, ElasticGraph)
    network.activate(space.largest())
    x = batch(example, 3)
    assert all(map(torch.equal, tensors(network.eval()(*x)), tensors(original.eval()(*x))))
    trained_alike(network, original, x)
    generator = np.random.default_rng(0)
    drawn = [space.smallest(), *(space.sample(generator) for _ in range(3))]
    costs = space.costs(drawn)
    for place, architecture in enumerate(drawn):
        network.eval().activate(architecture)
        plain = network.extract()
        for size in (1, 4):
            x = batch(example, size)
            with torch.no_grad():
                for one, other in zip(tensors(plain(*x)), tensors(network(*x)), strict=True):
                    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
        counted = count(space, architecture)
        assert (costs["params"][place], costs["macs"][place]) == (counted["params"], counted["all_macs"])


def trained_alike(network: ElasticGraph, original: nn.Module, x: tuple[Tensor, ...]) -> None:
    """Train the network and the original for two steps, and compare outputs, gradients and statistics."""
    network, original = deepcopy(network).train(), deepcopy(original).train()
    for step in range(2):
        outputs = []
        for model in (network, original):
            torch.manual_seed(step)
            model.zero_grad()
            outputs.append(list(tensors(model(*x))))
            torch.stack([one.square().mean() for one in outputs[-1]]).sum().backward()
        assert all(map(torch.equal, *outputs))
    ours = network.state_dict(keep_vars=True)
    for key, theirs in original.state_dict(keep_vars=True).items():
        assert torch.equal(ours[key], theirs), key
        assert (ours[key].grad is None) == (theirs.grad is None), key
        if theirs.grad is not None:
            torch.testing.assert_close(ours[key].grad, theirs.grad, rtol=1e-5, atol=1e-6)


class Branching(nn.Module):
    """A network whose way depends on the numbers that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(4, 16), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x * 2 if x.sum() > 0 else x)


class Named(nn.Module):
    """A network with a part whose name networks made of graphs need for themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.graph, self.head = nn.Linear(4, 16), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.graph(x))


REFUSED: list[tuple[Callable[[], nn.Module], str]] = [
    (
        Branching,
        r"cannot be exported as a graph: what it computes next depends on .* \(line \d+ of test_own_modules.py\)",
    ),
    (
        lambda: nn.Sequential(nn.LazyLinear(8), nn.LazyLinear(2)),
        "has no weights yet, such as 0.weight: call it on an ex",
    ),
    (
        lambda: nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 16)), nn.Linear(16, 2)),
        "cannot be copied .*; weight_norm",
    ),
    (Named, "has a part called graph, a name that elastic networks need: give it another one"),
    (
        lambda: nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2)),
        "has nothing that can be left out: a group that no choice makes smaller: 0.weight .8",
    ),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "said"), REFUSED)
def test_a_module_that_cannot_be_made_elastic_is_refused_in_one_line(
    make: Callable[[], nn.Module], said: str, capfd: pytest.CaptureFixture[str]
):
    with pytest.raises(FieldError, match=said) as failure:
        Space.from_module(make(), torch.randn(2, 4))
    assert "\n" not in str(failure.value)
    assert "def forward" not in capfd.readouterr().err
