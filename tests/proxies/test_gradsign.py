"""GradSign in one pass against one pass for each sample."""

from math import fsum

import numpy as np
import pytest
import torch
from torch import nn

from proxies import Passes, Proxy, Score, ScoreError, score
from proxies import sample_gradients as machinery
from proxies.gradsign import GradSign
from search_spaces import Space
from service import catalogue
from tests.proxies import networks, reference_samples
from tests.proxies.networks import classified


def gradsign(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, **options: str) -> Score:
    result = score(model, classified(images, labels), {"gradsign": GradSign(**options)})["gradsign"]
    assert isinstance(result, Score), result
    return result


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_one_pass_equals_the_loop_over_samples_layer_by_layer(name: str) -> None:
    """In double precision, where no sign hangs on rounding."""
    model = networks.network(name).double()
    images, labels = networks.batch()
    expected = reference_samples.gradsign(model, images.double(), labels)
    assert list(gradsign(model, images, labels).layers.values()) == expected
    assert sum(expected) > 0


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_single_gradients_equal_autograd(name: str) -> None:
    model = networks.network(name).double()
    images, labels = networks.batch()
    loop = list(reference_samples.gradients_of_samples(model, images.double(), labels))
    sums = [torch.stack(layer).sum().item() for layer in zip(*loop)]
    squares = [fsum((g**2).sum().item() for g in layer) for layer in zip(*loop)]
    passes = Passes(model, classified(images, labels))
    found = dict.fromkeys(passes.weights, (0.0, 0.0))
    for (layer,), piece in passes.sample_gradients(slice(None), "loss"):
        assert piece.shape[:2] == (1, len(images))
        found[layer] = (found[layer][0] + piece.sum().item(), found[layer][1] + (piece**2).sum().item())
    assert [total for total, _ in found.values()] == pytest.approx(sums, rel=1e-9, abs=1e-9)
    assert [square for _, square in found.values()] == pytest.approx(squares, rel=1e-9, abs=1e-12)


def test_chunks_and_small_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = networks.network("strided").double()
    images, labels = networks.batch(7)
    whole = gradsign(model, images, labels)
    monkeypatch.setattr(machinery, "PIECE_WEIGHTS", 50)
    monkeypatch.setattr("proxies.gradsign.CHUNK_NUMBERS", 3 * images[0].numel())
    assert gradsign(model, images, labels) == whole


def test_signs_of_the_card_are_counted() -> None:
    """Gradients of three samples (1,-2,0,3), (2,-1,.5,-3), (.1,1,-1,-2): signs sum to 3, 1, 0, 1 in absolute value."""
    gradients = torch.tensor([[1, -2, 0, 3], [2, -1, 0.5, -3], [0.1, 1, -1, -2]], dtype=torch.float64)
    model = nn.Linear(4, 2, bias=False).double()
    nn.init.zeros_(model.weight)
    # softmax of zeros is one half, so the gradient of class 0 is -x / 2 for label 0, and +x / 2 of class 1
    result = gradsign(model, -2 * gradients, torch.zeros(3, dtype=torch.long))
    assert result.value == 2 * 5


def test_two_samples_alike_with_opposite_labels_cancel() -> None:
    model = nn.Linear(4, 2, bias=False)
    nn.init.zeros_(model.weight)
    assert gradsign(model, torch.ones(2, 4), torch.tensor([0, 1])).value == 0


def test_duplicated_batch_doubles_it_and_order_does_not_matter() -> None:
    model = networks.network("residual").double()
    images, labels = networks.batch()
    once = gradsign(model, images, labels).value
    assert gradsign(model, torch.cat([images, images]), torch.cat([labels, labels])).value == 2 * once
    assert gradsign(model, images.flip(0), labels.flip(0)).value == once
    assert 0 <= once <= len(images) * sum(w.numel() for w in Passes(model, classified(images, labels)).weights.values())


def test_mean_divides_by_the_number_of_weights() -> None:
    model = networks.network("plain")
    images, labels = networks.batch()
    weights = sum(w.numel() for w in Passes(model, classified(images, labels)).weights.values())
    total = gradsign(model, images, labels).value
    assert gradsign(model, images, labels, reduction="mean").value == pytest.approx(total / weights)


class Standardised(nn.Conv2d):
    """A convolution whose weight is computed from its parameter."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, self.weight - self.weight.mean(), self.bias)


class Hidden(nn.Linear):
    """A linear layer whose weight is used by matrix multiplication."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.T


def tail(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 4)]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Standardised(3, 8, 1), *tail(8)], "computes its weight"),
        ([nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), Hidden(8, 4)], "3: its weight is used"),
        ([nn.Conv2d(3, 8, 12), nn.BatchNorm2d(8), *tail(8)], "more than one value per channel"),
        ([nn.Conv2d(3, 8, 1)], "the loss fails on an output (8, 8, 12, 12)"),
    ],
)
def test_layers_without_gradients_of_single_samples_are_named(layers: list[nn.Module], message: str) -> None:
    images, labels = networks.batch()
    result = score(nn.Sequential(*layers), classified(images, labels), {"gradsign": GradSign()})["gradsign"]
    assert isinstance(result, ScoreError)
    assert message in str(result)


def of_space(name: str, **options: object) -> Space:
    return catalogue.resolve("space", name)(**options)


SPACES = {
    "nasbench201": {"cells": 1, "image_size": 16},
    "nasbench_macro": {"image_size": 16},
    "nasbench101": {"image_size": 16, "width": 16},
    "small_mobilenet_v3": {"image_size": 16},
}


@pytest.mark.parametrize("name", SPACES)
def test_on_architectures_of_a_space_both_agree(name: str) -> None:
    """In double precision; in single precision a few signs hang on rounding, in the loop as well."""
    space = of_space(name, **SPACES[name])
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, *space.inputs[0].shape, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 10, (4,), generator=generator)
    for i in range(2):
        torch.manual_seed(0)
        model = space.subnet(space.sample(np.random.default_rng(i))).double()
        expected = sum(reference_samples.gradsign(model, images, labels))
        assert gradsign(model, images, labels).value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_on_models_of_timm_both_agree(name: str) -> None:
    import timm

    side = 32 if name.startswith("vit") else 64
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=4, **({"img_size": side} if side == 32 else {})).double()
    images, labels = torch.randn(3, 3, side, side, dtype=torch.float64), torch.tensor([0, 1, 2])
    expected = sum(reference_samples.gradsign(model, images, labels))
    assert gradsign(model, images, labels).value == pytest.approx(expected, rel=1e-6)


def test_a_weight_computed_from_others_is_refused_by_name() -> None:
    model = networks.network("plain")
    torch.nn.utils.parametrizations.weight_norm(model[4])
    images, labels = networks.batch()
    with pytest.raises(ValueError, match="4: its weight is computed from other parameters"):
        score(model, classified(images, labels), {"gradsign": GradSign()})


def test_what_a_proxy_of_the_user_raises_is_the_reason_of_its_missing_score() -> None:
    class Broken(Proxy):
        def __call__(self, passes: Passes) -> Score:
            raise RuntimeError("no memory left")

    images, labels = networks.batch()
    found = score(networks.network("plain"), classified(images, labels), {"broken": Broken(), "gradsign": GradSign()})
    assert str(found["broken"]) == "RuntimeError: no memory left"
    assert isinstance(found["gradsign"], Score)
