"""Jobs whose training removes channels and weights."""

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from service.errors import InvalidJob
from service.export.export_members import ExportRequest, export
from service.job.folder import read_events
from service.job.front_file import task_of_job
from service.job.loading import load_job
from service.job.preparation import prepare_folder
from service.report.fronts import fronts_of
from service.report.job_report import summary_lines, write_report
from service.report.ticket_section import ticket_sections
from service.run.progress import ProgressDisplay
from service.run.run import run
from service.run.stages.outputs import SUPERNET, TICKET
from service.run.stages.plan import Plan
from service.tracking.format import progress_points
from supernets import load_supernet
from tests.service.run.test_adapted_jobs import context

SPACE = (
    "space={name: hr_multibranch, options: {stages: [[[1], [4]], [[1, 1], [4, 6]]], stem_widths: [4], last_width: 16}}"
)
TICKETS = "train.tickets={sparsity: 0.5, prune_interval: 1, prune_step: 0.25, rho: 0.3, rho_epochs: 1, threshold: 0.6}"
TINY = [
    *(SPACE, TICKETS, "train.sampler=uniform", "train.epochs=3", "train.lr=0.05", "train.ema_decay=0.8"),
    *("search.searcher=derived", "search.evaluations=1", "search.calibration_examples=64"),
    *("latency.repeats=5", "latency.warmup_s=0", "latency.min_time_ms=0", "tracking.enabled=false"),
    "search.objectives=[accuracy, macs]",
]
START = ("train.epochs=1", "search.objectives=[accuracy]")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    job = load_job("quickstart", TINY)
    place = prepare_folder(job, tmp_path_factory.mktemp("jobs") / "found")
    run(place, job, lambda event: None, Plan())
    return place


def test_the_search_answers_with_the_ticket(found):
    ticket = json.loads((found / TICKET).read_text())
    (member,) = json.loads((found / "front.json").read_text())["members"]
    assert member["architecture"] == ticket["architecture"]
    last = ticket["history"][-1]
    assert last["sparsity"] == pytest.approx(0.5, abs=1e-3)
    assert member["values"]["macs"] == last["dense_macs"] > last["sparse_macs"]
    space = context(found).space
    supernet = load_supernet(space, found / SUPERNET)
    assert supernet.ticket is not None
    assert supernet.ticket.to_json() == ticket
    assert last["dense_macs"] < space.costs([space.largest()])["macs"][0]


def test_what_was_found_is_in_the_log_in_metrics_and_in_the_report(found):
    events = read_events(found / "progress.jsonl")[0]
    told = [event for event in events if event["event"] == "ticket"]
    assert [event["epoch"] for event in told] == [1, 2, 3]
    shown = io.StringIO()
    with ProgressDisplay(Console(file=shown, width=400)) as display:
        display(told[1])
    assert "ticket after epoch 2: " in shown.getvalue()
    assert f"50.0 % of {told[1]['weights']:,} weights masked" in shown.getvalue()
    points = {name: (value, step) for name, value, step, _ in progress_points(events, task_of_job(found))}
    assert points["ticket/sparsity"] == (told[-1]["sparsity"], 3)
    assert points["ticket/sparse_macs"] == (told[-1]["sparse_macs"], 3)
    assert "validation/ticket_accuracy" in points
    assert found / "report" / "ticket.png" in write_report(found)
    lines = "\n".join(summary_lines(found))
    assert f"dense:       {told[-1]['dense_macs']:,} MACs" in lines
    assert f"sparse:      {told[-1]['sparse_macs']:,} MACs" in lines
    page = "".join(ticket_sections(fronts_of({"found": found})))
    assert f"<td>{told[-1]['sparse_params']:,}</td>" in page
    assert "<td>stage1.row0.block1</td>" in page
    assert "MACs (dense)" in page


def test_exported_networks_have_exact_zeros(found):
    last = json.loads((found / TICKET).read_text())["history"][-1]
    keys, job = [m["key"] for m in json.loads((found / "front.json").read_text())["members"]], load_job(str(found), [])
    formats = ("safetensors", "onnx")
    (entry,) = export(ExportRequest(folder=found, job=job, members=keys, formats=formats), lambda event: None)
    tensors = load_file(next(entry.place.glob("*.safetensors")))
    zeros = sum(int((tensor == 0).sum()) for tensor in tensors.values() if tensor.dim() > 1)
    assert zeros == last["masked_weights"]
    onnx = pytest.importorskip("onnx")
    written = [onnx.numpy_helper.to_array(one) for one in onnx.load(entry.place / "model.onnx").graph.initializer]
    assert sum(int((one == 0).sum()) for one in written if one.ndim > 1) == zeros


def test_fine_tuning_keeps_the_zeros(found):
    plan = Plan(stages=("retrain",), options={"retrain": {"epochs": 0.5}})
    run(found, load_job(str(found), []), lambda event: None, plan)
    (key,) = [member["key"] for member in json.loads((found / "front.json").read_text())["members"]]
    tuned = load_file(found / "retrain" / key / "weights.safetensors")
    inherited = load_file(
        next(one for one in found.rglob("*.safetensors") if key in str(one) and "retrain" not in one.parts)
    )
    changed = 0
    for name, tensor in tuned.items():
        if tensor.dim() > 1:
            assert torch.equal(tensor == 0, inherited[name] == 0), name
            changed += int((tensor != inherited[name]).any())
    assert changed > 10


def test_a_start_with_other_features_is_refused_before_any_work(found, tmp_path):
    wider = SPACE.replace("[4, 6]", "[4, 7]")
    with pytest.raises(
        InvalidJob, match=r"train.tickets.start: .*supernet.safetensors holds a ticket with other features"
    ):
        load_job("quickstart", [*TINY, *START, wider, f"train.tickets={{start: {found}}}"])
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(InvalidJob, match=r"train.tickets.start: .*broken.safetensors is not a supernet written by"):
        load_job("quickstart", [*TINY, *START, f"train.tickets={{start: {tmp_path / 'broken.safetensors'}}}"])


def test_a_start_is_found_from_any_folder(found, tmp_path, monkeypatch):
    monkeypatch.chdir(found.parent)
    job = load_job("quickstart", [*TINY, *START, "train.tickets={start: found}"])
    assert job.train.tickets is not None
    assert job.train.tickets.start == str(found)
    monkeypatch.setenv("HOME", str(found.parent))
    monkeypatch.chdir(tmp_path)
    again = load_job("quickstart", [*TINY, *START, "train.tickets={start: ~/found}"])
    assert again.train.tickets == job.train.tickets


def test_another_job_starts_from_the_ticket(found, tmp_path):
    job = load_job("quickstart", [*TINY, *START, "data.image_size=16", f"train.tickets={{start: {found}}}"])
    place = prepare_folder(job, tmp_path / "next")
    run(place, job, lambda event: None, Plan())
    first, second = (json.loads((one / TICKET).read_text()) for one in (found, place))
    for name, value in first["architecture"].items():
        assert name.startswith("head.") or second["architecture"][name] == value, name
    masks = [load_file(one / SUPERNET) for one in (found, place)]
    names = [name for name in masks[0] if name.endswith(".mask") and not name.startswith("head.")]
    assert all(torch.equal(masks[0][name], masks[1][name]) for name in names)
    assert 0 < second["history"][-1]["sparsity"] < 0.5  # the new head has no masks
    moved = found.rename(found.with_name("moved"))
    try:  # what a training has started from is not needed once it is over
        assert load_job(place) == job
        assert load_job(place, ["search.evaluations=7"]).train == job.train
        (place / SUPERNET).rename(place / "aside"), (place / "front.json").unlink()
        with pytest.raises(InvalidJob, match=r"train.tickets.start: must be the folder of a finished job"):
            load_job(place)
    finally:
        moved.rename(found)


def test_a_head_of_another_task_is_named_in_one_line(tmp_path):
    job = load_job("quickstart", [*TINY, "space.options.head=dense"])
    with pytest.raises(InvalidJob, match="classification needs networks that give a number for each class, not 10 x"):
        run(prepare_folder(job, tmp_path / "dense"), job, lambda event: None, Plan())


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (("train.tickets.sparsity=1.5",), r"train.tickets.sparsity: must be from 0 to below 1, got 1.5"),
        (("train.epochs=1",), r"train.tickets.prune_step: must be at least 0.5, to reach sparsity 0.5 in 1 epochs"),
        (("search.searcher=random",), "search.searcher: must be derived with train.tickets, which leaves one architec"),
        (
            ("space={name: conv_macro}", "data.image_size=16"),
            "train.tickets: must be null: networks of conv_macro have",
        ),
        (
            ("train.tickets.start=nowhere",),
            "train.tickets.start: must be the folder of a finished job or the file of a",
        ),
        (("train.relaxation={}",), "train.relaxation: must be null .* with train.tickets, got a relaxation"),
        (("train.tickets.speed=3",), "train.tickets has no field 'speed'; allowed: sparsity, prune_interval,"),
    ],
)
def test_wrong_settings_are_named(sets, message):
    with pytest.raises(InvalidJob, match=message):
        load_job("quickstart", [*TINY, *sets])
