"""The files about one network: a page and a picture, as they are logged beside its run in MLflow."""

import json

from service.job.folder import read_json
from service.job.front_file import read_front_file
from service.job.looks_file import Shown, write_mistakes
from service.job.outcomes_file import write_breakdowns
from service.report.job_report import write_report
from service.report.member_page import member_files
from tests.service.job.test_looks_file import png
from tests.service.report.test_page import BREAKDOWN
from tests.service.report.test_regression_job import assert_at_home, regression_job, words_of
from tests.service.synthetic_job import complete_job


def words_in(page):
    """What a browser shows of a page without a figure that is drawn by a program."""
    return words_of(f"{page}Plotly.newPlot(</script>")


def files_of(job):
    front = read_front_file(job)
    return dict(member_files(job, front, front["members"][0])), front["members"][0]


def test_page_has_numbers_picture_test_and_training(tmp_path):
    job = complete_job(tmp_path / "job")
    key = read_json(job / "front.json")["members"][0]["key"]
    write_report(job)
    write_breakdowns(job, key, {"test": BREAKDOWN})
    write_mistakes(job, key, [Shown("a.jpg", "dog, taken for cat (98 %)", png())])
    files, _ = files_of(job)
    assert set(files) == {"network.html", "network.svg"}
    shown = words_in(files["network.html"])
    for said in (key, "validation accuracy (%)", "latency (ms)", "Accuracy by class", "taken for cat", "stage1.block1"):
        assert said in shown, said
    assert files["network.html"].count("data:image/png;base64,") == 2
    assert "<script" not in files["network.html"]
    assert len(files["network.html"]) < 400_000
    assert files["network.svg"].startswith("<svg xmlns='http://www.w3.org/2000/svg'")


def test_page_of_a_regression_has_its_own_words(tmp_path):
    job = regression_job(tmp_path / "job", name="progress")
    write_report(job)
    files, _ = files_of(job)
    assert_at_home(words_in(files["network.html"]))
    assert_at_home(words_in(files["network.svg"]))
    assert "validation R2" in words_in(files["network.html"])


def test_damaged_description_of_a_network_is_told_on_its_page(tmp_path):
    job = complete_job(tmp_path / "job")
    _, member = files_of(job)
    (job / "front" / f"{member['key']}.network.json").write_text(json.dumps({"pieces": 3}))
    files, _ = files_of(job)
    assert set(files) == {"network.html"}
    assert "network.json: damaged" in words_in(files["network.html"])
