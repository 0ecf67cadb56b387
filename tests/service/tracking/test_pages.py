"""What a person sees in the browser: the view that `nas ui` links to, the compare page, and the report.

The view and the names in the pages are not promised by MLflow; these tests say so when a new version changes them.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.job.folder import read_json, write_json
from tests.service.synthetic_job import complete_job

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
WAIT_S = 500.0  # on a busy machine
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"),
    *("--disable-background-networking", "--disable-sync", "--window-size=1600,1200"),
)
NO_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND"
DRAWN = """
return [...document.querySelectorAll('.js-plotly-plot')].map(plot => ({
  traces: plot.data.map(trace => ({
    type: trace.type, points: trace.x ? trace.x.length : 0, name: trace.name, texts: trace.text,
    colours: trace.marker && trace.marker.color, labels: (trace.dimensions || []).map(d => d.label)})),
  marks: plot.querySelectorAll('.scatterlayer .point').length,
  x: plot.layout.xaxis && plot.layout.xaxis.title && plot.layout.xaxis.title.text,
  y: plot.layout.yaxis && plot.layout.yaxis.title && plot.layout.yaxis.title.text}))
"""


@contextmanager
def chromium(tmp_path, *flags):
    """A headless browser with a profile of its own."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install '.[dev]'")
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no chromium and chromedriver here; Debian has them as chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, *flags, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    try:
        opened.set_page_load_timeout(WAIT_S)
        yield opened
    finally:
        opened.quit()


def wait_for(condition, what):
    """The first true value of `condition()`."""
    deadline = time.monotonic() + WAIT_S
    while not (value := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.5)
    return value


def text_of(browser):
    return browser.execute_script("return document.body ? document.body.innerText : ''")


def drawn(browser, needed):
    """The figures of the page once one of them satisfies `needed`."""
    return wait_for(lambda: next(filter(needed, browser.execute_script(DRAWN)), None), text_of(browser))


@pytest.fixture(scope="module")
def jobs(tmp_path_factory, empty_store):
    """A folder with two searches that differ, not logged yet, and an empty store."""
    place = tmp_path_factory.mktemp("pages")
    (place / "runs").mkdir()
    shutil.copy(empty_store, place / "runs" / "mlflow.db")
    complete_job(place / "runs" / "first", name="first")
    other = complete_job(place / "runs" / "second", name="second", job_id="1f" * 16)
    front = read_json(other / "front.json")
    for member in front["members"][1:]:
        member["values"]["accuracy"] -= 1
        member["values"]["latency_ms"] *= 0.93
    write_json(other / "front.json", front)
    return place


@pytest.fixture(scope="module")
def pages(jobs):
    """Addresses that `nas ui` prints, while it serves the two jobs that it found."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "service.cli", "ui", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = jobs / "ui.log"
    with log.open("wb") as file:
        ui = subprocess.Popen(command, cwd=jobs, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:

        def answers():
            assert ui.poll() is None, log.read_text()
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
            except OSError:
                return False

        wait_for(answers, "the server did not start")
        printed = log.read_text()
        assert "logged: runs/first" in printed
        assert "logged: runs/second" in printed
        yield re.search(r"charts: (\S+)", printed).group(1), f"http://127.0.0.1:{port}"
    finally:
        ui.send_signal(signal.SIGTERM)
        ui.wait(timeout=WAIT_S)


def members_of(jobs):
    fronts = {name: read_json(jobs / "runs" / name / "front.json")["members"] for name in ("first", "second")}
    return {f"{name} {member['key']}": member for name, members in fronts.items() for member in members}


def test_printed_link_shows_accuracy_against_latency_of_both_searches(jobs, pages, tmp_path):
    members = members_of(jobs)
    with chromium(tmp_path) as browser:
        browser.get(pages[0])
        figure = drawn(browser, lambda plot: plot["marks"] == len(members))
        assert (figure["x"], figure["y"]) == ("latency_ms", "accuracy")
        (trace,) = figure["traces"]
        assert set(trace["texts"]) == set(members)
        colours = {}
        for text, colour in zip(trace["texts"], trace["colours"]):
            colours.setdefault(text.split()[0], set()).add(colour)
        assert [len(of) for of in colours.values()] == [1, 1]
        assert colours["first"] != colours["second"]
        names = ("Parallel Coordinates", "stage1.depth", "stage1.width", f"{len(members)} matching runs")
        wait_for(lambda: all(name in text_of(browser) for name in names), text_of(browser))


def test_compare_page_shows_decisions_in_parallel_coordinates(jobs, pages, tmp_path):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{jobs / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("espalier").experiment_id
    runs = client.search_runs([experiment], "tags.`nas.pareto` = 'true'", max_results=100)
    members = members_of(jobs)
    assert len(runs) == len(members)
    chosen = urllib.parse.quote(json.dumps([run.info.run_id for run in runs]))
    with chromium(tmp_path) as browser:
        browser.get(
            f"{pages[1]}/#/compare-runs?runs={chosen}&experiments={urllib.parse.quote(json.dumps([experiment]))}"
        )
        figure = drawn(browser, lambda plot: plot["traces"] and plot["traces"][0]["type"] == "parcoords")
        labels = figure["traces"][0]["labels"]
        decisions = {name for member in members.values() for name in member["architecture"]}
        assert "search" in labels
        assert len(decisions & set(labels)) >= 2
        assert "accuracy" in labels
        shown = text_of(browser)
        assert f"Comparing {len(members)} Runs" in shown
        assert all(name in shown for name in members)


def test_report_opens_without_network_and_says_which_network_to_take(jobs, tmp_path):
    page = tmp_path / "report.html"
    command = [sys.executable, "-m", "service.cli", "report", "runs/first", "runs/second", "--output", str(page)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=jobs, env=environment, check=True, capture_output=True)
    assert not re.search(r"<(script|link|img)[^>]*\b(src|href)=", page.read_text(encoding="utf-8"))
    members = members_of(jobs)
    with chromium(tmp_path, NO_NETWORK) as browser:
        browser.get(page.as_uri())
        figure = drawn(browser, lambda plot: plot["marks"] >= len(members))
        assert (figure["x"], figure["y"]) == ("latency (ms)", "validation accuracy (%)")
        named = {t["name"]: t["points"] for t in figure["traces"] if t["name"]}
        assert named.pop("limit: latency ≤ 4 ms") == 2
        fronts = {name.split(":")[0]: points for name, points in named.items()}
        assert fronts == {name: sum(key.startswith(name) for key in members) for name in ("first", "second")}
        assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
        shown = text_of(browser)
        for heading in ("Which network to take", "What was searched", "How it was measured", "The searches compared"):
            assert heading in shown
        assert all(member["key"] in shown for member in members.values())
        assert "AMD EPYC, torch 2.10, fp32, batch 1, 1 thread" in shown
        choose = "Plotly.update(...[document.querySelector('.js-plotly-plot'), ...arguments[0]])"
        buttons = browser.execute_script(
            "return document.querySelector('.js-plotly-plot').layout.updatemenus[0].buttons.map(b => [b.label, b.args])"
        )
        macs = next(arguments for label, arguments in buttons if label.startswith("MACs"))
        browser.execute_script(choose, macs)
        assert drawn(browser, lambda plot: plot["x"] == "MACs (M)")["marks"] >= len(members)
