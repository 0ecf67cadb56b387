"""Where jobs are logged: what a job, the environment and the command line say, and passwords that stay out of it."""

import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.errors import InvalidJob
from service.job.folder import read_json, write_json
from service.job.job import Job, SpaceConfig
from service.job.loading import load_job
from service.job.preparation import prepare_folder
from service.job.store_address import address_of, database_of, login_of, openable, plain, without_secrets
from service.job.tracking import TrackingConfig
from service.tracking.connection import connect
from service.tracking.pages import serve
from service.tracking.place import browser_lines, default_uri, place_of_job
from service.tracking.store import Serving, server_command
from service.tracking.sync import sync
from tests.service.synthetic_job import complete_job
from tests.service.tracking.test_sync import runs_of

SECRET = "s3cr#t/of@ours"
QUOTED = "s3cr%23t%2Fof%40ours"
TOKEN = "t0k3n-of-ours"


@pytest.fixture
def strict_server():
    """A server that asks everybody for a login; the address, and the headers that it was sent."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            body = b"OK" if self.path == "/health" else b"You are not authenticated."
            self.send_response(200 if self.path == "/health" else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    server.server_close()


def job(**tracking):
    return Job(name="my", space=SpaceConfig(name="small_mobilenet_v3"), tracking=TrackingConfig(**tracking))


@pytest.mark.parametrize(
    ("uri", "shown", "login"),
    [
        ("http://lab:5000/mlflow", "http://lab:5000/mlflow", ("", "")),
        ("http://ann:pw1@lab:5000", "http://lab:5000", ("ann", "pw1")),
        (f"https://ann:{QUOTED}@lab", "https://lab", ("ann", SECRET)),
        ("http://ann:s3cr#t/of@ours@lab:5000/x", "http://lab:5000/x", ("ann", "s3cr#t/of@ours")),
        ("http://token@lab", "http://lab", ("token", "")),
        ("https://lab/x?token=abc&team=a", "https://lab/x?team=a", ("", "")),
        (
            "postgresql://ann:pw1@lab/db?sslmode=require&password=x",
            "postgresql://ann@lab/db?sslmode=require",
            ("ann", "pw1"),
        ),
        ("sqlite:////tmp/a@b/c.db", "sqlite:////tmp/a@b/c.db", ("", "")),
        ("http://[::1]:5000/a@b", "http://[::1]:5000/a@b", ("", "")),
        ("databricks", "databricks", ("", "")),
    ],
)
def test_addresses_are_shown_without_their_secrets(uri, shown, login):
    assert plain(uri) == shown
    assert plain(shown) == shown
    if not uri.startswith("sqlite"):
        assert login_of(uri) == login


def test_secrets_are_taken_out_of_any_text(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{QUOTED}@lab")
    text = f"cannot reach 'postgresql://ann:pw1@lab/db' with {TOKEN}, {SECRET} and https://lab?api_key=abc"
    assert without_secrets(text) == "cannot reach 'postgresql://***@lab/db' with ***, *** and https://lab?api_key=***"
    assert (
        without_secrets("sqlite:////tmp/a@b, ann@lab and http://lab/a")
        == "sqlite:////tmp/a@b, ann@lab and http://lab/a"
    )


def test_a_job_with_a_password_is_refused_without_repeating_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    uri = f"http://ann:{QUOTED}@lab:5000"
    for wrong in (f"tracking.uri={uri}", f"tracking={uri}", f"tracking.uri=[{uri}]", f"trackin.uri={uri}", f"{uri}"):
        done = CliRunner().invoke(app, ["run", "quickstart", "--set", wrong, "--output", "out"])
        assert done.exit_code == 2, wrong
        assert QUOTED not in done.output + done.stderr
        assert SECRET not in done.output + done.stderr
    with pytest.raises(InvalidJob, match="MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"):
        load_job("quickstart", [f"tracking.uri={uri}"])
    assert not (tmp_path / "out").exists()


def test_what_a_job_says_holds_over_the_environment_and_that_over_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = prepare_folder(job(), "before")
    assert str(place_of_job(before)) == f"sqlite:///{tmp_path}/runs/mlflow.db, experiment espalier"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://lab:5000")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "vision")
    said = "http://lab:5000, experiment vision (from MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME)"
    silent, loud = prepare_folder(job(), "silent"), prepare_folder(job(uri="http://b", experiment="mine"), "loud")
    assert str(place_of_job(silent)) == str(place_of_job(before)) == said
    assert str(place_of_job(loud)) == "http://b, experiment mine"
    assert place_of_job(loud, uri="http://c").uri == "http://c"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    assert str(place_of_job(silent)) == said
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    assert str(place_of_job(silent)) == said
    assert prepare_folder(job(), "silent") == silent


def test_a_job_of_an_earlier_version_goes_on(tmp_path):
    folder = prepare_folder(job(), tmp_path / "job")
    saved = read_json(folder / "job.json")
    saved["job"]["tracking"] = {"enabled": True, "uri": None, "experiment": "espalier"}
    write_json(folder / "job.json", saved)
    assert prepare_folder(job(), folder) == folder
    saved["job"]["tracking"]["uri"] = "http://ann:s3cret@lab"
    write_json(folder / "job.json", saved)
    assert load_job(folder).tracking.uri == "http://lab"
    assert place_of_job(folder).uri == "http://lab"
    assert "s3cret" not in (folder / "job.json").read_text()


def test_a_relative_store_in_the_environment_is_kept_as_it_was_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    folder = prepare_folder(job(), tmp_path / "job")
    assert default_uri() == f"sqlite:///{tmp_path}/mine.db"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir("/")
    assert place_of_job(folder).uri == f"sqlite:///{tmp_path}/mine.db"


def test_a_password_of_the_environment_is_used_and_left_nowhere(tmp_path, strict_server, monkeypatch):
    host, seen = strict_server
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{QUOTED}@{host}")
    folder = complete_job(tmp_path / "runs" / "job")
    assert place_of_job(folder).uri == f"http://{host}"
    told = [CliRunner().invoke(app, arguments) for arguments in (["sync", "runs/job"], ["ui"], ["compare", "a", "b"])]
    told.append(CliRunner().invoke(app, ["ui", "--uri", f"http://eve:{QUOTED}@{host}"]))
    assert [done.exit_code for done in told] == [1, 2, 2, 2]
    assert all("asks for a login: set MLFLOW_TRACKING_USERNAME" in done.stderr for done in told)
    users = {base64.b64decode(sent.split()[1]).decode() for path, sent in seen if path != "/health"}
    assert users == {f"ann:{SECRET}", f"eve:{SECRET}"}
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    printed = "".join(done.output + done.stderr + str(done.exception) for done in told)
    for secret in (SECRET, QUOTED):
        assert secret not in printed
        assert not any(secret.encode() in content for content in written)
    assert "MLFLOW_TRACKING_USERNAME" in read_json(folder / "tracking.json")["error"]


def test_a_login_is_sent_to_its_own_server_alone(tmp_path, strict_server, monkeypatch):
    host, seen = strict_server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{QUOTED}@127.0.0.1:9")
    folder = complete_job(tmp_path / "job", uri=f"http://{host}")
    with pytest.raises(OSError, match="no MLflow server answers"):
        connect("http://127.0.0.1:9")
    assert "login" in sync(folder, final=True).error
    assert {sent for _, sent in seen} == {None}


def test_a_database_password_is_not_on_the_command_line_of_the_server(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ann:s3cret@lab/db")
    command = " ".join(server_command(default_uri(), Serving()))
    assert "s3cret" not in command
    assert "--backend-store-uri" not in command


def test_the_link_of_a_job_is_that_of_its_server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = complete_job(tmp_path / "job", uri="http://lab:5000/")
    left = {"uri": "http://lab:5000/", "run_id": "abc", "experiment_id": "7", "error": None}
    write_json(folder / "tracking.json", left)
    run, fronts = browser_lines(folder)
    assert run == "in the browser: http://lab:5000/#/experiments/7/runs/abc"
    assert fronts.startswith("all fronts: http://lab:5000/#/experiments/7/runs?")
    write_json(folder / "tracking.json", {**left, "error": "away"})
    assert browser_lines(folder) == [f"not in MLflow yet (away); log it with: nas sync {folder}"]
    local = complete_job(tmp_path / "local")
    write_json(local / "tracking.json", {"run_id": "abc", "experiment_id": "7"})
    assert browser_lines(local) == ["in the browser: nas ui"]
    other = complete_job(tmp_path / "other", uri="sqlite:///other.db")
    write_json(other / "tracking.json", {"run_id": "abc", "experiment_id": "7"})
    assert browser_lines(other) == ["in the browser: nas ui --uri sqlite:///other.db"]


def test_a_store_without_the_experiment_says_so_and_is_served(uri, monkeypatch):
    told, served = [], []
    monkeypatch.setattr("service.tracking.pages.run_server", lambda *given: served.append(given) or 0)
    assert serve(uri, Serving(port=5997), experiment="other", echo=told.append) == 0
    assert told[0].splitlines()[0] == f"{uri} has no experiment 'other' yet; it has first, Default"
    assert len(served) == 1


@pytest.mark.parametrize("name", ["per%20cent", "que?stion", "a#b c", "50%"])
def test_folders_with_odd_names_hold_their_store(tmp_path, empty_store, monkeypatch, name):
    place = tmp_path / name
    (place / "runs").mkdir(parents=True)
    (place / "runs" / "mlflow.db").write_bytes(empty_store.read_bytes())
    monkeypatch.chdir(place)
    uri = default_uri()
    assert database_of(uri) == place / "runs" / "mlflow.db"
    folder = complete_job(place / "runs" / "job")
    result = sync(folder, final=True)
    assert (result.error, result.uri) == (None, uri)
    summary, members = runs_of(openable(uri))
    assert members
    assert (place / "runs" / "mlartifacts" / summary.info.run_id / "artifacts" / "job.json").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {name}
    assert {path.name for path in place.iterdir()} == {"runs"}


def test_addresses_of_files_are_read_back(tmp_path):
    for name in ("plain.db", "per%20cent.db", "que?stion.db", "%3F", "a?b=c"):
        assert database_of(address_of(tmp_path / "sub%41" / name)) == tmp_path / "sub%41" / name
    assert database_of("sqlite:////tmp/x.db?timeout=60") == Path("/tmp/x.db")
    (tmp_path / "per%20cent").mkdir()
    assert database_of(f"sqlite:///{tmp_path}/per%20cent/x.db") == tmp_path / "per%20cent" / "x.db"  # typed as it is
    assert database_of("http://lab") is None


def test_a_job_that_did_not_log_itself_is_logged_when_asked_for(tmp_path, uri):
    folder = complete_job(tmp_path / "runs" / "job")
    content = json.loads((folder / "job.json").read_text())
    content["job"]["tracking"] = {**content["job"].get("tracking", {}), "enabled": False}
    (folder / "job.json").write_text(json.dumps(content))
    done = CliRunner().invoke(app, ["sync", str(folder), "--uri", uri])
    assert done.exit_code == 0, done.output
    assert "is in sqlite" in done.stdout
    assert runs_of(openable(uri))[1]
    (folder / "front.json").write_text("{")
    damaged = CliRunner().invoke(app, ["sync", str(folder), "--uri", uri])
    assert damaged.exit_code == 2
    assert "front.json" in damaged.stderr
