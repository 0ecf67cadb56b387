"""The report of a job: its files, its table, its lines."""

import csv
import json
import re
from io import StringIO

import pytest
from PIL import Image
from rich.console import Console

from service.job.folder import candidates, read_lines
from service.job.front_file import Quantity, objectives_of
from service.report.figures import picture_of
from service.report.job_report import front_table, summary_lines, write_report
from service.report.quantities import axis_of
from service.report.text import other_runtime_line, with_interval
from tests.service.synthetic_job import (
    CREATED,
    append_lines,
    candidate,
    complete_job,
    finish,
    learn,
    search,
    start_job,
    train,
)


@pytest.fixture
def job(tmp_path):
    return complete_job(tmp_path / "job")


def test_report_writes_all_files(job):
    written = [path.name for path in write_report(job)]
    assert written == ["candidates.csv", "front.html", "front.png", "hypervolume.png", "training.png"]
    assert sorted(path.name for path in (job / "report").iterdir()) == sorted(written)


def test_probabilities_that_were_learned_are_drawn(job):
    assert not (job / "report" / "probabilities.png").exists()
    written = write_report(learn(job))
    assert [path.name for path in written][-1] == "probabilities.png"
    with Image.open(written[-1]) as image:
        assert image.size[0] > 600
        colours = image.convert("RGB").getcolors(maxcolors=1 << 20)
    assert len(colours) > 50


def test_report_can_be_written_again(job):
    write_report(job)
    before = (job / "report" / "candidates.csv").read_bytes()
    write_report(job)
    assert (job / "report" / "candidates.csv").read_bytes() == before


@pytest.mark.parametrize("name", ["front.png", "hypervolume.png"])
def test_images_are_readable(job, name):
    write_report(job)
    with Image.open(job / "report" / name) as image:
        assert image.size == (1350, 840)
        assert len(image.convert("RGB").getcolors(maxcolors=1 << 20)) > 20


def test_page_needs_no_network(job):
    write_report(job)
    page = (job / "report" / "front.html").read_text()
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)\s*=", page)
    assert len(page) > 1_000_000


def test_page_offers_every_cost_and_names_every_member(job):
    write_report(job)
    page = (job / "report" / "front.html").read_text()
    assert all(label in page for label in ("latency (ms)", "MACs (M)", "parameters (k)", "validation accuracy (%)"))
    assert all(member["key"] in page for member in json.loads((job / "front.json").read_text())["members"])


def test_candidates_table_has_a_row_for_every_evaluation(job):
    write_report(job)
    rows = list(csv.DictReader((job / "report" / "candidates.csv").open()))
    assert [int(row["index"]) for row in rows] == list(range(30))
    assert json.loads(rows[3]["architecture"]) == candidate(3)["architecture"]
    assert float(rows[3]["latency_ms_low"]) < float(rows[3]["latency_ms"]) < float(rows[3]["latency_ms_high"])
    assert (rows[5]["status"], rows[5]["accuracy"], rows[5]["reason"]) == ("failed", "", "loss was not finite")
    assert sum(row["on_front"] == "True" for row in rows) >= len(picture_of(job).members)


def test_numbers_that_are_not_finite_are_left_out(job):
    broken = candidate(99) | {"values": {"accuracy": float("nan"), "latency_ms": float("inf"), "macs": 1, "params": 1}}
    append_lines(job / "search" / "journal.jsonl", broken)
    front = json.loads((job / "front.json").read_text())
    front["members"][0]["intervals"] = {"latency_ms": [None, float("inf")]}
    front["members"][1]["test_quality"] = float("nan")
    (job / "front.json").write_text(json.dumps(front))
    assert len(write_report(job)) == 5
    assert candidates(job)[-1]["accuracy"] is None
    assert not re.search(
        r"[\[:,](NaN|Infinity)[\],}]", (job / "report" / "front.html").read_text().rsplit("newPlot", 1)[1]
    )
    assert front_table(job).row_count == len(front["members"])
    assert not any("nan" in line or "inf " in line for line in summary_lines(job))


def test_unfinished_job_is_reported_as_far_as_it_came(tmp_path):
    job = train(start_job(tmp_path / "job"), range(1, 5))
    assert [path.name for path in write_report(job)] == ["candidates.csv", "training.png"]
    assert front_table(job).row_count == 0
    finish(job, "failed", "the loss diverged")
    assert summary_lines(job) == ["failed: the loss diverged"]


def test_table_lists_the_front_cheapest_first(job):
    members = json.loads((job / "front.json").read_text())["members"]
    console = Console(file=StringIO(), width=140)
    console.print(front_table(job))
    rows = [line.split() for line in console.file.getvalue().splitlines() if line.startswith("│")]
    assert [row[1] for row in rows] == [member["key"] for member in members]
    text = console.file.getvalue()
    assert all(word in text for word in ("MACs", "(M)", "parameters", "(k)"))
    assert max(len(line) for line in text.splitlines()) <= 80
    first = members[0]
    low, high = first["intervals"]["latency_ms"]
    assert f"{first['values']['latency_ms']:.3f} [{low:.3f}, {high:.3f}]" in " ".join(rows[0])


def test_summary_names_size_best_and_device(job):
    write_report(job)
    lines = summary_lines(job)
    assert re.fullmatch(r"\d+ networks? on the front of 30 evaluations \(.*1 failed\) in 2 min 42 s", lines[0])
    assert lines[1].startswith("most accurate: ")
    assert lines[3] == "latency of AMD EPYC, torch 2.10, fp32, batch 1, 1 thread"
    assert lines[4].startswith("latency is that of torch 2.10, not of the exported ONNX file")
    assert lines[5].endswith("report/front.html")


def test_an_empty_front_says_what_came_nearest_and_what_to_type(job):
    front = json.loads((job / "front.json").read_text())
    near, far = ({**front["members"][0], "key": key, "reason": f"latency_ms = {key}"} for key in ("near", "far"))
    near["intervals"], far["intervals"] = {"latency_ms": [0.7, 1.141]}, {"latency_ms": [2.0, 3.0]}
    limited = [
        {**one, "bound": [None, 0.8] if one["name"] == "latency_ms" else [None, None]} for one in objectives_of(job)
    ]
    empty = {**front, "objectives": limited, "members": [], "dropped": [far, near]}
    (job / "front.json").write_text(json.dumps(empty))
    (line,) = [line for line in summary_lines(job) if line.startswith("the front is empty")]
    assert line.startswith("the front is empty; nearest: near, latency_ms = near; ")
    assert line.endswith(f"nas search --from {job} --set 'search.constraints.latency_ms=<= 1.2'")


def test_latency_of_what_runs_the_exported_file_needs_no_word():
    assert other_runtime_line({"backend": "onnxruntime 1.20"}) is None
    assert other_runtime_line({}) is None


def test_cheapest_is_by_the_cost_that_was_searched_for(job):
    """The one with the fewest MACs, although another one is faster."""
    front = json.loads((job / "front.json").read_text())
    macs = {"name": "macs", "unit": "MACs", "maximise": False, "role": "cost", "source": "computed"}
    front["objectives"] = [front["objectives"][0], macs]
    for place, member in enumerate(front["members"]):
        member["values"]["macs"] = 1e6 * (20 - place)
    (job / "front.json").write_text(json.dumps(front))
    (cheapest,) = (line for line in summary_lines(job) if line.startswith("cheapest:"))
    assert front["members"][-1]["key"] in cheapest
    assert f"{20 - len(front['members']) + 1:.2f} M" in cheapest, cheapest
    console = Console(file=StringIO(), width=140)
    console.print(front_table(job))
    rows = [line.split()[1] for line in console.file.getvalue().splitlines() if line.startswith("│")]
    assert [word for word in rows if word != "│"] == [member["key"] for member in reversed(front["members"])]


def test_intervals_are_written_with_both_ends_unless_these_are_equally_far():
    assert with_interval(10.0, (9.5, 10.5), ".2f") == "10.00 ± 0.50"
    assert with_interval(10.0, (9.5, 10.9), ".2f") == "10.00 [9.50, 10.90]"
    assert with_interval(10.0, (9.996, 10.004), ".1f") == "10.0 ± 0.0"
    assert with_interval(10.0, None, ".2f") == with_interval(10.0, (10.0, 10.0), ".2f") == "10.00"
    assert with_interval(88.2, (84.0, 91.4), ".2f", ".1f") == "88.20 [84.0, 91.4]"


def test_front_is_drawn_without_latency(tmp_path):
    job = search(start_job(tmp_path / "job"))
    front = json.loads((job / "front.json").read_text())
    front["objectives"][1] = {"name": "macs", "unit": "", "maximise": False, "bound": [None, None]}
    (job / "front.json").write_text(json.dumps(front))
    assert [axis.name for axis in picture_of(job).costs] == ["macs", "latency_ms", "params"]
    assert len(write_report(job)) == 4


@pytest.mark.parametrize(
    ("name", "largest", "label", "scale"),
    [("macs", 3e9, "MACs (G)", 1e9), ("params", 5e6, "parameters (M)", 1e6), ("params", 12, "parameters", 1.0)],
)
def test_counts_are_scaled_by_the_largest(name, largest, label, scale):
    axis = axis_of(Quantity(name=name), [1, largest, None])
    assert (axis.label, axis.scale) == (label, scale)


def test_line_still_being_written_waits(tmp_path):
    path = tmp_path / "progress.jsonl"
    append_lines(path, {"time": CREATED})
    with path.open("a") as file:
        file.write('{"time": 1')
    records, offset = read_lines(path)
    assert records == [{"time": CREATED}]
    with path.open("a") as file:
        file.write("2}\n")
    assert read_lines(path, offset) == ([{"time": 12}], path.stat().st_size)
