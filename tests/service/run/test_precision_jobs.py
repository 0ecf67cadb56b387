"""Jobs whose architectures say the bits of layers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.export import load_network
from search_spaces.elastic.quantized import quantized_layers
from service.errors import InvalidJob
from service.export.export_members import ExportRequest, export
from service.job.building import build_space
from service.job.found_weights import weights_line
from service.job.loading import load_job
from service.job.preparation import prepare_folder
from service.report.fronts_text import conditions_text
from service.report.looks_html import anatomy_of
from service.report.network_svg import network_svg
from service.run.run import run
from service.run.stages.outputs import SUPERNET
from service.run.stages.plan import Plan
from supernets import Supernet, load_supernet
from tests.service.run.test_adapted_jobs import context

OPTIONS = "{stage_widths: [8, 16], strides: [1, 2], depths: [1, 2], kernels: [3], expands: [1, 2]}"
TINY = [
    *(f"space={{name: small_mobilenet_v3, options: {OPTIONS}}}", "train.epochs=1", "train.lr=0.02"),
    *("search.evaluations=4", "search.population=4", "search.searcher=random", "tracking.enabled=false"),
    *("latency.repeats=5", "latency.warmup_s=0", "latency.min_time_ms=0", "search.calibration_examples=64"),
]
BITS = "space.precision={weights: [2, 8], activations: [4, 8], granularity: channel}"
COSTS = "search.objectives=[accuracy, bytes, bit_operations]"
SIMULATED = "bits are simulated, latency is that of networks that do not round"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    limit = "search.constraints={weight_bits_by_layer: 7}"
    sampler = "train.sampler=progressive_guidance"
    job = load_job("quickstart", [*TINY, BITS, COSTS, limit, sampler, "train.weight_shape={}"])
    place = prepare_folder(job, tmp_path_factory.mktemp("jobs") / "bits")
    run(place, job, lambda event: None, Plan())
    return place


def test_a_search_of_bits_keeps_its_limits_and_says_what_is_simulated(finished):
    front = json.loads((finished / "front.json").read_text())
    space = context(finished).space
    for member in front["members"]:
        costs = space.costs([space.architecture(member["architecture"])])
        assert costs["weight_bits_by_layer"][0] <= 7
        assert member["values"]["bytes"] == costs["bytes"][0]
    assert front["latency"]["simulated"] == SIMULATED
    assert SIMULATED in conditions_text(front["latency"], "images")


def test_a_member_is_exported_with_its_bits_and_drawn_with_them(finished):
    front = json.loads((finished / "front.json").read_text())
    at = context(finished)
    supernet = load_supernet(at.space, finished / SUPERNET)
    member = front["members"][0]
    keys, job = [member["key"]], load_job(str(finished), [])
    request = ExportRequest(folder=finished, job=job, members=keys, formats=("safetensors",), weights="auto")
    (entry,) = export(request, lambda event: None)
    architecture = at.space.architecture(member["architecture"])
    network, again = supernet.extract(architecture).eval(), load_network(entry.place / "card.json")
    x = torch.rand(3, 1, 8, 8)
    bits = [(layer.quantizer.weight.bits, layer.quantizer.input.bits) for _, layer in quantized_layers(again)]
    assert bits == [(layer.quantizer.weight.bits, layer.quantizer.input.bits) for _, layer in quantized_layers(network)]
    ranges = [name for name in again.state_dict() if name.endswith(".scale")]
    assert all(torch.equal(again.state_dict()[name], network.state_dict()[name]) for name in ranges)
    assert again(x).isfinite().all()
    drawn = network_svg(anatomy_of(finished, front, member))
    assert "Bits of layers" in drawn
    assert all(f"{weights}, {inputs}<" in drawn for weights, inputs in set(bits))


def test_a_training_begins_with_the_weights_of_a_job_without_bits(tmp_path):
    job = load_job("quickstart", [*TINY, "search.objectives=[accuracy, macs]"])
    place = prepare_folder(job, tmp_path / "float")
    trained = Supernet(build_space(job))
    trained.save(place / SUPERNET)
    bits = load_job("quickstart", [*TINY, BITS, COSTS, f"space.precision.start={place}"])
    space = build_space(bits)
    assert weights_line(space).endswith(f"begin with the weights of {place / SUPERNET}")
    assert space.weights is not None
    network = space.build()
    space.weights(network)
    theirs = trained.network.state_dict()
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in theirs.items())
    other = load_job("quickstart", [*TINY, BITS, COSTS, f"space.precision.start={tmp_path}"])
    with pytest.raises(InvalidJob, match=r"space.precision.start: must be the folder of a finished job .* there is no"):
        weights_line(build_space(other))
    Supernet(space).save(place / SUPERNET)
    with pytest.raises(InvalidJob, match="holds the weights of another network, or of one with bits"):
        weights_line(space)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (("space.precision={weights: [1, 4]}",), r"space.precision.weights: must be rising .* 2 to 8, got \[1, 4\]"),
        (("space.precision={activations: [16]}",), r"space.precision.activations: .* from 2 to 8, got \[16\]"),
        (("space.precision={kinds: [norm]}",), "space.precision.kinds: .* other layers have no precision of their own"),
        (("space.precision={bits: 4}",), "space.precision.bits: unknown field"),
        ((BITS, COSTS, "search.constraints={bytes: 100}"), "search.constraints.bytes: 100.0 is impossible"),
        (
            (BITS, "train.sampler=uniform", "train.relaxation={}"),
            "train.relaxation: must be null with space.precision: bits cannot be mixed",
        ),
        ((BITS, "train.ema_decay=0.9"), "train.ema_decay: must be null with space.precision"),
        (
            ("space={name: nasbench101, precision: {}}", "data.image_size=16"),
            "space.precision: must be null: nasbench101 has no elastic network",
        ),
    ],
)
def test_wrong_settings_are_named(sets, message):
    with pytest.raises(InvalidJob, match=message):
        load_job("quickstart", [*TINY, *sets])


def test_a_limit_on_latency_is_said_to_be_that_of_the_network_without_rounding():
    lines: list[str] = []
    load_job("quickstart", [*TINY, BITS, "search.objectives=[accuracy, latency_ms]"], warn=lines.append)
    assert lines == [f"search: latency_ms: {SIMULATED}; costs that follow bits are bytes and bit_operations"]


def test_costs_of_a_job_are_those_of_its_space():
    space = build_space(load_job("quickstart", [*TINY, BITS, COSTS]))
    encodings = space.sample_encodings(3, np.random.default_rng(0))
    assert set(space.costs(encodings)) > {"params", "macs", "bytes", "bit_operations", "weight_bits_by_parameter"}
