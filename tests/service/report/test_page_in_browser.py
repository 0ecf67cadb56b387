"""The pages in a browser: nothing is wider than the window."""

import pytest

from service.job.folder import read_json, write_json
from service.job.front_file import read_front_file
from service.job.looks_file import Shown, write_mistakes
from service.job.outcomes_file import write_breakdowns
from service.report.job_report import best_by_quality, write_report
from service.report.member_page import member_files
from supernets.tasks.outcomes import Breakdown, Matrix
from tests.service.job.test_looks_file import png
from tests.service.report.test_page import DATA
from tests.service.synthetic_job import complete_job
from tests.service.test_cli import nas
from tests.service.tracking.test_pages import NO_NETWORK, chromium, drawn

pytestmark = pytest.mark.integration

SIZE = "Emulation.setDeviceMetricsOverride"
TITLE_AND_MENU = """
const title = document.querySelector('h1').getBoundingClientRect();
const menu = document.querySelector('.updatemenu-header').getBoundingClientRect();
return [title.bottom, menu.top];
"""


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """The pages of a job with long names, many classes and everything that a page can show."""
    monkeypatch.chdir(tmp_path)
    job = complete_job(tmp_path / "job", name="a-very-long-name-" * 8)
    key = best_by_quality(read_json(job / "front.json"))["key"]
    names = [f"class number {i}" for i in range(30)]
    counts = [[max(0, 9 - abs(i - j)) for j in range(30)] for i in range(30)]
    groups = {"accuracy": {name: 3.0 * i for i, name in enumerate(names)}}
    found = Breakdown(groups=groups, grouped_by="class", matrix=Matrix(names, counts))
    write_breakdowns(job, key, {"test": found})
    write_mistakes(job, key, [Shown(f"{'folder/' * 20}{i}{'x' * 90}.jpg", "dog, not cat", png()) for i in range(12)])
    write_json(job / "data.json", {**DATA, "remarks": ["/a/path" * 60]})
    write_report(job)
    assert nas("report", "job").exit_code == 0
    front = read_front_file(job)
    files = dict(member_files(job, front, best_by_quality(front)))
    (job / "report" / "network.html").write_text(files["network.html"], encoding="utf-8")
    return job / "report"


def test_pages_are_as_wide_as_the_window_and_titles_are_not_hidden(pages, tmp_path):
    with chromium(tmp_path, NO_NETWORK) as browser:
        for width in (1200, 400):
            metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd(SIZE, metrics)
            for name in ("report.html", "front.html", "network.html"):
                browser.get((pages / name).as_uri())
                if name != "network.html":
                    drawn(browser, lambda plot: plot["marks"] > 0)
                wide = browser.execute_script("return document.documentElement.scrollWidth")
                assert wide <= width, (name, width, wide)
                if name == "front.html":
                    bottom, top = browser.execute_script(TITLE_AND_MENU)
                    assert bottom <= top
