"""A server with a certificate of its own: MLflow's settings of TLS hold for everything that asks it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.job.folder import read_json
from service.tracking import store
from service.tracking.sync import sync
from tests.service.mlflow_server import MlflowServer
from tests.service.synthetic_job import start_job, train

pytestmark = pytest.mark.integration


def certificate(folder: Path) -> tuple[Path, Path]:
    """A key and the certificate that it signs itself."""
    key, made = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(made)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    return key, made


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_certificates_of_ones_own_are_taken_as_mlflow_is_told(tmp_path, uri, monkeypatch):
    key, made = certificate(tmp_path)
    with MlflowServer(tmp_path / "runs" / "mlflow.db", tls=(key, made)) as server:
        assert server.uri.startswith("https://")
        job = train(start_job(tmp_path / "job", uri=server.uri), range(1, 4))
        refused = sync(job, final=False).error
        assert "certificate verify failed: self-signed certificate" in refused
        assert "MLFLOW_TRACKING_SERVER_CERT_PATH names" in refused
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(made))
        assert sync(job, final=False).error is None
        shown = CliRunner().invoke(app, ["ui", "--uri", server.uri])
        assert shown.exit_code == 0
        assert f"charts: {server.uri}/#/experiments/" in shown.stdout
        monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
        both = CliRunner().invoke(app, ["ui", "--uri", server.uri])
        assert (both.exit_code, len(both.stderr.splitlines())) == (2, 1)
        assert "only one of these environment variables may be set" in both.stderr
        monkeypatch.delenv("MLFLOW_TRACKING_SERVER_CERT_PATH")
        assert sync(job, final=True).synced
        assert read_json(job / "tracking.json")["error"] is None
        monkeypatch.delenv("MLFLOW_TRACKING_INSECURE_TLS")
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(tmp_path / "none.pem"))
        lines = CliRunner().invoke(app, ["ui", "--uri", server.uri]).stderr.splitlines()
        assert len(lines) == 1
        assert "none.pem" in lines[0]
        monkeypatch.delenv("MLFLOW_TRACKING_SERVER_CERT_PATH")
        with pytest.raises(ConnectionError, match="certificate"):
            store.check_answers(server.uri)
