"""The page about jobs: limits in its figure, the best network in detail, data, training, what to type next."""

import json
import re

import pytest

from search_spaces.anatomy import Anatomy, Piece
from service.job.folder import read_json, write_json
from service.job.looks_file import Shown, write_anatomy, write_mistakes
from service.job.outcomes_file import write_breakdowns
from service.report.curves import curves_of
from service.report.figures import front_html, picture_of
from service.report.job_report import best_by_quality, write_report
from service.report.limit_lines import Limit, limits_of, line_of
from service.report.quantities import Axis
from supernets.tasks.outcomes import Breakdown, Matrix, Table
from tests.service.job.test_looks_file import png
from tests.service.report.test_regression_job import regression_job, words_of
from tests.service.synthetic_job import append_lines, complete_job, train_record
from tests.service.test_cli import nas

LATENCY, QUALITY = Axis(name="latency_ms", label="latency (ms)", unit="ms", noun="latency"), Axis(name="q", label="q")
DATA = {
    "name": "pets <1>",
    "examples": "images",
    "sizes": {"train": 1200, "validation": 30, "test": 70},
    "by_class": {
        "train": {"cat": 800, "dog": 400},
        "validation": {"cat": 20, "dog": 10},
        "test": {"cat": 40, "dog": 30},
    },
    "about": {"treatment": "cut out"},
    "remarks": ["2 of 1300 images are turned upright"],
    "warnings": ["5 of 70 test images are in train as well"],
    "lines": ["duplicates: 5 of test are in train too", "data: not repeated"],
}
BREAKDOWN = Breakdown(
    numbers={"balanced_accuracy": (81.25, "%")},
    groups={"accuracy": {"cat": 95.0, "dog": 67.5}},
    grouped_by="class",
    tables={"most frequent mistakes": Table(["class", "taken for", "examples"], [["dog", "cat", 9]])},
    matrix=Matrix(["cat", "dog"], [[38, 2], [9, 21]]),
)


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return complete_job(tmp_path / "my job")


def page_of(*jobs):
    done = nas("report", *jobs, "--output", "page.html")
    assert done.exit_code == 0, done.output
    with open("page.html", encoding="utf-8") as file:
        return file.read()


def best(job):
    return best_by_quality(read_json(job / "front.json"))["key"]


def test_the_limit_is_a_line_of_the_figure_where_its_cost_is_drawn(job):
    page = page_of("my job")
    figure = page.rpartition("Plotly.newPlot(")[0] + page
    assert "limit: latency \\u2264 4 ms" in figure
    assert "the limits of the search (latency ≤ 4 ms)" in words_of(page)
    write_report(job)
    picture = picture_of(job)
    (limit,) = picture.limits
    lines = {cost.name: line_of(limit, cost, picture.quality, picture.points(cost)) for cost in picture.costs}
    assert lines["latency_ms"]["x"] == [4.0, 4.0]
    assert lines["latency_ms"]["y"][0] < lines["latency_ms"]["y"][1]
    assert lines["macs"] == lines["params"] == {"x": [], "y": []}


@pytest.mark.parametrize(
    ("limit", "line"),
    [
        (Limit(axis=LATENCY, sign="≤", value=3.0), {"x": [3.0, 3.0], "y": [80, 90]}),
        (Limit(axis=QUALITY, sign="≥", value=85.0), {"x": [1, 2], "y": [85.0, 85.0]}),
        (Limit(axis=LATENCY, sign="≤", value=300.0), {"x": [], "y": []}),
        (Limit(axis=Axis(name="macs", label="MACs"), sign="≤", value=1.0), {"x": [], "y": []}),
    ],
    ids=["cost", "quality", "too far away", "another cost"],
)
def test_limits_lie_on_the_axis_of_their_quantity(limit, line):
    assert line_of(limit, LATENCY, QUALITY, [(1, 80), (2, 90)]) == line


def test_limits_are_scaled_as_their_axis_and_stand_once():
    macs = Axis(name="macs", label="MACs (M)", scale=1e6, unit="M", noun="MACs")
    objectives = [{"name": "macs", "bound": [None, 2e6]}, {"name": "other", "bound": [1, None]}]
    assert [limit.text for limit in limits_of(objectives * 2, [macs, LATENCY])] == ["MACs ≤ 2 M"]


def test_title_of_the_front_is_text_and_not_below_the_buttons_of_the_figure(job):
    page = front_html(picture_of(job))
    assert "<h1>digits-demo: Pareto front</h1>" in page
    assert '"title":{"text":"digits-demo' not in page


def test_best_network_is_shown_by_group_and_with_what_was_taken_for_what(job):
    assert "What was taken for what" not in words_of(page_of("my job"))
    write_breakdowns(job, best(job), {"test": BREAKDOWN})
    page = page_of("my job")
    shown = " ".join(words_of(page).split())
    for said in ("balanced accuracy 81.25 %", "Accuracy by class", "67.5 %", "What was taken for what", "dog cat 9"):
        assert said in shown, said
    assert re.search(r"<th scope='row'>dog</th><td[^>]*>9</td><td[^>]*>21</td>", page)


def test_data_are_counted_and_warned_of(job):
    write_json(job / "data.json", DATA)
    page = page_of("my job")
    shown = " ".join(words_of(page).split())
    for said in ("pets <1>", "1,300 images", "cat 800 20 40", "all 1,200 30 70", "in train too", "turned upright"):
        assert said in shown, said
    assert "<p class='mark'>5 of 70 test images" in page
    assert "not repeated" not in page


@pytest.mark.parametrize("content", ["{", "[]", '{"sizes": 3}', ""])
def test_damaged_description_of_the_data_is_told_and_the_rest_is_shown(job, content):
    (job / "data.json").write_text(content)
    shown = words_of(page_of("my job"))
    assert "The description of the data cannot be shown" in shown
    assert "All networks of the front" in shown


def test_data_that_several_jobs_share_are_described_once(job, tmp_path):
    other = complete_job(tmp_path / "other", name="other", job_id="1" * 32)
    for folder in (job, other):
        write_json(folder / "data.json", DATA)
    assert page_of("my job", "other").count("1,300 images") == 1


def test_commands_name_the_folder_and_the_network_and_those_of_several_jobs_are_left_out(job, tmp_path):
    page = page_of("my job")
    key = best(job)
    shown = words_of(page)
    for command in (f"nas export 'my job' --member {key}", f"nas retrain 'my job' --member {key}", "nas ui"):
        assert command in shown
    program = re.search(r"<pre>(import numpy.*?)</pre>", page, re.DOTALL).group(1)
    compile(program.replace("&#x27;", "'").replace("&quot;", '"'), "program", "exec")
    complete_job(tmp_path / "other", name="other", job_id="1" * 32)
    assert "What to type next" not in page_of("my job", "other")


def test_steps_that_a_resumed_training_repeats_count_once(job):
    append_lines(job / "progress.jsonl", train_record(30, 7.5), train_record(61, 0.25))
    curves = curves_of([json.loads(line) for line in (job / "progress.jsonl").read_text().splitlines()])
    assert list(curves) == ["loss", "validation", "learning rate"]
    loss = dict(curves["loss"]["loss"])
    assert len(loss) == 61
    assert (loss[30], loss[61]) == (7.5, 0.25)
    assert set(curves["validation"]) == {"largest", "random", "smallest"}
    assert "How training went" in words_of(page_of("my job"))


def test_job_without_a_training_has_no_curves(job):
    (job / "progress.jsonl").unlink()
    assert "How training went" not in words_of(page_of("my job"))


def test_page_of_a_regression_has_the_same_sections_in_its_own_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    regression_job(tmp_path / "job", name="progress")
    shown = words_of(page_of("job"))
    for heading in ("What to type next", "How training went", "validation R2"):
        assert heading in shown


def test_every_network_of_the_front_has_a_picture(job):
    page = page_of("my job")
    front = read_json(job / "front.json")
    assert page.count("role='img'") == 1 + len(front["members"])
    assert "stage1.block1: kernel 3" in words_of(page)
    write_anatomy(job, best(job), Anatomy(pieces=(Piece(block="stem 3-16"), Piece(place="block7", skipped=True))))
    shown = words_of(page_of("my job"))
    assert "stem 3-16" in shown
    assert "block7: skipped" in shown


def test_worst_mistakes_are_shown_with_small_pictures(job):
    write_mistakes(job, best(job), [Shown("photos/dog/<7>.jpg", "dog, taken for cat (98 %)", png()), Shown("x", "y")])
    page = page_of("my job")
    shown = words_of(page)
    assert "The worst mistakes on the test images" in shown
    assert "dog, taken for cat (98 %)" in shown
    assert page.count("src='data:image/png;base64,") == 1
    assert "<7>" not in page


def test_damaged_pictures_are_told_and_the_rest_is_shown(job):
    key = best(job)
    for ending in ("network", "mistakes", "breakdown"):
        (job / "front" / f"{key}.{ending}.json").write_text("{")
    shown = words_of(page_of("my job"))
    assert all(f"{key}.{ending}.json" in shown for ending in ("network", "mistakes", "breakdown"))
    assert "All networks of the front" in shown
