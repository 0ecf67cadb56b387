"""The store of MLflow: its address, a check that it can be used, and the server that shows it."""

import importlib.util
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from service.job.store_address import (
    URI_VARIABLE,
    database_of,
    login_of,
    openable,
    with_password,
    without_secrets,
)

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
AUTH_ENVIRONMENT = ("MLFLOW_FLASK_SERVER_SECRET_KEY", "MLFLOW_AUTH_ADMIN_PASSWORD")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def log_in(uri: str) -> None:
    """Give MLflow the user and the password that the environment holds in the address of a server.

    MLflow repeats addresses in its messages, so it gets one without a login. User and password are sent to no other
    server.
    """
    given = login_of(os.environ.get(URI_VARIABLE, ""))
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    if all(given) and with_password(uri) != uri:
        os.environ.update(zip(names, given, strict=True))
    elif all(given) and tuple(os.environ.get(name, "") for name in names) == given:
        for name in names:
            del os.environ[name]


def check_answers(uri: str) -> None:
    """Raise ConnectionError where no server answers within seconds; any answer counts.

    MLflow asks, so that its settings of certificates, logins and proxies hold here too.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        asked = get_default_host_creds(uri.rstrip("/"))
        http_request(asked, "/health", "GET", max_retries=0, timeout=REACH_TIMEOUT_S, raise_on_status=False)
    except MlflowException as error:
        raise ConnectionError(f"no MLflow server answers at {uri}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return why a server was not reached: the end of a long message of several libraries."""
    text = without_secrets(str(error))
    found = re.search(r"certificate verify failed: [^(\n]*[^(\s]|\[Errno -?\d+\] [^'\")>]+|timed out", text)
    if found is None:
        return text.splitlines()[0]
    if "certificate" not in found[0]:
        return found[0]
    return f"{found[0]}; MLFLOW_TRACKING_SERVER_CERT_PATH names the file of a certificate of your own"


def check_writable(database: Path) -> None:
    """Raise OSError where an SQLite file cannot be written; MLflow itself would try for minutes."""
    database.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(database, timeout=REACH_TIMEOUT_S)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except sqlite3.Error as error:
        raise OSError(f"cannot write {database}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Serving:
    """Settings of the server that shows a database in the browser.

    Args:
        host: Address to listen on.
        port: Port to listen on.
        allowed_hosts: Names, separated by commas, under which browsers may ask for the pages besides the local ones.
        auth: Whether users have to log in, by MLflow's own `basic-auth`.
    """

    host: str = "127.0.0.1"
    port: int = 5000
    allowed_hosts: str | None = None
    auth: bool = False

    def check(self) -> None:
        """Check that a server could be started in this way.

        Raises:
            OSError: The port is taken, or a package for the login is missing.
        """
        if self.auth and importlib.util.find_spec("flask_wtf") is None:
            raise OSError("--auth needs more of MLflow; install it with: pip install 'mlflow[auth]'")
        if self.auth and (missing := [name for name in AUTH_ENVIRONMENT if not os.environ.get(name)]):
            raise OSError(f"--auth needs {' and '.join(missing)} in the environment")
        check_free(self.host, self.port)

    def options(self) -> list[str]:
        """Return the options of `mlflow server`: one worker, quiet."""
        options = ["--host", self.host, "--port", str(self.port), "--workers", "1"]
        options += ["--uvicorn-opts", "--log-level warning"]
        names = [name.strip() for name in (self.allowed_hosts or "").split(",") if name.strip()]
        if names:
            origins = [f"{scheme}://{name}" for name in names for scheme in ("http", "https")]
            ports = [f"{origin}:{self.port}" for origin in origins]
            here = [f"{name}{port}" for name in ("localhost", "127.0.0.1") for port in ("", ":*")]
            options += ["--allowed-hosts", ",".join([*names, *(f"{name}:{self.port}" for name in names), *here])]
            options += ["--cors-allowed-origins", ",".join([*origins, *ports])]
        return options + (["--app-name", "basic-auth"] if self.auth else [])


def server_command(uri: str, serving: Serving) -> list[str]:
    """Return the command that shows a database, with artifacts beside it; `run_server` gives it a password."""
    shown = ["--backend-store-uri", openable(uri)] if with_password(uri) == uri else []
    command = [sys.executable, "-P", "-m", "mlflow", "server", *shown, *serving.options()]
    database = database_of(uri)
    if database is not None:
        command += ["--artifacts-destination", (database.resolve().parent / "mlartifacts").as_uri()]
    return command


def run_server(uri: str, serving: Serving) -> int:
    """Show a database in the browser until interrupted, and return the exit status: 0 where it was interrupted.

    The server starts processes of its own, so it gets a process group, which ends with this process.
    """
    environment = {**os.environ, **SERVER_ENVIRONMENT, "PYTHONSAFEPATH": "1"}  # it starts processes of its own
    if (whole := with_password(uri)) != uri:
        environment["MLFLOW_BACKEND_STORE_URI"] = whole  # lists of processes show commands to everybody
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    process = subprocess.Popen(server_command(uri, serving), env=environment, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def check_free(host: str, port: int) -> None:
    """Raise OSError where nothing could listen at this port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(f"port {port} on {host} cannot be used: {error.strerror}; choose another") from error
