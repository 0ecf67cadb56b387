"""A real MLflow server on a port of its own, which can be killed and brought back."""

import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from service.tracking.store import SERVER_ENVIRONMENT, Serving, server_command

_STARTS_S = 500.0  # on a busy machine


class MlflowServer:
    """Shows an SQLite database over HTTP, or over HTTPS with a key and a certificate."""

    def __init__(self, database: Path, tls: tuple[Path, Path] | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.uri = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.tls = tls
        self.database = database
        self.log = database.with_suffix(".log")

    def __enter__(self) -> "MlflowServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Starts the server, and waits until it answers."""
        command = server_command(f"sqlite:///{self.database}", Serving(port=self.port))
        if self.tls:
            more = f" --ssl-keyfile {self.tls[0]} --ssl-certfile {self.tls[1]}"
            command[command.index("--uvicorn-opts") + 1] += more
        with self.log.open("ab") as log:
            environment = {**os.environ, **SERVER_ENVIRONMENT}
            self.process = subprocess.Popen(
                command, env=environment, cwd=self.database.parent, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _STARTS_S
        while not self._answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def kill(self) -> None:
        """SIGKILL to the server and all processes that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _answers(self) -> bool:
        try:
            trusting = ssl._create_unverified_context() if self.tls else None
            urllib.request.urlopen(f"{self.uri}/health", timeout=5, context=trusting).close()
        except (OSError, urllib.error.URLError):
            return False
        return True
