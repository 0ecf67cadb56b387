"""`nas compare` and `nas report`: what they say of fronts, and what they refuse."""

import html
import re

import numpy as np
import pytest

from nas.intervals import interval_of_share
from service.errors import InvalidJob
from service.job.folder import read_json, write_json
from service.job.outcomes_file import write_outcomes
from service.job.tracking import TrackingConfig
from service.report.fronts import fronts_of, terms_of
from service.tracking.sync import sync
from supernets.tasks import Outcomes
from tests.service.synthetic_job import complete_job, start_job
from tests.service.test_cli import lines_of_failure, nas


def change(folder, file, edit):
    content = read_json(folder / file)
    edit(content)
    write_json(folder / file, content)
    return folder


MANY = {"validation": 200_000, "test": 200_000}


def worse(content):
    """The same networks, each slower and less accurate beyond the errors."""
    content["examples"] = MANY
    for member in content["members"]:
        member["values"]["accuracy"] -= 2
        member["test_quality"] -= 2
        member["values"]["latency_ms"] *= 2
        member["intervals"]["latency_ms"] = [2 * end for end in member["intervals"]["latency_ms"]]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def two(tmp_path):
    first = complete_job(tmp_path / "first", name="first")
    change(first, "front.json", lambda content: content.update(examples=MANY))
    return first, change(complete_job(tmp_path / "second", name="second", job_id="1" * 32), "front.json", worse)


def test_fronts_are_shown_with_hypervolume_coverage_and_what_budgets_buy(two):
    done = nas("compare", "first", "second", "--budgets", "1,9", "--reference", "accuracy=50,latency_ms=10")
    assert done.exit_code == 0, done.output
    shares = [float(share) for share in re.findall(r"│\s+([\d.]+) % │", done.stdout)]
    assert shares[0] > shares[1] > 0
    assert "from accuracy 50, latency_ms 10 (reference)" in done.stdout
    assert "100 % (100 %)" in done.stdout
    assert "0 % (0 %)" in done.stdout
    assert "first equals or beats everything on the other fronts." in done.stdout
    assert "accuracy by its intervals on the test images" in done.stdout
    best = max(read_json(two[0] / "front.json")["members"], key=lambda m: m["values"]["accuracy"])
    assert f"{best['values']['accuracy']:.2f} ± 0.1 ({best['test_quality']:.2f}) {best['key']}" in done.stdout
    assert "latency: AMD EPYC, torch 2.10, fp32, batch 1, 1 thread" in done.stdout


def test_accuracy_is_never_taken_as_exact(two):
    """Of few images, or of nobody knows how many, a higher accuracy at half the latency is not surely better."""
    for examples in ({"validation": 161, "test": 161}, {}):
        for folder in two:
            change(folder, "front.json", lambda content, of=examples: content.update(examples=of))
        done = nas("compare", "first", "second")
        assert "100 % (0 %)" in done.stdout
        assert "though not by more than the measuring error everywhere" in done.stdout


def test_quality_is_compared_on_the_same_images_where_they_are_kept(two):
    """Each network of one front is right wherever that of the other is, and on a few images more."""
    generator = np.random.default_rng(0)
    keys = [member["key"] for member in read_json(two[0] / "front.json")["members"]]
    for key in keys:
        right = np.where(generator.random(1000) < 0.9, 100.0, 0.0)
        write_outcomes(two[0], key, "test", Outcomes(right))
        write_outcomes(two[1], key, "test", Outcomes(np.where(np.arange(1000) < 40, 0.0, right)))
    for folder in two:
        change(folder, "front.json", lambda content: content.update(examples={"test": 1000}))
    assert "100 % (100 %)" not in nas("compare", "first", "second").stdout
    for folder in two:
        change(folder, "front.json", lambda content: content.update(data_fingerprint="0123456789abcdef"))
    done = nas("compare", "first", "second").stdout
    assert "accuracy example by example on the same 1,000 test images" in done
    assert "100 % (100 %)" in done
    change(two[1], "front.json", lambda content: content.update(data_fingerprint="f" * 16))
    assert "accuracy by its intervals on the test images" in nas("compare", "first", "second").stdout


def test_a_network_is_named_for_a_budget_that_the_upper_end_of_its_interval_keeps(two):
    members = read_json(two[0] / "front.json")["members"]
    middle = members[len(members) // 2]
    value, high = middle["values"]["latency_ms"], middle["intervals"]["latency_ms"][1]
    for budget, named in ((value, False), (high + 1e-6, True)):
        assert nas("report", "first", "--budgets", f"{budget!r}").exit_code == 0
        text = (two[0] / "report" / "report.html").read_text()
        choice = text.split("Which network to take")[1].split("The figure")[0]
        assert (middle["key"] in choice) == named


def test_equal_names_are_told_apart_by_their_folders(tmp_path):
    for name in ("a", "b"):
        complete_job(tmp_path / name)
    done = nas("compare", "a", "b")
    assert "digits-demo (a)" in done.stdout
    assert "digits-demo (b)" in done.stdout
    assert "The fronts are equal" in done.stdout


def test_jobs_in_mlflow_are_compared_by_name_id_and_member(two, tmp_path, uri):
    synced = {folder.name: sync(folder, TrackingConfig(uri=uri), final=True) for folder in two}
    local = nas("compare", "first", "second").stdout
    one, other = (folder.rename(tmp_path / f"moved-{folder.name}") for folder in two)
    member = next(iter(synced["second"].members.values()))
    for runs in (["first", "second"], [synced["first"].run_id, member], [str(one), "second"]):
        done = nas("compare", *runs, "--uri", uri)
        assert done.exit_code == 0, done.output
        assert done.stdout == local
    assert other.is_dir()


def test_report_of_one_job_goes_into_its_folder_and_tells_the_whole_story(two):
    change(
        two[0], "front.json", lambda front: front.update(examples={"test": 360}, space={"architectures": 2 * 10**19})
    )
    done = nas("report", "first")
    assert done.stdout == "report: first/report/report.html\n"
    text = html.unescape((two[0] / "report" / "report.html").read_text())
    prose = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    for said in (
        "Which network to take", "about 2e+19 architectures", "30 candidates were tried", "of which 3 broke a limit",
        "With 360 test images (first) it is sure to ±", "AMD EPYC, torch 2.10, fp32", "All networks of the front",
    ):  # fmt: skip
        assert said in prose, said
    for member in read_json(two[0] / "front.json")["members"]:
        assert member["key"] in prose
    assert "The searches compared" not in prose
    assert len(text) > 1_000_000  # what draws the figure is inside


def test_predicted_latency_stands_beside_the_measured_one(two):
    change(two[0], "front.json", lambda front: front["members"][0]["values"].update(predicted_latency_ms=0.4321))
    assert nas("report", "first").exit_code == 0
    text = (two[0] / "report" / "report.html").read_text()
    assert "<th>latency (ms)</th><th>predicted latency (ms)</th><th>MACs (M)</th>" in text
    assert "<td>0.4321</td>" in text


def test_names_in_the_page_are_text_and_not_markup(tmp_path):
    job = complete_job(tmp_path / "job")
    change(job, "job.json", lambda content: content["job"].update(name="<script>alert(1)</script>"))
    assert nas("report", "job").exit_code == 0
    assert "<script>alert" not in (job / "report" / "report.html").read_text()


def test_objectives_that_differ_are_compared_by_what_both_have(two):
    by_macs = [{"name": "accuracy", "unit": "%", "maximise": True}, {"name": "macs", "unit": "", "maximise": False}]
    change(two[1], "front.json", lambda front: front.update(objectives=by_macs))
    line = lines_of_failure(nas("compare", "first", "second"))
    assert line == [
        "nas: different objectives: first was searched for accuracy, latency_ms, second for accuracy, macs; "
        "what both have: --objectives macs,params,accuracy"
    ]
    done = nas("compare", "first", "second", "--objectives", "accuracy,macs")
    assert done.exit_code == 0, done.output
    assert "MACs (M) at most" in done.stdout


def test_what_was_limited_or_noted_alone_is_not_compared_by(two):
    noted = {"name": "params", "unit": "weights", "maximise": False, "optimised": False}
    change(two[0], "front.json", lambda front: front["objectives"].append(noted))
    done = nas("compare", "first", "second")
    assert done.exit_code == 0, done.output
    assert "params" not in next(line for line in done.stdout.splitlines() if line.startswith("hypervolume"))


def test_latency_of_another_machine_is_refused_or_marked(two):
    change(two[1], "front.json", lambda front: front["latency"].update(device="Raspberry Pi", threads=4))
    (line,) = lines_of_failure(nas("compare", "first", "second"))
    assert "device AMD EPYC and Raspberry Pi, threads 1 and 4" in line
    assert "--objectives accuracy,macs" in line
    assert "--anyway" in line
    done = nas("compare", "first", "second", "--anyway")
    assert "take care: latency was measured under different conditions" in done.stdout
    assert "second: Raspberry Pi" in done.stdout
    assert nas("compare", "first", "second", "--objectives", "accuracy,macs").exit_code == 0


def test_accuracy_of_other_images_is_refused_or_marked(two):
    change(two[1], "job.json", lambda job: job["job"]["data"].update(source="folder", path="/else/where"))
    (line,) = lines_of_failure(nas("report", "first", "second"))
    assert "data first and second differ: source digits and folder, path none and where" in line
    assert nas("report", "first", "second", "--anyway", "--output", "page.html").exit_code == 0
    assert "Take care when comparing: data first and second differ" in (two[0].parent / "page.html").read_text()


def test_limits_that_differ_are_said_and_no_reason_to_refuse(two):
    change(two[1], "job.json", lambda job: job["job"]["search"].update(constraints={"macs": "<= 5e6"}))
    done = nas("compare", "first", "second")
    assert done.exit_code == 0
    assert "take care: limits: first and second differ: macs none and <= 5e6" in done.stdout


def test_members_without_finite_values_do_not_spoil_the_others(two):
    def spoil(front):
        front["members"][0]["values"]["latency_ms"] = float("nan")
        front["members"][1]["intervals"] = {}

    change(two[0], "front.json", spoil)
    done = nas("compare", "first", "second")
    assert done.exit_code == 0, done.output
    assert "nan" not in done.stdout


MISTAKES = [
    (["compare", "first"], "compare: needs two runs or more, got first alone"),
    (["compare", "first", "first"], "compare: needs two runs or more"),
    (["compare", "first", "begun"], "begun: this job has no front yet; finish it with: nas run begun"),
    (["compare", "first", "empty"], "empty: holds no job.json, so it is not a job folder"),
    (["compare", "first", "bare"], "bare: the front of this job is empty"),
    (["report", "damaged"], "damaged/front.json: damaged"),
    (["report", "file.txt"], "file.txt: is a file"),
    (["report", "nowhere"], "nowhere: is not a job folder, and there is no MLflow store at"),
    (["report", "first", "--output", "empty"], "--output: empty is a folder"),
    (["compare", "first", "second", "--objectives", "accuracy,latency"], "did you mean latency_ms"),
    (
        ["compare", "first", "second", "--budgets", "1,fast"],
        "numbers above 0 such as 1,2.5, got 'fast'",
    ),
    (["compare", "first", "second", "--reference", "accuracy=50"], "must name every objective, latency_ms is missing"),
    (["compare", "first", "second", "--reference", "accuracy=x,latency_ms=1"], "must be NAME=NUMBER, got 'accuracy=x'"),
    (["compare", "first", "second", "--reference", "top1=1"], "unknown objective 'top1'"),
    (["compare", "first", "second", "--reference", "accuracy=99.9,latency_ms=9"], "must be worse than the best value"),
    (["report", "nowhere", "--uri", "http://127.0.0.1:9"], "no MLflow server answers at http://127.0.0.1:9"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(mistake[0]) for mistake in MISTAKES])
def test_every_mistake_is_one_line(two, place, arguments, message):
    start_job(place / "begun")
    (place / "empty").mkdir()
    change(complete_job(place / "bare"), "front.json", lambda front: front.update(members=[]))
    (complete_job(place / "damaged") / "front.json").write_text("{")
    (place / "file.txt").write_text("")
    lines = lines_of_failure(nas(*arguments))
    assert len(lines) == 1, lines
    assert message in lines[0]


def test_names_in_mlflow_that_are_unknown_or_shared_are_refused(two, tmp_path, uri):
    for folder in two:
        sync(folder, TrackingConfig(uri=uri), final=True)
    (line,) = lines_of_failure(nas("report", "frist", "--uri", uri))
    assert "did you mean first?" in line
    twin = complete_job(tmp_path / "twin", name="first", job_id="2" * 32)
    sync(twin, TrackingConfig(uri=uri), final=True)
    two[0].rename(tmp_path / "moved")
    (line,) = lines_of_failure(nas("report", "first", "--uri", uri))
    assert "2 runs in" in line


def test_job_in_mlflow_without_a_front_is_refused(tmp_path, uri):
    sync(start_job(tmp_path / "begun", name="begun"), TrackingConfig(uri=uri), final=True)
    (tmp_path / "begun").rename(tmp_path / "moved")
    (line,) = lines_of_failure(nas("report", "begun", "--uri", uri))
    assert "begun: this job has no front in" in line


def test_three_fronts_with_one_ahead(two, tmp_path):
    complete_job(tmp_path / "third", name="third", job_id="2" * 32)
    fronts = fronts_of({name: tmp_path / name for name in ("first", "second", "third")})
    assert terms_of(fronts).directions == (("accuracy", True), ("latency_ms", False))
    with pytest.raises(InvalidJob, match="no front yet"):
        fronts_of({"first": tmp_path / "first", "begun": start_job(tmp_path / "begun")})


def test_interval_of_a_share_is_wilsons():
    low, high = interval_of_share(95.0, 400)
    assert (low, high) == (pytest.approx(92.41, abs=0.02), pytest.approx(96.74, abs=0.02))
