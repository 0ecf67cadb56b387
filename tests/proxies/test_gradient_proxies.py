"""Proxies from gradients, weights, signs and sizes, against naive versions and closed forms."""

import math
from dataclasses import replace
from math import fsum

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from proxies import Passes, Proxy, Score, ScoreError, score
from proxies.epe_nas import EpeNas
from proxies.fisher import Fisher
from proxies.grad_norm import GradNorm
from proxies.grasp import Grasp
from proxies.jacov import Jacov
from proxies.l2_norm import L2Norm
from proxies.logsynflow import LogSynFlow
from proxies.nwot import Nwot
from proxies.plain import Plain
from proxies.size import Layers, Macs, Params
from proxies.snip import Snip
from proxies.synflow import SynFlow
from tests.proxies import networks, reference_gradients
from tests.proxies.networks import classified

BY_LAYER: dict[str, Proxy] = {
    "plain": Plain(),
    "grad_norm": GradNorm(),
    "l2_norm": L2Norm(),
    "snip": Snip(),
    "grasp": Grasp(),
    "synflow": SynFlow(log=False),
    "logsynflow": LogSynFlow(),
    "fisher": Fisher(),
    "macs": Macs(),
}
WHOLE: dict[str, Proxy] = {
    "jacov": Jacov(),
    "epe_nas": EpeNas(),
    "nwot": Nwot(),
    "params": Params(),
    "layers": Layers(),
}
ALL = BY_LAYER | WHOLE


def one(proxy: Proxy, model: nn.Module, images: Tensor, labels: Tensor) -> Score:
    result = score(model, classified(images, labels), {"it": proxy})["it"]
    assert isinstance(result, Score), result
    return result


def reason(proxy: Proxy, model: nn.Module, images: Tensor, labels: Tensor) -> str:
    result = score(model, classified(images, labels), {"it": proxy})["it"]
    assert isinstance(result, ScoreError), result
    return str(result)


@pytest.mark.parametrize("network", networks.NETWORKS)
@pytest.mark.parametrize("name", BY_LAYER)
def test_every_layer_equals_the_naive_version(name: str, network: str) -> None:
    model = networks.network(network).double()
    images, labels = networks.batch()
    result = one(BY_LAYER[name], model, images, labels)
    with sdpa_kernel(SDPBackend.MATH):
        expected = getattr(reference_gradients, name)(model, images.double(), labels)
    assert list(result.layers) == [layer for layer, _ in reference_gradients.modules(model)]
    assert list(result.layers.values()) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert result.value == pytest.approx(fsum(expected), rel=1e-9)
    assert any(expected)


@pytest.mark.parametrize("network", networks.NETWORKS)
@pytest.mark.parametrize("name", WHOLE)
def test_the_whole_equals_the_naive_version(name: str, network: str) -> None:
    model = networks.network(network).double()
    images, labels = networks.batch()
    if (name, network) == ("nwot", "attention"):
        assert "no activation" in reason(WHOLE[name], model, images, labels)
        return
    expected = getattr(reference_gradients, name)(model, images.double(), labels)
    assert one(WHOLE[name], model, images, labels).value == pytest.approx(expected, rel=1e-6)


def test_scores_do_not_depend_on_what_else_is_asked() -> None:
    """Beyond rounding: a second derivative that is asked for changes how the shared pass is computed."""
    model = networks.network("residual").double()
    images, labels = networks.batch()
    together = score(model, classified(images, labels), ALL)
    backwards = score(model, classified(images, labels), dict(reversed(ALL.items())))
    for name, proxy in ALL.items():
        assert together[name] == backwards[name], name
        assert one(proxy, model, images, labels).value == pytest.approx(together[name].value, rel=1e-9), name


# ---- closed forms ---------------------------------------------------------------------------------------------------


def test_snip_is_at_least_the_absolute_of_plain_and_both_agree_without_cancellation() -> None:
    images, labels = networks.batch()
    for network in networks.NETWORKS:
        model = networks.network(network)
        assert one(Snip(), model, images, labels).value >= abs(one(Plain(), model, images, labels).value)


def test_scaling_of_the_loss() -> None:
    """First-order proxies scale with the loss, those with two gradients with its square, the rest not at all."""
    model = networks.network("plain").double()
    images, labels = networks.batch()
    batch = classified(images, labels)
    before = score(model, batch, ALL)
    after = score(model, replace(batch, losses=lambda output, rows: 3 * batch.losses(output, rows)), ALL)
    powers = {"plain": 1, "grad_norm": 1, "snip": 1, "grasp": 2, "fisher": 2}
    for name in ALL:
        assert after[name].value == pytest.approx(3 ** powers.get(name, 0) * before[name].value), name


@pytest.mark.parametrize("network", ["perceptron", "plain", "residual"])
def test_grasp_equals_finite_differences_of_the_gradient(network: str) -> None:
    model = networks.network(network).double()
    if network != "perceptron":  # differences step over kinks of ReLUs
        model = nn.Sequential(*[nn.Softplus() if isinstance(m, nn.ReLU) else m for m in model.children()])
        for module in model.modules():
            if hasattr(module, "relu"):
                module.relu = nn.Softplus()
    images, labels = networks.batch()
    images = images.double()
    expected = reference_gradients.grasp_by_differences(model, images, labels, 1e-6)
    assert list(one(Grasp(), model, images, labels).layers.values()) == pytest.approx(expected, rel=1e-4, abs=1e-8)


def test_grad_norm_is_the_sum_of_the_norms_of_layers_not_the_norm_of_all() -> None:
    images, labels = networks.batch()
    result = one(GradNorm(), networks.network("plain"), images, labels)
    assert result.value > math.sqrt(fsum(v**2 for v in result.layers.values())) * 1.1


def test_synflow_is_the_same_in_every_layer_without_biases_and_needs_no_data() -> None:
    """Conservation: with R homogeneous in the weights of each layer, every layer's share is R."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3, bias=False),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4, bias=False),
    )  # fmt: skip
    images, labels = networks.batch()
    raw = one(SynFlow(log=False), model, images, labels)
    shares = list(raw.layers.values())
    assert shares == pytest.approx([shares[0]] * 3)
    assert one(SynFlow(), model, images, labels) == one(SynFlow(), model, 5 * images.flip(0) + 1, 3 - labels)
    assert one(SynFlow(), model, images, labels).value == pytest.approx(math.log(raw.value))
    flipped = nn.Sequential(*model)
    with torch.no_grad():
        flipped[0].weight.mul_(torch.randn_like(flipped[0].weight).sign())
    assert one(SynFlow(log=False), flipped, images, labels).value == pytest.approx(raw.value)


def test_synflow_of_a_deep_network_does_not_overflow_single_precision() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), *[nn.Linear(432, 432) for _ in range(40)], nn.Linear(432, 4))
    images, labels = networks.batch(2)
    value = one(SynFlow(), model, images, labels).value
    assert math.log(torch.finfo(torch.float32).max) < value < 1000


def test_a_network_without_a_path_has_no_synflow_but_a_plain_sum_of_zero() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(432, 3), nn.Linear(3, 4))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)
    images, labels = networks.batch()
    assert "no path" in reason(SynFlow(), model, images, labels)
    assert one(SynFlow(log=False), model, images, labels).value == 0
    assert "constant" in reason(Jacov(), model, images, labels)
    assert "constant" in reason(EpeNas(), model, images, labels)


class Squares(nn.Module):
    """Input gradients are the images themselves."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, classes, bias=False)
        with torch.no_grad():
            self.linear.weight.zero_()[0] = 1

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x * x / 2)


HALF = torch.tensor([[1.0, -1.0, 0.0], [1.0, 0.0, -1.0]])  # rows of correlation 1/2
ORTHOGONAL = torch.tensor([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]])


def test_jacov_of_the_card() -> None:
    labels = torch.tensor([0, 1])
    assert one(Jacov(), Squares(2), HALF, labels).value == pytest.approx(-2.378967, abs=1e-6)
    assert one(Jacov(), Squares(2), ORTHOGONAL, labels).value == pytest.approx(-2, abs=1e-6)


def test_jacov_of_equal_images_is_low_but_finite() -> None:
    equal = torch.tensor([[1.0, 2.0, 4.0]] * 3)
    value = one(Jacov(), Squares(2), equal, torch.tensor([0, 1, 1])).value
    assert value == pytest.approx(-(2 * (math.log(1e-5) + 1e5) + math.log(3) + 1 / 3), rel=1e-6)


def test_constant_input_gradients_are_refused_even_when_rounded() -> None:
    for constant in (1.0, 0.1, 1e-20):
        images = torch.stack([torch.full((3,), constant), HALF[0]])
        assert "1 of 2 input gradients are constant" in reason(Jacov(), Squares(2), images, torch.tensor([0, 1]))


def test_epe_nas_up_to_a_hundred_classes_and_beyond() -> None:
    """Two classes with two samples each, of correlations 1/2 and 0, and one of a single sample."""
    images = torch.cat([HALF, ORTHOGONAL, torch.tensor([[3.0, 1.0, 0.0]])])
    labels = torch.tensor([4, 4, 1, 1, 2])
    diagonal = 2 * math.log(1 + 1e-5)
    half, none = diagonal + 2 * math.log(0.5 + 1e-5), diagonal + 2 * math.log(1e-5)
    few = one(EpeNas(), Squares(100), images, labels).value
    assert few == pytest.approx(abs(half) + abs(none), rel=1e-3)
    many = one(EpeNas(), Squares(101), images, labels).value
    assert many == pytest.approx(2 * abs(half - none) / 2 / 2, rel=1e-3)
    assert many == pytest.approx(reference_gradients.epe_nas(Squares(101), images, labels, many=True), rel=1e-3)


def test_epe_nas_needs_a_class_with_two_samples() -> None:
    assert "no class has two samples" in reason(EpeNas(), Squares(2), HALF, torch.tensor([0, 1]))


CODES = torch.tensor([[1, 0, 1, 1], [1, 1, 0, 1], [0, 0, 1, 0]])


def test_nwot_of_the_card() -> None:
    """Codes 1011, 1101, 0010: det K is 32; a ReLU that is used twice counts twice."""
    images, labels = 2.0 * CODES - 1, torch.tensor([0, 1, 0])
    model = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
    assert one(Nwot(), model, images, labels).value == pytest.approx(math.log(32))
    relu = nn.ReLU()
    with torch.no_grad():
        identity = nn.Linear(4, 4, bias=False)
        identity.weight.copy_(torch.eye(4))
    twice = nn.Sequential(relu, identity, relu, nn.Linear(4, 2))
    assert one(Nwot(), twice, images, labels).value == pytest.approx(math.log(2**3 * 32))


def test_nwot_of_two_samples_with_the_same_codes_is_refused() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
    images = (2.0 * CODES - 1)[[0, 1, 0]] * torch.tensor([[1.0], [1.0], [2.0]])
    assert "same activation pattern" in reason(Nwot(), model, images, torch.tensor([0, 1, 0]))


def test_nwot_reads_smooth_activations_where_there_are_no_relus() -> None:
    images, labels = 2.0 * CODES - 1, torch.tensor([0, 1, 0])
    assert one(Nwot(), nn.Sequential(nn.SiLU(), nn.Linear(4, 2)), images, labels).value == pytest.approx(math.log(32))


def test_layers_that_take_no_part_do_not_count_but_branches_with_zero_scale_do() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused, self.dropped, self.zeros = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
            self.branch = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
            nn.init.zeros_(self.branch[1].weight)
            self.head = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            self.dropped(x)
            return self.head((x + self.branch(x) + 0.0 * self.zeros(x)).mean((2, 3)))

    images, labels = networks.batch()
    assert one(Layers(), Branches(), images, labels).value == 2
    macs = one(Macs(), Branches(), images, labels)
    assert macs.layers == {"unused": 0, "dropped": 9 * 144, "zeros": 9 * 144, "branch.0": 9 * 144, "head": 12}
    assert one(Params(), Branches(), images, labels).value == 4 * 12 + 6 + 16
    assert one(Fisher(), Branches(), images, labels).layers["zeros"] == 0
    assert list(one(GradNorm(), Branches(), images, labels).layers.values())[:3] == [0, 0, 0]


def test_macs_are_the_same_with_and_without_a_pass_of_the_whole_batch() -> None:
    images, labels = networks.batch()
    for network in networks.NETWORKS:
        passes = Passes(networks.network(network), classified(images, labels))
        few = Macs()(passes)
        assert passes.ordinary
        assert Macs()(passes) == few


class Hidden(nn.Linear):
    """A linear layer whose weight is used by matrix multiplication."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T


def test_fisher_names_a_layer_whose_channels_it_does_not_see() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(432, 5), nn.ReLU(), Hidden(5, 4))
    images, labels = networks.batch()
    assert "3: its weight is used" in reason(Fisher(), model, images, labels)
    assert one(Snip(), model, images, labels).layers["3"] > 0


class Fused(networks.Attention):
    """Attention that insists on the fused operation."""

    def forward(self, x: Tensor) -> Tensor:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return super().forward(x)


def test_an_operation_without_second_derivative_is_a_reason() -> None:
    images, labels = networks.batch()
    results = score(Fused(), classified(images, labels), {"grasp": Grasp(), "snip": Snip()})
    assert "no second derivative" in str(results["grasp"])
    assert isinstance(results["snip"], Score)
