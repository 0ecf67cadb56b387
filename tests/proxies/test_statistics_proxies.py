"""Proxies from statistics of features, gradients and activations equal their published definitions."""

from copy import deepcopy
from math import exp, log

import numpy as np
import pytest
import torch
from torch import nn

from proxies import Passes, Score, ScoreError, score
from proxies.aggregate import log_rank, rank_sum, ranks
from proxies.az_nas import Expressivity, Progressivity, Trainability, block_features, feature_blocks
from proxies.linear_regions import LinearRegions, distinct_rows
from proxies.meco import MeCo, correlation
from proxies.nasi import Nasi
from proxies.ntk import Ntk
from proxies.redrawn import draw_gaussian, draw_kaiming
from proxies.swap import Swap, distinct_columns
from proxies.zen import Zen, features
from proxies.zico import ZiCo, inverse_variation
from service import catalogue
from tests.proxies import reference_statistics as reference
from tests.proxies.networks import classified

BITS = torch.tensor([[1, 1, 0, 0, 1], [0, 0, 1, 0, 1], [1, 1, 1, 0, 1]], dtype=torch.bool)


class Residual(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.skip = nn.Identity() if stride == 1 else nn.Conv2d(channels, out, 1, stride)

    def forward(self, x):
        return self.body(x) + self.skip(x)


def plain():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, 1, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def residual():
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)),
        Residual(8, 8, 1),
        Residual(8, 16, 2),
        Residual(16, 16, 1),
        nn.Sequential(nn.BatchNorm2d(16), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 5),
    )


def depthwise():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 5, 1, 2, groups=8, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 12, 1, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 5),
    )


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 12), nn.ReLU(), nn.Linear(12, 5))


CNNS = {"plain": plain, "residual": residual, "depthwise": depthwise}
NETWORKS = CNNS | {"mlp": mlp}
BEFORE_POOLING = {"plain": 5, "residual": 4, "depthwise": 8}
PROXIES = {
    "zen": Zen(repeats=2, batch=4),
    "zico": ZiCo(),
    "meco": MeCo(size=16),
    "swap": Swap(),
    "ntk": Ntk(samples=4),
    "ntk_sample": Ntk(samples=4, normalisation="sample"),
    "nasi": Nasi(),
    "linear_regions": LinearRegions(inputs=100),
    "az_expressivity": Expressivity(batch=8),
    "az_progressivity": Progressivity(batch=8),
    "az_trainability": Trainability(batch=8),
}


@pytest.fixture
def images():
    return torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels():
    return torch.arange(8) % 5


def network(name):
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return NETWORKS[name]().train()


def passes_of(name, images, labels):
    return Passes(network(name), classified(images, labels))


# ---- every proxy of this kind ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CNNS)
def test_scores_are_deterministic_independent_of_each_other_and_leave_the_model_alone(name, images, labels):
    model = network(name).eval()
    before = deepcopy(model.state_dict())
    together = score(model, classified(images, labels), PROXIES)
    reverse = score(model, classified(images, labels), dict(reversed(PROXIES.items())))
    for key, result in together.items():
        assert isinstance(result, Score), f"{key}: {result}"
        assert score(model, classified(images, labels), {key: PROXIES[key]})[key] == result == reverse[key]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_the_seed_matters_where_something_is_drawn(images, labels):
    drawn = {k: PROXIES[k] for k in ("zen", "meco", "linear_regions", "az_expressivity", "az_trainability")}
    first, second = (score(network("plain"), classified(images, labels), drawn, seed=seed) for seed in (0, 1))
    assert all(first[k].value != second[k].value for k in drawn)


def test_a_network_without_what_a_proxy_needs_has_no_score_and_says_why(images, labels):
    scores = score(network("mlp"), classified(images, labels), PROXIES)
    without = {key for key, s in scores.items() if isinstance(s, ScoreError)}
    assert without == {key for key in PROXIES if key.startswith(("zen", "linear", "az"))} | {"meco"}
    assert "fails on inputs" in str(scores["meco"])
    assert "batch norm" in str(scores["zen"])
    assert "ReLU on feature maps" in str(scores["linear_regions"])
    assert "blocks" in str(scores["az_progressivity"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Zen(repeats=0),
        lambda: ZiCo(batches=1),
        lambda: MeCo(size=1),
        lambda: Swap(samples=63),
        lambda: Swap(mu=1.0),
        lambda: Ntk(samples=1),
        lambda: Nasi(samples=0),
        lambda: LinearRegions(inputs=0),
    ],
)
def test_options_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match=r"\d"):
        make()


# ---- zen ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variance", ["batch", "running"])
@pytest.mark.parametrize("name", CNNS)
def test_zen_equals_its_definition(name, variance, images, labels):
    passes = passes_of(name, images, labels)
    generator, model, expected = passes.generator("zen"), network(name), []
    for _ in range(2):
        draw_gaussian(model, generator)
        x = torch.randn(4, 3, 8, 8, generator=generator)
        noisy = x + 0.01 * torch.randn(4, 3, 8, 8, generator=generator)
        expected.append(reference.zen(model, x, noisy, model[BEFORE_POOLING[name]], running=variance == "running"))
    assert Zen(repeats=2, batch=4, variance=variance)(passes).value == pytest.approx(np.mean(expected), rel=1e-4)


def test_zen_weights_are_standard_normal_and_kaiming_ones_have_their_variance():
    for draw, deviation in ((draw_gaussian, 1), (draw_kaiming, (2 / (32 * 9)) ** 0.5)):
        model = nn.Sequential(nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64)).to(memory_format=torch.channels_last)
        nn.init.zeros_(model[1].weight)
        draw(model, torch.Generator().manual_seed(0))
        weight = model[0].weight.detach()
        assert float(weight.std()) == pytest.approx(deviation, rel=0.02)
        assert abs(float(weight.mean())) < 0.02 * deviation
        assert float(model[0].bias.detach().abs().max()) == 0
        assert torch.equal(model[1].weight, torch.ones(64))


def test_zen_features_end_before_the_global_pool_and_not_inside_squeeze_and_excitation():
    class Squeezed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.gate, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 7, 1)

        def forward(self, x):
            x = self.conv(x)
            self.seen = x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
            return self.head(nn.functional.adaptive_avg_pool2d(self.seen, 1)).relu().flatten(1)

    model = Squeezed()
    assert torch.equal(features(model, torch.ones(2, 3, 6, 6)), model.seen)
    flat = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 2))
    assert features(flat, torch.ones(2, 3, 6, 6)).shape == (2, 4, 4, 4)


def test_zen_leaves_out_a_norm_behind_nothing_and_works_without_running_statistics(images, labels):
    class Dead(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x):
            return x + self.norm(0 * x)

    bare, dead = network("plain"), nn.Sequential(Dead(), *network("plain"))
    untracked = network("plain")
    untracked[1] = nn.BatchNorm2d(6, track_running_stats=False)
    scores = [Zen(batch=4)(Passes(m, classified(images, labels))).value for m in (bare, dead, untracked)]
    assert scores[0] == scores[1] == scores[2]


# ---- zico -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batches", [2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_zico_equals_its_definition(name, batches, images, labels):
    result = ZiCo(batches=batches)(passes_of(name, images, labels))
    parts = zip(images.tensor_split(batches), labels.tensor_split(batches))
    expected = reference.zico(network(name), parts)
    assert result.value == pytest.approx(sum(expected.values()), rel=1e-2 if batches == 2 else 1e-3)
    assert list(result.layers) == list(expected)
    for key, value in expected.items():
        assert result.layers[key] == pytest.approx(value, abs=0.05)


def test_zico_counts_weights_that_change_only():
    total = inverse_variation([torch.tensor([1.0, 2.0, 0.0]), torch.tensor([3.0, 2.0, 0.0])])
    assert log(float(total)) == pytest.approx(0.693147, abs=1e-6)
    assert float(inverse_variation([torch.ones(3), torch.ones(3)])) == 0


def test_zico_of_equal_halves_has_no_score(images, labels):
    twice = torch.cat([images, images])
    with pytest.raises(ScoreError, match="no gradient differs"):
        ZiCo()(Passes(network("plain"), classified(twice, torch.cat([labels, labels]))))


# ---- meco -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaves_only", [False, True])
@pytest.mark.parametrize("name", CNNS)
def test_meco_equals_its_definition(name, leaves_only, images, labels):
    passes = passes_of(name, images, labels)
    image = torch.randn(1, 3, 16, 16, generator=passes.generator("meco"))
    expected = reference.meco(network(name), image, leaves_only=leaves_only)
    value = MeCo(size=16, leaves_only=leaves_only)(passes).value
    assert value == pytest.approx(expected, abs=1e-4)
    assert value > 0


def test_meco_of_opposite_channels_is_zero():
    rows = torch.tensor([[1.0, 2.0, 4.0], [-1.0, -2.0, -4.0]])
    matrix = correlation(rows)
    assert matrix.tolist() == [[pytest.approx(1), pytest.approx(-1)], [pytest.approx(-1), pytest.approx(1)]]
    assert float(torch.linalg.eigvalsh(matrix)[0]) == pytest.approx(0, abs=1e-6)
    assert correlation(torch.ones(2, 5)).abs().max() == 0


def test_meco_of_a_network_without_maps_has_no_score(images, labels):
    with pytest.raises(ScoreError, match="more positions than channels"):
        MeCo(size=8)(passes_of("mlp", images, labels))


def test_meco_opt_is_one_of_the_choices_of_channels_times_its_share(images, labels):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    passes = Passes(model, classified(images, labels))
    value = MeCo(size=16, channels=2, leaves_only=True)(passes).value
    image = torch.randn(1, 3, 16, 16, generator=passes.generator("meco"))
    matrix = np.corrcoef(model[0](image)[0].detach().flatten(1).numpy())
    choices = [2 * (1 - abs(matrix[i, j])) for i in range(4) for j in range(i)]
    assert min(abs(value - choice) for choice in choices) < 1e-4
    assert MeCo(size=16, channels=4)(passes).value == pytest.approx(MeCo(size=16)(passes).value, abs=1e-6)


# ---- swap and linear regions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [3, 8])
@pytest.mark.parametrize("name", NETWORKS)
def test_swap_equals_its_definition(name, samples, images, labels):
    patterns = reference.relu_patterns(network(name), images[:samples])
    expected = np.unique(patterns, axis=1).shape[1]
    result = Swap(samples=samples)(passes_of(name, images, labels))
    assert result.value == expected


def test_swap_counts_columns_and_linear_regions_count_rows():
    assert distinct_columns([BITS]) == 4
    assert distinct_columns([BITS[:, :2], BITS[:, 2:]]) == 4
    assert len(distinct_rows([BITS])) == 3
    assert len(distinct_rows([BITS[:, :3], BITS[:, 3:]])) == 3


def test_swap_counts_the_same_by_table_and_by_sorting():
    signs = torch.rand(40, 500, generator=torch.Generator().manual_seed(0)) < 0.02
    for samples in (18, 40):
        assert distinct_columns([signs[:samples]]) == np.unique(signs[:samples].numpy(), axis=1).shape[1]


def test_swap_regularised_punishes_other_sizes(images, labels):
    passes = passes_of("mlp", images, labels)
    thousands = sum(p.numel() for p in passes.model.parameters()) / 1000
    bare = Swap()(passes).value
    assert Swap(mu=thousands, sigma=1.0)(passes).value == pytest.approx(bare)
    assert Swap(mu=thousands + 2, sigma=8.0)(passes).value == pytest.approx(bare * exp(-0.5))


@pytest.mark.parametrize("name", CNNS)
def test_linear_regions_of_the_network_itself_equal_their_definition(name, images, labels):
    passes, proxy = passes_of(name, images, labels), LinearRegions(inputs=20, batches=2, thin=False)
    crops = proxy._crops(passes, passes.generator("linear_regions"))
    assert crops.shape == (40, 3, 3, 3)
    rows = np.concatenate([reference.relu_patterns(network(name), batch) for batch in crops.split(20)])
    assert proxy(passes).value == np.unique(rows, axis=0).shape[0]


def test_linear_regions_are_those_of_a_copy_whose_widths_are_divided_by_the_first(images, labels):
    passes, proxy = passes_of("residual", images, labels), LinearRegions(inputs=50, batches=2)
    generator = passes.generator("linear_regions")
    crops = proxy._crops(passes, generator)
    assert crops.shape == (100, 1, 3, 3)
    thin = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 1, 3, 1, 1, bias=False), nn.BatchNorm2d(1)),
        Residual(1, 1, 1),
        Residual(1, 2, 2),
        Residual(2, 2, 1),
        nn.Sequential(nn.BatchNorm2d(2), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2, 1),
    )
    nn.init.zeros_(thin[2].skip.bias)
    for module in (m for m in thin.modules() if isinstance(m, (nn.Conv2d, nn.Linear))):  # here in order of execution
        drawn = torch.randn(module.weight.shape, generator=generator)
        module.weight.data = drawn * (2 / drawn[0].numel()) ** 0.5
    rows = np.concatenate([reference.relu_patterns(thin, batch) for batch in crops.split(50)])
    value = proxy(passes).value
    assert value == np.unique(rows, axis=0).shape[0]
    assert 1 < value < 100


def test_linear_regions_have_no_score_where_tiny_inputs_do_not_fit(images, labels):
    model = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ScoreError, match="fails on inputs"):
        LinearRegions()(Passes(model, classified(images, labels)))
    with pytest.raises(ScoreError, match="crops"):
        LinearRegions(size=9)(passes_of("plain", images, labels))


# ---- tangent kernel -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_ntk_equals_one_backward_pass_for_each_sample(name, images, labels):
    model = network(name)
    parameters = [p for key, p in model.named_parameters() if "weight" in key]
    expected = reference.condition_number(reference.kernel(model, [images[:4]], parameters))
    assert Ntk(samples=4)(passes_of(name, images, labels)).value == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_ntk_and_nasi_by_sample_equal_a_loop_over_batches_of_one(name, images, labels):
    model = network(name)
    weights = [module.weight for module in reference.weight_modules(model).values()]
    kernel = reference.kernel(model, images[:6].split(1), weights)
    passes = passes_of(name, images, labels)
    value = Ntk(samples=6, normalisation="sample")(passes).value
    assert value == pytest.approx(reference.condition_number(kernel), rel=1e-3)
    traces = Nasi(samples=6)(passes)
    assert traces.value == pytest.approx(np.trace(kernel), rel=1e-4)
    assert sum(traces.layers.values()) == pytest.approx(traces.value)
    for key, module in reference.weight_modules(model).items():
        expected = np.trace(reference.kernel(model, images[:6].split(1), [module.weight]))
        assert traces.layers[key] == pytest.approx(expected, rel=1e-4)


def test_ntk_of_equal_images_is_singular_and_lower_is_better(images, labels):
    twice = images[:1].expand(8, -1, -1, -1)
    for normalisation in ("batch", "sample"):
        with pytest.raises(ScoreError, match="singular"):
            Ntk(samples=2, normalisation=normalisation)(Passes(network("plain"), classified(twice, labels)))
    assert not Ntk().maximise
    assert all(proxy.maximise for key, proxy in PROXIES.items() if not key.startswith("ntk"))


# ---- AZ-NAS ---------------------------------------------------------------------------------------------------------


def test_az_nas_equals_its_definition(images, labels):
    passes = passes_of("residual", images, labels)
    generator, model = passes.generator("az_nas"), network("residual")
    draw_kaiming(model, generator)
    x = torch.randn(16, 3, 8, 8, generator=generator).requires_grad_()
    maps = [model[0](x)]
    for block in model[1:4]:
        maps.append(block(maps[-1]))
    expected = reference.entropies(maps)
    assert Expressivity(batch=16)(passes).value == pytest.approx(expected.sum(), rel=1e-4)
    assert Progressivity(batch=16)(passes).value == pytest.approx(np.diff(expected).min(), abs=1e-4)
    generator, signs = passes.generator("az_nas gradients"), []
    for feature in maps[:0:-1]:
        draws = torch.rand(feature.permute(0, 2, 3, 1).shape, generator=generator).permute(0, 3, 1, 2)
        signs.append(torch.where(draws < 0.5, 1.0, -1.0))
    assert Trainability(batch=16)(passes).value == pytest.approx(reference.trainability(maps, signs), rel=1e-4)


def test_az_nas_takes_the_blocks_a_model_names_and_else_finds_them(images, labels):
    model = network("residual")
    assert feature_blocks(model) == [model[0][1], model[1], model[2], model[3]]

    class Named(nn.Sequential):
        def blocks(self):
            return [self[0], self[2]]

    named = Named(*model)
    assert feature_blocks(named) == [named[0], named[2]]
    assert len(block_features(Passes(named, classified(images, labels)), 2)) == 2
    assert [type(m) for m in feature_blocks(network("plain"))] == [nn.Conv2d, nn.Conv2d]


def test_trainability_is_best_for_an_orthogonal_block_and_needs_one_that_does_something(images, labels):
    class Blocks(nn.Sequential):
        def blocks(self):
            return [self[0], self[1]]

    class Flip(nn.Module):
        def forward(self, x):
            return -x

    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    flipped = Passes(Blocks(nn.Conv2d(3, 4, 3), Flip(), *head), classified(images, labels))
    assert Trainability(batch=64)(flipped).value == pytest.approx(0, abs=0.02)
    same = Passes(Blocks(nn.Conv2d(3, 4, 3), nn.Identity(), *head), classified(images, labels))
    with pytest.raises(ScoreError, match="unchanged"):
        Trainability()(same)


def test_az_nas_scores_odd_sizes_and_blocks_that_give_nothing(images, labels):
    class Nothing(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Conv2d(4, 4, 1)

        def forward(self, x):
            return x * 0

    odd = nn.Sequential(nn.Conv2d(3, 4, 2), Residual(4, 4, 1), Residual(4, 6, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    parts = {key: PROXIES[key] for key in ("az_expressivity", "az_progressivity", "az_trainability")}
    assert all(isinstance(s, Score) for s in score(odd, classified(images, labels), parts).values())
    dead = nn.Sequential(nn.Conv2d(3, 4, 2), Residual(4, 4, 1), Nothing(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    results = score(dead, classified(images, labels), parts)
    assert "constant" in str(results["az_expressivity"])


# ---- aggregates -----------------------------------------------------------------------------------------------------


def test_log_rank_is_that_of_az_nas():
    values = log_rank([[1, 2, 3, 4], [4, 3, 2, 1], [1, 3, 2, 4]])
    assert values == pytest.approx([-2.7726, -1.2685, -1.6740, -1.3863], abs=1e-4)
    assert int(values.argmax()) == 1


def test_ranks_average_ties_and_put_what_is_not_finite_last():
    assert ranks([5.0, 1.0, 5.0, 7.0]).tolist() == [2.5, 1, 2.5, 4]
    assert ranks([5.0, np.nan, np.inf, -np.inf, 7.0]).tolist() == [4, 2, 2, 2, 5]


def test_rank_sum_respects_which_way_is_better():
    kappa, regions = [10.0, 2.0, np.nan], [5, 4, 6]
    assert rank_sum([kappa, regions], maximise=[False, True]).tolist() == [2 + 2, 3 + 1, 1 + 3]
    with pytest.raises(ValueError, match="one length"):
        rank_sum([[1, 2], [1, 2, 3]])
    with pytest.raises(ValueError, match="1 values for 2 columns"):
        log_rank([[1], [2]], maximise=[True])


def test_aggregates_name_listed_proxies():
    for name, entry in catalogue.AGGREGATES.items():
        combine = catalogue.resolve("proxy", entry.target)
        assert len(combine([[1.0, 2.0, 3.0]] * len(entry.parts))) == 3, name
        assert set(entry.parts) <= set(catalogue.PROXIES)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", CNNS)
def test_scores_on_a_gpu_are_finite_and_those_without_random_draws_agree(name, images, labels):
    there = score(network(name).cuda(), classified(images, labels), PROXIES)
    here = score(network(name), classified(images, labels), PROXIES)
    assert all(isinstance(s, Score) for s in there.values())
    for key in ("zico", "ntk", "ntk_sample", "nasi"):
        assert there[key].value == pytest.approx(here[key].value, rel=0.05)
    assert there["swap"].value == pytest.approx(here["swap"].value, rel=0.02)
