"""Split computing in a job: checked, searched with limits on what is sent, and exported in two halves."""

import json
from pathlib import Path

import pytest

from nas.export import load_halves
from nas.offload import Link
from service.errors import InvalidJob
from service.export.export_members import ExportRequest, export
from service.job.job import Job
from service.job.loading import job_of
from service.run.run import run

FIELDS = {
    "name": "cut",
    "device": "cpu",
    "data": {"source": "digits"},
    "space": {
        "name": "split",
        "options": {
            "model_options": {
                **{"stem_width": 8, "first_width": 8, "stage_widths": [8, 16, 16], "strides": [2, 1, 2]},
                **{"depths": [1], "kernels": [3], "expands": [1], "last_width": 16, "feature_width": 16},
            },
            **{"encoder_width": 4, "widths": [0.5, 1.0], "bottlenecks": [1, 2, 4], "bits": [2, 8]},
        },
    },
    "train": {
        **{"schedule": "adapted", "sampler": "part_sandwich", "feature_weight": 1.0},
        **{"epochs": 1, "batch_size": 128, "subnets_per_step": 3},
    },
    "search": {
        **{"searcher": "random", "evaluations": 4, "calibration_examples": 100},
        "objectives": ["accuracy", "end_to_end_ms", "device_macs"],
        "constraints": {"sent_bytes": "<= 32"},
    },
    "latency": {"repeats": 5, "warmup_s": 0.02, "link": {"rate_mbit_s": 0.01, "round_trip_ms": 3}},
    "tracking": {"enabled": False},
}


def job(*sets: str) -> Job:
    return job_of(FIELDS, sets)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("jobs") / "cut"
    folder.mkdir()
    run(folder, job(), lambda event: None)
    return folder


def test_limits_on_what_is_sent_are_kept_and_the_link_is_part_of_the_time(folder):
    link = Link(rate_mbit_s=0.01, round_trip_ms=3)
    header, *records = [json.loads(line) for line in (folder / "search" / "journal.jsonl").read_text().splitlines()]
    evaluated = [record["values"] for record in records if record.get("status") == "ok"]
    assert len(evaluated) == 4
    for values in evaluated:
        assert values["sent_bytes"] <= 32
        assert values["end_to_end_ms"] > link.ms(values["sent_bytes"])
    assert {one["name"]: one["role"] for one in header["objectives"]}["end_to_end_ms"] == "cost"


def test_members_are_exported_in_two_halves(folder):
    front = json.loads((folder / "front.json").read_text())
    keys = [member["key"] for member in front["members"]][:2]
    request = ExportRequest(folder=folder, job=job(), members=keys, formats=["halves"])
    for entry, key in zip(export(request, lambda event: None), keys):
        assert (entry.made, entry.failed) == (["halves"], {})
        *_, message, manifest = load_halves(entry.place / "halves.json")
        assert manifest["card"]["key"] == key
        assert manifest["card"]["measured"]["end_to_end_ms"]["value"] > 0
        sent = manifest["card"]["costs"]["sent_bytes"]["value"]
        assert sent in (0, message.length)  # 0 where all of it runs on the device, and nothing need be sent


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["latency.link=null"], "latency.link: must be given for end_to_end_ms, such as"),
        (["latency.link.rate_mbit_s=0"], "latency.link.rate_mbit_s: must be more than 0"),
        (
            ["latency.server={backend: onxruntime}"],
            "latency.server.backend: unknown backend 'onxruntime'",
        ),
        (["latency.server={device: board}"], r"latency.server.device: must be here or ssh://user@host\[:port\]"),
        (["latency.server={decode: 3}"], "latency.server.decode: must be null for half of a network"),
        (
            ["search.constraints.sent_bytes=<= -1"],
            "search.constraints.sent_bytes: .* is impossible; ",
        ),
        (
            ["space={name: small_mobilenet_v3}"],
            "search: end_to_end_ms needs networks in two halves",
        ),
        (
            ["space.options.cuts=[stages.1.0.expand.conv, stages.1.9]"],
            "space.options.cuts: .* got 'stages.1.9'",
        ),
        (["space.options.widths=[0]"], "space.options.widths: must be from above 0 to 1"),
        (["train.feature_weight=-1"], "train.feature_weight: must be 0 or more"),
        (["train.subnets_per_step=2"], "train.subnets_per_step: must be at least 3"),
        (
            ["train.sampler_options={decision: cuts}"],
            "train.sampler_options.decision: must be one of split",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(sets, message):
    with pytest.raises(InvalidJob, match=message):
        job(*sets)
