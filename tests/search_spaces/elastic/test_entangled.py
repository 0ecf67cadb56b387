"""Entangled choices: slices of one tensor, mixed by one factor a dimension."""

import itertools
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import Architecture, Relaxation, Space
from search_spaces.elastic import CroppedConv2d, ElasticBatchNorm2d, ElasticLinear, Size, elastic_layers
from search_spaces.elastic.mixing import centre_factors
from search_spaces.families.conv_macro import conv_macro
from search_spaces.families.darts import darts
from search_spaces.families.darts_cells import STATES, edge_vector
from search_spaces.families.mobilenet_v3 import ofa_mobilenet_v3, small_mobilenet_v3
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.nasbench_macro import nasbench_macro
from search_spaces.relaxing import relaxing
from search_spaces.sizes import Mixture
from supernets import Supernet

SPACES = {
    "conv_macro": lambda: conv_macro(image_size=12, channels=1),
    "small_mobilenet_v3": lambda: small_mobilenet_v3(image_size=8, stage_widths=(16, 24), strides=(1, 2)),
    "ofa_mobilenet_v3": lambda: ofa_mobilenet_v3(width=0.35, resolutions=(32,), classes=5),
    "nasbench201": lambda: nasbench201(width=4, cells=1, image_size=8),
    "nasbench201 entangled": lambda: nasbench201(width=4, cells=1, image_size=8, entangled=True),
    "nasbench201 entangled without weights of norms": lambda: nasbench201(
        width=4, cells=1, image_size=8, entangled=True, shared_affine=False
    ),
    "darts": lambda: darts(width=4, cells=3, image_size=8),
    "darts entangled": lambda: darts(width=4, cells=3, image_size=8, entangled=True),
}


def one_hot(space: Space, architecture: Mapping) -> dict:
    """Weight 1 of what an architecture has; nodes of DARTS cells read two of their edges."""
    if space.name != "darts":
        return {v.name: {architecture.get(v.name, v.choices[0]): 1.0} for v in relaxing(space).all}
    weights = {vector.name: {"none": 1.0} for vector in relaxing(space).all}
    for cell, node in itertools.product(("normal", "reduce"), (2, 3, 4, 5)):
        name = f"{cell}.node{node}"
        for state, operation in zip(STATES[architecture[f"{name}.inputs"]], ("op1", "op2")):
            weights[edge_vector(cell, state, node)] = {architecture[f"{name}.{operation}"]: 1.0}
    return weights


def trained(supernet: Supernet) -> Supernet:
    """Norms as a trained network has them."""
    generator = torch.Generator().manual_seed(0)
    for module in supernet.modules():
        if isinstance(module, ElasticBatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.2, generator=generator)
    return supernet.eval()


@pytest.mark.parametrize("name", SPACES)
def test_one_hot_weights_give_the_extracted_subnet(name):
    space, generator = SPACES[name](), np.random.default_rng(1)
    torch.manual_seed(0)
    supernet = trained(Supernet(space))
    (x,) = space.example(batch=2)
    for architecture in (space.smallest(), space.largest(), space.sample(generator), space.sample(generator)):
        expected = supernet.extract(architecture)(x)
        supernet.relax(relaxing(space).relaxation(one_hot(space, architecture)))
        assert torch.allclose(supernet(x), expected, atol=1e-5)
        supernet.activate(architecture)
        assert torch.allclose(supernet(x), expected, atol=1e-5)


@pytest.mark.parametrize("name", SPACES)
def test_gradients_of_the_weights_are_finite_differences(name):
    space, generator = SPACES[name](), np.random.default_rng(2)
    torch.manual_seed(0)
    supernet = trained(Supernet(space)).double()
    (x,) = space.example(batch=2)
    logits = {v.name: torch.from_numpy(generator.normal(size=len(v.choices))) for v in relaxing(space).all}

    def loss(values: dict[str, torch.Tensor]) -> torch.Tensor:
        weights = {v.name: dict(zip(v.choices, values[v.name].softmax(0))) for v in relaxing(space).all}
        supernet.relax(relaxing(space).relaxation(weights))
        return supernet(x.double()).square().sum()

    leaves = {name: value.clone().requires_grad_() for name, value in logits.items()}
    gradients = torch.autograd.grad(loss(leaves), list(leaves.values()), allow_unused=True, materialize_grads=True)
    step = 1e-5
    ways = [torch.from_numpy(generator.normal(size=len(value))) for value in logits.values()]
    with torch.no_grad():
        ahead = loss({name: value + step * way for (name, value), way in zip(logits.items(), ways)})
        behind = loss({name: value - step * way for (name, value), way in zip(logits.items(), ways)})
    along = sum(float((gradient * way).sum()) for gradient, way in zip(gradients, ways))
    assert along == pytest.approx(float((ahead - behind) / (2 * step)), rel=1e-4)
    assert along != 0


def test_the_mask_is_the_sum_over_all_combinations():
    torch.manual_seed(0)
    sizes = {"in": (2, 3, 6), "out": (1, 4, 5), "kernel": (1, 3, 5)}
    made = {name: Size(name, {value: value for value in values}) for name, values in sizes.items()}
    plain = nn.Conv2d(6, 5, 5, stride=2, padding=2)
    layer = CroppedConv2d(plain, in_size=made["in"], out_size=made["out"], kernel=made["kernel"]).double()
    weights = {name: dict(zip(values, torch.rand(3).double().softmax(0))) for name, values in sizes.items()}
    expected = torch.zeros_like(plain.weight)
    bias = torch.zeros_like(plain.bias)
    for i, o, k in itertools.product(*sizes.values()):
        joint, margin = weights["in"][i] * weights["out"][o] * weights["kernel"][k], (5 - k) // 2
        window = slice(margin, margin + k)
        expected[:o, :i, window, window] += joint * plain.weight[:o, :i, window, window]
        bias[:o] += joint * plain.bias[:o]
    layer.activate(Relaxation(weights))
    x = torch.randn(2, 6, 9, 9).double()
    assert torch.allclose(layer(x), nn.functional.conv2d(x, expected, bias, stride=2, padding=2))


def test_a_kernel_is_mixed_around_its_centre():
    row = torch.arange(1.0, 6.0) * centre_factors(Mixture("kernel", {3: 0.3, 5: 0.7}), 5, torch.ones(1))[2]
    assert row.tolist() == pytest.approx([0.7, 2, 3, 4, 3.5])


def test_mixed_weights_give_the_mixed_outputs_of_linear_operations():
    torch.manual_seed(0)
    layer = ElasticLinear(Size("in", {2: 2, 4: 4}), Size("out", {1: 1, 3: 3}), bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.arange(1, 13).view(3, 4))
    layer.activate(Relaxation({"in": {2: 0.25, 4: 0.75}, "out": {1: 0.4, 3: 0.6}}))
    assert layer(torch.ones(4).double()).tolist() == pytest.approx([8.25, 13.35, 21.75])


def kept_bytes(choices: int) -> int:
    """Bytes that a mixture of so many widths and kernels keeps for its gradients, weights aside."""
    widths = [32 - 2 * i for i in range(choices)]
    kernels = [2 * i + 1 for i in range(choices)]
    width = Size("width", {one: one for one in widths})
    kernel = Size("kernel", {one: one for one in kernels})
    most = max(kernels)
    network = nn.Sequential(
        CroppedConv2d(nn.Conv2d(3, 32, most, padding=most // 2), out_size=width, kernel=kernel),
        ElasticBatchNorm2d(width),
        nn.ReLU(),
        CroppedConv2d(nn.Conv2d(32, 32, 3, padding=1), in_size=width, out_size=width),
        nn.ReLU(),
    )
    for layer in elastic_layers(network):
        weights = {"width": dict.fromkeys(widths), "kernel": dict.fromkeys(kernels)}
        mixed = {name: {c: torch.tensor(1 / choices, requires_grad=True) for c in of} for name, of in weights.items()}
        layer.activate(Relaxation(mixed))
    x, kept = torch.randn(8, 3, 24, 24), {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if (tensor.dim() == 4 and len(tensor) == len(x)) or tensor.dim() < 4:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = network(x)
    assert out.requires_grad
    return sum(kept.values())


def test_memory_does_not_depend_on_the_number_of_choices():
    few, many = kept_bytes(2), kept_bytes(8)
    assert abs(many / few - 1) < 0.05


def test_entangled_operations_have_the_weights_of_the_largest():
    plain, entangled = nasbench201(cells=1), nasbench201(cells=1, entangled=True)
    counts = [sum(p.numel() for p in space.build().parameters()) for space in (plain, entangled)]
    assert counts[0] - counts[1] == 6 * sum(width**2 + 2 * width for width in (16, 32, 64))
    network = Supernet(entangled)
    chosen = {d.name: "nor_conv_1x1" for d in entangled.decisions}
    for name, value in network.extract(entangled.architecture(chosen)).state_dict().items():
        if "edge" in name and "conv.weight" in name:
            assert value.shape[-1] == 1


def test_a_node_without_any_operation_gives_zeros():
    space = darts(width=4, cells=3, image_size=8)
    supernet = Supernet(space).eval()
    supernet.relax(relaxing(space).relaxation({vector.name: {"none": 1.0} for vector in relaxing(space).all}))
    assert supernet(*space.example(batch=2)).shape == (2, 10)


def test_what_cannot_be_relaxed_is_refused_in_one_line():
    with pytest.raises(ValueError, match="relaxation must be null: resolution of ofa_mobilenet_v3 has 2 choices"):
        relaxing(ofa_mobilenet_v3(resolutions=(32, 64)))
    with pytest.raises(ValueError, match="decisions of nasbench201 depend on each other"):
        relaxing(nasbench201(connected=True))
    assert [vector.name for vector in relaxing(nasbench_macro()).all] == [d.name for d in nasbench_macro().decisions]


def test_the_strongest_edges_of_darts_are_derived():
    space = darts()
    vectors = relaxing(space)
    scores = {vector.name: np.log(np.full(8, 1 / 8)) for vector in vectors.all}
    best = np.log([0.6, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.28])  # mostly none: the best operation counts
    scores["normal.edge1_4"], scores["normal.edge3_4"] = best, np.log([0.01, 0.9, *[0.015] * 6])
    architecture = space.architecture(vectors.values(scores))
    assert architecture["normal.node4.inputs"] == "1-3"
    assert (architecture["normal.node4.op1"], architecture["normal.node4.op2"]) == ("sep_conv_5x5", "max_pool_3x3")
    others = [space.sample(np.random.default_rng(seed)) for seed in range(20)]
    assert all(vectors.score(scores, architecture) > vectors.score(scores, Architecture(other)) for other in others)
