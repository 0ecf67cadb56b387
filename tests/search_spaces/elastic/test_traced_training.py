"""What a network does in training alone is kept by its elastic network, or said to be left out."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import FieldError, Space
from search_spaces.elastic import Size
from search_spaces.tracing import Traced, trace
from tests.search_spaces.elastic.traced_networks import elastic, settings


class Attends(nn.Module):
    """Attention of torch, which drops weights in training."""

    def __init__(self, *, need_weights: bool) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(6, 8), nn.Linear(8, 5)
        self.attention, self.need_weights = nn.MultiheadAttention(8, 2, dropout=0.3, batch_first=True), need_weights

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x + self.attention(x, x, x, need_weights=self.need_weights)[0])


class Branch(nn.Module):
    """Stochastic depth of the user's own, under a name of its own."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x * (torch.rand(len(x), 1, 1) >= self.rate) / (1 - self.rate)


class Branches(nn.Module):
    """Stochastic depth, a dropout that evaluation does not call, and one that follows the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.branch, self.head = nn.Linear(6, 8), nn.Linear(8, 8), Branch(0.4), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.stem(x), 0.1, self.training)
        if self.training:
            x = F.dropout(x, 0.2)
        return self.head(x + self.branch(F.relu(self.inner(x))))


class Recurrent(nn.Module):
    """Recurrent layers that drop values between them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide = nn.Linear(6, 4), nn.Linear(4, 8)
        self.recurrent = nn.GRU(4, 4, 2, batch_first=True, dropout=0.5)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.rrelu(self.wide(self.recurrent(self.stem(x))[0]), training=self.training))


class Frozen(nn.Module):
    """A norm that stays in evaluation mode while the rest is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.head = nn.Linear(6, 8), nn.BatchNorm1d(4), nn.Linear(8, 5)
        self.free = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.free(F.relu(self.norm(self.stem(x)))))

    def train(self, mode: bool = True) -> "Frozen":
        super().train(mode)
        self.norm.eval()
        return self


class Strided(nn.Module):
    """Attention whose result is contiguous in evaluation only."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(6, 24), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = (part.view(b, n, 2, 4).transpose(1, 2) for part in self.qkv(x).split(8, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=0.2 if self.training else 0.0)
        return self.head(y.transpose(1, 2).contiguous().view(b, n, 8))


KEPT: dict[str, Callable[[], nn.Module]] = {
    "attention": lambda: Attends(need_weights=False),
    "attention with weights": lambda: Attends(need_weights=True),
    "branches": Branches,
    "recurrent": Recurrent,
    "frozen": Frozen,
    "strided": Strided,
}


def both(model: nn.Module) -> tuple[Traced, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(3, 4, 6)
    return trace(deepcopy(model), (x,)), x


@pytest.mark.parametrize("name", KEPT)
def test_the_largest_network_and_extracted_ones_do_in_training_what_the_original_does(name: str):
    original = KEPT[name]()
    given, x = both(original)
    assert given.training.left_out == ()
    network = elastic(given)

    def run(model: nn.Module) -> Tensor:
        torch.manual_seed(1)
        return model(x)

    assert torch.equal(run(network.eval()), run(original.eval()))
    assert torch.equal(run(network.train()), run(original.train()))
    assert torch.equal(run(network), run(network))
    if name != "frozen":
        assert not torch.equal(run(network), run(network.eval()))
    for setting in settings(given, 2):
        network.train().activate(setting)
        plain = network.extract()
        for model in (network, plain, deepcopy(plain).eval().train()):
            modes = {path: inner.training for path, inner in model.named_modules()}
            assert modes.get("norm", False) is False
        torch.testing.assert_close(run(plain), run(network), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(run(plain.eval()), run(network.eval()), rtol=1e-5, atol=1e-6)
    for (key, ours), theirs in zip(original.state_dict().items(), elastic(given).state_dict().values()):
        if name != "frozen":
            assert torch.equal(ours, theirs), key


class Noisy(nn.Module):
    """Noise in training, written into the forward pass itself."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        self.stem, self.head, self.always = nn.Linear(6, 8), nn.Linear(8, 5), always

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x + torch.randn_like(x) if self.training or self.always else x)


def test_what_cannot_be_kept_is_said():
    given, _ = both(Noisy(always=False))
    assert given.training.left_out == ("the network (randn_like, add)",)
    space = Space.from_module(Noisy(always=False), torch.randn(2, 6), least_width=2)
    assert space.origin is not None
    said = "fixed: 1 x what it does in training alone, which is left out: the network (randn_like, add)"
    assert said in space.origin.lines()
    refused = r"randn_like \(aten.randn_like.default\) in the network, which is random, changes where the channels"
    with pytest.raises(FieldError, match=refused):
        Space.from_module(Noisy(always=True), torch.randn(2, 6))


def test_dropouts_that_training_alone_has_are_there_at_all_sides_of_images():
    class Images(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.wide, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 8), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            y = F.dropout(x, 0.3) if self.training else x
            return self.head(self.wide(y.reshape(y.shape[0], 8, -1).mean(2)))

    module = Images()
    given = trace(deepcopy(module), (torch.zeros(1, 3, 8, 8),), sides=(6,))
    assert set(given.literals) == {6, 8}
    network = elastic(given, resolution=Size("side", {6: 6, 8: 8})).train()
    network.activate({"side": 6})
    x = torch.randn(2, 3, 6, 6)
    outputs = []
    for model in (network, network.extract(), module):
        torch.manual_seed(1)
        outputs.append(model(x))
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
