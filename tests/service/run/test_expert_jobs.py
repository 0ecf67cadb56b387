"""Jobs whose supernet is blended of experts."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nas.export import load_network
from search_spaces.elastic.experts import BlendedFeedForward
from service.errors import InvalidJob
from service.export.export_members import ExportRequest, export
from service.job.building import build_space
from service.job.loading import load_job
from service.job.preparation import check_same, prepare_folder, saved_job, supernet_differences
from service.run.run import run
from service.run.stages.outputs import SUPERNET
from service.run.stages.plan import Plan
from supernets import Supernet, load_supernet
from tests.service.run.test_adapted_jobs import context

OPTIONS = "{patch: 2, embeds: [8, 16], ratios: [1, 2], heads: [1, 2], depths: [1, 2], head_width: 4}"
TINY = [
    *(f"space={{name: small_autoformer, options: {OPTIONS}}}", "train.epochs=1", "train.sampler=sandwich"),
    *("train.optimizer=adamw", "train.lr=0.003", "search.evaluations=4", "search.population=4"),
    *("search.searcher=random", "search.objectives=[accuracy, macs]", "tracking.enabled=false"),
    *("latency.repeats=5", "latency.warmup_s=0", "latency.min_time_ms=0", "search.calibration_examples=64"),
]
EXPERTS = "supernet.mixture={experts: 2, routing: neuron, hidden: 8, start: independent}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    job = load_job("quickstart", [*TINY, EXPERTS])
    place = prepare_folder(job, tmp_path_factory.mktemp("jobs") / "experts")
    told: list[dict] = []
    run(place, job, told.append, Plan())
    (lines,) = [event["lines"] for event in told if event["event"] == "space"]
    assert lines[0].startswith("supernet: 2 feed-forward layers of 2 experts; ")
    return place


def test_the_supernet_is_kept_with_its_experts(finished):
    space = context(finished).space
    supernet = load_supernet(space, finished / SUPERNET)
    assert sum(isinstance(module, BlendedFeedForward) for module in supernet.modules()) == 2
    kept = load_file(finished / SUPERNET)
    assert sum(".routers." in name for name in kept) == 2 * 2 * 6


def test_members_are_judged_with_their_own_blend_and_exported_as_plain_layers(finished):
    front = json.loads((finished / "front.json").read_text())["members"]
    at = context(finished)
    supernet = load_supernet(at.space, finished / SUPERNET)
    job = load_job(str(finished), [])
    keys = [member["key"] for member in front]
    request = ExportRequest(folder=finished, job=job, members=keys, formats=("safetensors",), weights="auto")
    for member, entry in zip(front, export(request, lambda event: None), strict=True):
        architecture = at.space.architecture(member["architecture"])
        network = supernet.extract(architecture).eval()
        accuracy = at.task.evaluate(network, at.batches.validation()).value
        assert member["values"]["accuracy"] == pytest.approx(accuracy)
        assert not [
            name for name in load_file(entry.place / "model.safetensors") if "experts" in name or "rout" in name
        ]
        x = torch.rand(3, 1, 8, 8)
        assert (load_network(entry.place / "card.json")(x) - network(x)).abs().max() < 1e-5
        params = sum(weight.numel() for weight in network.parameters())
        assert params == at.space.costs([architecture])["params"][0]


def test_a_supernet_with_other_experts_is_another_one(finished):
    there = saved_job(finished)
    assert supernet_differences(load_job("quickstart", [*TINY, EXPERTS]), there) == []
    plain = load_job("quickstart", TINY)
    (line,) = supernet_differences(plain, there)
    assert line.startswith('supernet.mixture: {"experts": 2')
    with pytest.raises(InvalidJob, match=r"supernet\.mixture"):
        check_same(plain, finished)
    del there["supernet"]  # of an earlier version
    assert supernet_differences(plain, there) == []


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (("supernet.mixture={experts: 0}",), "supernet.mixture.experts: must be at least 1, got 0"),
        (("supernet.mixture={routing: token}",), "supernet.mixture.routing: must be one of layer, neuron, got 'token'"),
        (("supernet.mixture={expert: 2}",), "supernet.mixture.expert: unknown field .got 2.; did you mean experts?"),
        (
            ("supernet.mixture={}", "space={name: small_mobilenet_v3}"),
            "supernet.mixture: must be null: networks of small_mobilenet_v3 have no feed-forward layers",
        ),
        (
            ("supernet.mixture={}", "space={name: nasbench101}", "data.image_size=16"),
            "supernet.mixture: must be null: nasbench101 has no supernet",
        ),
        (
            ("supernet.mixture={}", "train.relaxation={}", "train.sampler=uniform"),
            "train.relaxation: must be null with supernet.mixture",
        ),
        (
            ("supernet.mixture={}", "train.split={others: relaxed}", "train.epochs=20"),
            "train.split.others: must be random with supernet.mixture",
        ),
        (
            ("supernet.mixture={}", "space.precision={}"),
            "space.precision: must be null with supernet.mixture",
        ),
    ],
)
def test_wrong_settings_are_named(sets, message):
    with pytest.raises(InvalidJob, match=message):
        load_job("quickstart", [*TINY, *sets])


def test_networks_that_a_space_is_made_of_have_experts_of_their_own():
    part = f"{{name: small_autoformer, options: {OPTIONS}}}"
    job = load_job("quickstart", [f"space={{name: joined, options: {{parts: {{a: {part}}}}}}}", EXPERTS])
    space = build_space(job)
    supernet, inputs = Supernet(space).eval(), space.example(batch=2)
    layers = [module for module in supernet.modules() if isinstance(module, BlendedFeedForward)]
    assert {layer.features.shape for layer in layers} == {(6,)}
    for architecture in (space.smallest(), space.largest()):
        expected = supernet.extract(architecture)(*inputs)
        found = supernet(*inputs)
        assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(expected, found, strict=True))
