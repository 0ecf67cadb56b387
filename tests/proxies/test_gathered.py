"""Few large operations, as on CUDA, against the many small ones of the CPU: here both run on the CPU."""

import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from proxies import Batch, Passes, Score, ScoreError, gathered_gradients, score
from proxies.gradsign import GradSign, sign_sums
from proxies.ntk import Ntk
from service import catalogue
from service.job import proxies as job_proxies
from tests.proxies import networks, reference_samples
from tests.proxies.networks import classified

PROXIES = {name: job_proxies.make(name, {}) for name in catalogue.PROXIES} | {"ntk_sample": Ntk(normalisation="sample")}
SPACES = {
    "nasbench201": {"cells": 1, "image_size": 16},
    "nasbench_macro": {"image_size": 16},
    "nasbench101": {"image_size": 16, "width": 16},
    "small_mobilenet_v3": {"image_size": 16},
}


def of_space(name: str) -> tuple[nn.Module, Batch]:
    space = catalogue.resolve("space", name)(**SPACES[name])
    model = space.subnet(space.sample(np.random.default_rng(0)))
    images = torch.randn(6, *space.inputs[0].shape, dtype=torch.float64)
    return model.double(), classified(images, torch.arange(6) % 3)


def of_timm(name: str) -> tuple[nn.Module, Batch]:
    import timm

    side = 32 if name.startswith("vit") else 64
    model = timm.create_model(name, num_classes=4, **({"img_size": side} if side == 32 else {}))
    return model.double(), classified(torch.randn(3, 3, side, side, dtype=torch.float64), torch.tensor([0, 1, 2]))


def of_networks(name: str) -> tuple[nn.Module, Batch]:
    images, labels = networks.batch()
    return networks.network(name).double(), classified(images.double(), labels)


MODELS = {
    **dict.fromkeys(networks.NETWORKS, of_networks),
    **dict.fromkeys(SPACES, of_space),
    **dict.fromkeys(("resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224"), of_timm),
}


def sample_gradients(model: nn.Module, batch: Batch, *, gathered: bool) -> dict[str, list[Tensor]]:
    """Gradients of each layer, piece by piece [n, p]."""
    found: dict[str, list[Tensor]] = {}
    for names, piece in Passes(model, batch, gathered=gathered).sample_gradients(slice(None), "loss"):
        for name, gradients in zip(names, piece, strict=True):
            found.setdefault(name, []).append(gradients)
    return found


def moments(pieces: list[Tensor]) -> Tensor:
    """Sums of gradients, and of their squares and cubes, of each sample [3, n], whatever the order of the weights."""
    return torch.stack([sum((piece**power).sum(1) for piece in pieces) for power in (1, 2, 3)])  # type: ignore[misc]


@pytest.mark.parametrize("name", MODELS)
def test_gathered_gradients_of_samples_equal_the_loop(name: str) -> None:
    model, batch = MODELS[name](name)
    loop, gathered = (sample_gradients(model, batch, gathered=way) for way in (False, True))
    assert loop.keys() == gathered.keys()
    for layer, pieces in loop.items():
        torch.testing.assert_close(moments(gathered[layer]), moments(pieces), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_gathered_gradients_are_those_of_autograd_weight_by_weight(name: str) -> None:
    model, batch = of_networks(name)
    images, labels = networks.batch()
    gathered = sample_gradients(model, batch, gathered=True)
    loop = list(reference_samples.gradients_of_samples(model, images.double(), labels))
    for layer, *samples in zip(Passes(model, batch).weights, *loop, strict=True):
        expected = torch.stack(samples).flatten(1)
        torch.testing.assert_close(torch.cat(gathered[layer], 1), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_gathered_signs_equal_the_loop(name: str) -> None:
    """In double precision; a few gradients that are zero but for rounding may have either sign."""
    model, batch = MODELS[name](name)
    loop, gathered = (sign_sums(Passes(model, batch, gathered=way)) for way in (False, True))
    assert gathered.keys() == loop.keys()
    assert float(sum(gathered.values())) == pytest.approx(float(sum(loop.values())), rel=1e-6)


@pytest.mark.parametrize("name", ["plain", "residual", "nasbench201"])
def test_every_proxy_is_the_same_gathered(name: str) -> None:
    model, batch = MODELS[name](name)
    loop, gathered = (score(model, batch, PROXIES, gathered=way) for way in (False, True))
    for key, expected in loop.items():
        found = gathered[key]
        if isinstance(expected, ScoreError) or isinstance(found, ScoreError):
            assert str(found) == str(expected), key
            continue
        assert found.value == pytest.approx(expected.value, rel=1e-6), key
        assert found.layers.keys() == expected.layers.keys(), key
        assert list(found.layers.values()) == pytest.approx(list(expected.layers.values()), rel=1e-5, abs=1e-8), key


def test_in_single_precision_scores_agree_to_a_tolerance() -> None:
    images, labels = networks.batch()
    model, batch = networks.network("residual"), classified(images, labels)
    loop, gathered = (score(model, batch, PROXIES, gathered=way) for way in (False, True))
    for key, expected in loop.items():
        found = gathered[key]
        assert isinstance(found, Score) == isinstance(expected, Score), key
        if isinstance(expected, Score) and isinstance(found, Score):
            assert found.value == pytest.approx(expected.value, rel=2e-3), key


def test_stacks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers beyond the limit go the way of the CPU, and fewer layers go together."""
    model, batch = of_networks("residual")
    whole = score(model, batch, {"gradsign": GradSign()}, gathered=True)["gradsign"]
    monkeypatch.setattr(gathered_gradients, "GATHERED_NUMBERS", 12_000)
    assert score(model, batch, {"gradsign": GradSign()}, gathered=True)["gradsign"] == whole
    monkeypatch.setattr("proxies.gradsign.CHUNK_NUMBERS", 3 * 3 * 12 * 12)
    assert score(model, batch, {"gradsign": GradSign()}, gathered=True)["gradsign"] == whole


class Operations(TorchDispatchMode):
    """A count of operations that start a kernel: views and bookkeeping aside."""

    FREE = re.compile(
        r"(_unsafe_)?view|t|transpose|permute|expand|slice|select|(un)?squeeze|detach|alias|as_strided|split\w*|unbind"
        r"|(new_)?empty\w*|set_|is_same_size"
    )

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += not self.FREE.fullmatch(func._schema.name.partition("::")[2])
        return func(*args, **(kwargs or {}))


def test_gathered_proxies_start_far_fewer_operations() -> None:
    """Counted beside the plain forward and backward pass of the same network."""
    space = catalogue.resolve("space", "nasbench201")()
    model = space.subnet(space.largest())
    images, labels = torch.randn(4, 3, 32, 32), torch.arange(4)
    counts = []
    for gathered in (False, True):
        passes = Passes(model, classified(images, labels), gathered=gathered)
        with Operations() as made:
            sign_sums(passes)
        counts.append(made.count)
    with Operations() as plain:
        torch.nn.functional.cross_entropy(model.train()(images), labels).backward()
    assert counts[1] < counts[0] / 4
    assert counts[1] < 2.5 * plain.count
