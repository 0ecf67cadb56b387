"""What every proxy of the catalogue promises."""

import math
from collections.abc import Callable
from copy import deepcopy
from math import fsum, isfinite

import pytest
import torch
from torch import Tensor, nn

from proxies import Proxy, Score, ScoreError, score
from service import catalogue
from tests.proxies import networks
from tests.proxies.networks import classified

BATCH_IS_SPLIT = {"zico", "nasi", "ntk", "swap", "linear_regions"}  # or only its first images are read, or random ones
LAYERED = {"macs", "plain", "grad_norm", "l2_norm", "snip", "grasp", "synflow", "logsynflow", "fisher", "zico", "nasi"}
LAYERED |= {"gradsign"}
FROM_SUM: dict[str, Callable[[float], float]] = {"synflow": math.log}  # of layers to the score; else it is the sum


class Blocks(nn.Module):
    """Everything any proxy asks for: batch norms, ReLUs, named blocks, images of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.first, self.second = networks.Residual(8), networks.Residual(8)
        self.reduction = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12))
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(12, 4)

    def blocks(self) -> list[nn.Module]:
        return [self.stem, self.first, self.second, self.reduction]

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks():
            x = block(x)
        return self.head(self.pool(x.relu()).flatten(1))


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Blocks()


@pytest.fixture(params=list(catalogue.PROXIES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def proxy(name: str) -> Proxy:
    return catalogue.resolve("proxy", name)()


def scored(proxy: Proxy, model: nn.Module, images: Tensor, labels: Tensor, *, seed: int = 0) -> Score:
    result = score(model, classified(images, labels), {"it": proxy}, seed=seed)["it"]
    assert isinstance(result, Score), result
    return result


def test_a_score_is_a_finite_number_and_the_same_again(proxy: Proxy, model: nn.Module) -> None:
    images, labels = networks.batch(16)
    first = scored(proxy, model, images, labels)
    assert isinstance(first.value, float)
    assert isfinite(first.value)
    assert scored(proxy, model, images, labels) == first
    assert isinstance(proxy.maximise, bool)


def test_a_score_does_not_depend_on_what_else_is_asked(model: nn.Module) -> None:
    """Beyond rounding."""
    model = deepcopy(model).double()
    images, labels = networks.batch(16)
    proxies = {name: catalogue.resolve("proxy", name)() for name in catalogue.PROXIES}
    together = score(model, classified(images, labels), proxies)
    assert score(model, classified(images, labels), dict(reversed(proxies.items()))) == together
    for name, proxy in proxies.items():
        alone = scored(proxy, model, images, labels)
        assert together[name].value == pytest.approx(alone.value, rel=1e-6), name
        assert together[name].layers == pytest.approx(alone.layers, rel=1e-6, abs=1e-12), name


def test_options_have_defaults_and_are_frozen(proxy: Proxy) -> None:
    assert type(proxy)() == proxy
    assert hash(proxy) == hash(type(proxy)())
    with pytest.raises(TypeError):
        type(proxy)(1)


def test_the_model_and_the_batch_are_not_changed(proxy: Proxy, model: nn.Module) -> None:
    images, labels = networks.batch(16)
    model.eval()
    before = deepcopy(model.state_dict()), images.clone(), labels.clone(), torch.get_rng_state()
    scored(proxy, model, images, labels)
    state = model.state_dict()
    assert list(state) == list(before[0])
    assert all(torch.equal(state[key], value) and state[key].dtype == value.dtype for key, value in before[0].items())
    assert torch.equal(images, before[1])
    assert torch.equal(labels, before[2])
    assert torch.equal(torch.get_rng_state(), before[3])
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(module.training or module._forward_hooks for module in model.modules())
    assert all(m.inplace for m in model.modules() if isinstance(m, nn.ReLU) and m is not model.reduction[0])


def test_layers_are_weight_layers_in_order_and_make_up_the_score(name: str, proxy: Proxy, model: nn.Module) -> None:
    result = scored(proxy, model, *networks.batch(16))
    assert bool(result.layers) == (name in LAYERED)
    names = [n for n, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert [n for n in names if n in result.layers] == list(result.layers)
    assert all(isfinite(value) for value in result.layers.values())
    total = FROM_SUM.get(name, float)(fsum(result.layers.values())) if result.layers else result.value
    assert result.value == pytest.approx(total)


def test_double_precision_gives_the_same_score(proxy: Proxy, model: nn.Module) -> None:
    """As far as it is no random draw, which differs in every precision."""
    images, labels = networks.batch(16)
    double = scored(proxy, deepcopy(model).double(), images, labels)
    assert isfinite(double.value)
    if scored(proxy, model, images, labels, seed=1) == scored(proxy, model, images, labels):
        assert double.value == pytest.approx(scored(proxy, model, images, labels).value, rel=1e-2)


@pytest.mark.parametrize("name", [name for name in catalogue.PROXIES if name not in BATCH_IS_SPLIT])
def test_the_order_of_the_batch_does_not_matter(proxy: Proxy, model: nn.Module) -> None:
    images, labels = networks.batch(16)
    model = model.double()
    turned = scored(proxy, model, images.flip(0), labels.flip(0))
    assert turned.value == pytest.approx(scored(proxy, model, images, labels).value, rel=1e-6)


def test_other_weights_give_another_score_unless_it_is_a_size_or_draws_its_own(
    name: str, proxy: Proxy, model: nn.Module
) -> None:
    images, labels = networks.batch(16)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        other = Blocks()
    same = scored(proxy, other, images, labels).value == scored(proxy, model, images, labels).value
    assert same == (name in {"params", "macs", "layers", *REDRAWN})


REDRAWN = {"zen", "zen_running", "linear_regions", "az_expressivity", "az_progressivity", "az_trainability"}
HARD: dict[str, Callable[[], nn.Module]] = {
    "one linear layer": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 4)),
    "cut off": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Threshold(1e9, 0.0), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4),
    ),
    "weights are zero": lambda: _filled(0.0),
    "weights are huge": lambda: _filled(1e30),
    "no activation": lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)),
    "attention": networks.Attention,
}  # fmt: skip


def _filled(value: float) -> nn.Module:
    model = Blocks()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    return model


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("n", [1, 8])
def test_hard_models_have_a_finite_score_or_a_reason(proxy: Proxy, kind: str, n: int) -> None:
    images, labels = networks.batch(n)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = HARD[kind]()
    result = score(model, classified(images, labels), {"it": proxy})["it"]
    if isinstance(result, ScoreError):
        assert len(str(result)) > 10
    else:
        assert isfinite(result.value)
        assert all(isfinite(value) for value in result.layers.values())
