"""Scores of single samples against the loop that defines them, on many architectures of every benchmark space.

Minutes long: ``pytest -m slow tests/proxies/test_exact_on_spaces.py -s`` prints the differences found.
"""

from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from proxies import Score, score
from proxies.gradsign import GradSign
from proxies.nasi import Nasi
from proxies.ntk import Ntk
from service import catalogue
from tests.proxies import reference_samples
from tests.proxies.networks import classified

ARCHITECTURES = 50
SAMPLES = 3
SPACES = {
    "nasbench201": {},
    "nasbench101": {"image_size": 16},
    "nasbench_macro": {},
    "ofa_mobilenet_v3": {"resolutions": (64,), "classes": 10},
}
TIMM = ("resnet18", "efficientnet_b0", "vit_tiny_patch16_224")


def of_space(name: str) -> Iterator[tuple[nn.Module, int]]:
    space = catalogue.resolve("space", name)(**SPACES[name])
    for i in range(ARCHITECTURES):
        torch.manual_seed(i)
        yield space.subnet(space.sample(np.random.default_rng(i))), space.inputs[0].shape[-1]


def of_timm(name: str) -> Iterator[tuple[nn.Module, int]]:
    import timm

    torch.manual_seed(0)
    yield timm.create_model(name, num_classes=10), 224 if name.startswith("vit") else 64


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SPACES, *TIMM])
def test_scores_of_single_samples_equal_the_loop(name: str) -> None:
    """In double precision, signs of gradients that are zero but for rounding may differ and no others; these are
    counted. In single precision there are more of them."""
    worst = {"gradsign, single": 0.0, "gradsign, double": 0.0, "nasi": 0.0, "ntk": 0.0}
    networks = undecided = 0
    for model, side in of_space(name) if name in SPACES else of_timm(name):
        generator = torch.Generator().manual_seed(networks)
        images = torch.randn(SAMPLES, 3, side, side, generator=generator)
        labels = torch.randint(0, 10, (SAMPLES,), generator=generator)
        proxies = {"gradsign": GradSign(), "nasi": Nasi(samples=SAMPLES), "ntk": Ntk(normalisation="sample")}
        found = score(model, classified(images, labels), {"gradsign": proxies["gradsign"]})["gradsign"]
        expected = sum(reference_samples.gradsign(model, images, labels))
        worst["gradsign, single"] = max(worst["gradsign, single"], _difference(found, expected))
        double, images = deepcopy(model).double(), images.double()
        exact = score(double, classified(images, labels), proxies)
        expected = sum(reference_samples.gradsign(double, images, labels))
        doubtful = reference_samples.undecided(double, images, labels)
        beyond = max(0.0, _difference(exact["gradsign"], expected) - 2 * doubtful / max(expected, 1))
        worst["gradsign, double"] = max(worst["gradsign, double"], beyond)
        undecided += doubtful
        gram = reference_samples.gram_matrix(double, images)
        worst["nasi"] = max(worst["nasi"], _difference(exact["nasi"], float(gram.trace())))
        eigenvalues = torch.linalg.eigvalsh(gram)
        if isinstance(exact["ntk"], Score):
            worst["ntk"] = max(worst["ntk"], _difference(exact["ntk"], float(eigenvalues[-1] / eigenvalues[0])))
        networks += 1
    print(f"\n{name}, {networks} networks, {undecided} undecided signs, largest relative difference:", worst)
    assert worst["gradsign, double"] == 0
    assert worst["gradsign, single"] <= 5e-3
    assert worst["nasi"] <= 1e-6
    assert worst["ntk"] <= 1e-3


def _difference(found: object, expected: float) -> float:
    if not isinstance(found, Score):
        assert expected == 0, found
        return 0.0
    return abs(found.value - expected) / max(abs(expected), 1e-12)
