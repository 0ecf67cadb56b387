"""The store that MLflow keeps runs in: its address, whether it can be used, and the server that shows it."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing, suppress
from pathlib import Path

REACH_TIMEOUT_S = 4.0
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}
SERVER_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONWARNINGS": "ignore",
}


def default_uri() -> str:
    """The local store: `runs/mlflow.db` in the working directory; made when first used."""
    return f"sqlite:///{Path.cwd() / 'runs' / 'mlflow.db'}"


def database_of(uri: str) -> Path | None:
    """The file of an SQLite store, None for any other store."""
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]) if uri.startswith("sqlite:///") else None


def check_answers(uri: str) -> None:
    """Raises ConnectionError where no server answers within seconds; any answer will do."""
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=REACH_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ConnectionError(f"no MLflow server answers at {uri}: {reason}") from error


def check_writable(database: Path) -> None:
    """Raises OSError where an SQLite file cannot be written; MLflow itself would try for minutes."""
    database.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(database, timeout=REACH_TIMEOUT_S)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except sqlite3.Error as error:
        raise OSError(f"cannot write {database}: {error}") from error


def server_command(uri: str, host: str = "127.0.0.1", port: int = 5000) -> list[str]:
    """The command that shows a database: one worker, quiet, artifacts beside the database."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--host", host, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    database = database_of(uri)
    if database is not None:
        command += ["--artifacts-destination", str(database.resolve().parent / "mlartifacts")]
    return command


def run_server(uri: str, host: str, port: int) -> int:
    """Shows a database in the browser until interrupted; returns the exit status, 0 where it was interrupted.

    The server starts processes of its own: it gets a process group, which ends with this process.
    """
    environment = {**os.environ, **SERVER_ENVIRONMENT}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    process = subprocess.Popen(server_command(uri, host, port), env=environment, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def check_free(host: str, port: int) -> None:
    """Raises OSError where nobody could listen at this port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(f"port {port} on {host} cannot be used: {error.strerror}; choose another") from error
