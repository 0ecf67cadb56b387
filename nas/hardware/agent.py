"""Times networks on another machine: its source is sent there and run, and nothing is installed.

Lines of JSON come in by standard input and go out by standard output. A private folder keeps each result until it is
acknowledged, and the models as long as the session lasts. So a new connection continues where the last one was cut.
Only the standard library is imported, and the runtime of the models.

It ends with its connection, after the visit that it is timing; the agent of the next connection waits for that.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import queue
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from typing import Any

from nas.hardware.power import energy_counter
from nas.hardware.runtimes import OPENERS, NoRuntime, processor_name, runtime_version, usable_cores
from nas.hardware.timing import Network, NotFinite, Plan, TooSlow, time_limit, visit

HEARTBEAT_S = 2.0
ABANDONED_S = 86_400.0
NAME = re.compile(r"[0-9a-f]{8,64}")


class Store:
    """The private folder of a session: models by the SHA-256 of their bytes, results by their id."""

    def __init__(self, session: str) -> None:
        if not NAME.fullmatch(session):
            raise ValueError("a session is named by hexadecimal digits")
        prefix = os.path.join(tempfile.gettempdir(), f"espalier-{os.getuid()}-")
        self.folder = prefix + session
        _remove_abandoned(prefix)
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        found = os.lstat(self.folder)
        if found.st_uid != os.getuid() or found.st_mode & 0o077 or os.path.islink(self.folder):
            raise PermissionError(f"{self.folder} is not a private folder of this user")
        self._lock = open(os.path.join(self.folder, "lock"), "w")  # noqa: SIM115
        fcntl.flock(self._lock, fcntl.LOCK_EX)  # the agent of a connection that was cut may still be timing
        os.utime(self.folder)

    def has(self, name: str) -> bool:
        return os.path.exists(self._path(name, ".model"))

    def keep(self, name: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != name:
            raise ValueError("a model arrived damaged")
        self._write(name, ".model", content)

    def model(self, name: str) -> bytes:
        with open(self._path(name, ".model"), "rb") as file:
            return file.read()

    def finished(self, name: str) -> dict[str, Any] | None:
        try:
            with open(self._path(name, ".result")) as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    def finish(self, name: str, result: dict[str, Any]) -> None:
        self._write(name, ".result", json.dumps(result).encode())

    def forget(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._path(name, ".result"))

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, kind: str, content: bytes) -> None:
        temporary = self._path(name, kind + ".part")
        with open(temporary, "wb") as file:
            file.write(content)
        os.replace(temporary, self._path(name, kind))

    def _path(self, name: str, kind: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("models and results are named by hexadecimal digits")
        return os.path.join(self.folder, name + kind)


def _remove_abandoned(prefix: str) -> None:
    """Remove the folders of sessions that nobody has come back to for a day."""
    parent = os.path.dirname(prefix)
    for name in os.listdir(parent):
        path = os.path.join(parent, name)
        try:
            if path.startswith(prefix) and time.time() - os.lstat(path).st_mtime > ABANDONED_S:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue


class Agent:
    """The agent of one connection: it answers requests."""

    def __init__(self, incoming: Any, outgoing: Any) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._writing = threading.Lock()
        self._requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self._networks: dict[str, Network] = {}
        self._hello: dict[str, Any] = {}
        self._end_after_s = 60.0

    def run(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()
        self._hello = self._requests.get()
        if self._hello["op"] != "hello":
            return
        try:
            facts: dict[str, Any] = {"device": self._device(), "backend": runtime_version(self._hello["runtime"])}
            facts["cores"] = usable_cores()
            self._store = Store(self._hello["session"])
        except (NoRuntime, OSError, ValueError) as error:
            self._say(event="refused", reason=str(error))
            return
        self._energy = energy_counter(0 if self._hello["cuda"] else None)
        self._say(event="ready", python=platform.python_version(), **facts)
        while True:
            request = self._requests.get()
            if request["op"] in ("bye", "cut"):
                break
            getattr(self, "_" + request["op"])(**{key: value for key, value in request.items() if key != "op"})
        if request["op"] == "bye":
            self._store.remove()
            self._say(event="bye")

    # ---- requests -------------------------------------------------------------------------------------------------

    def _have(self, models: list[str]) -> None:
        self._say(event="lacking", models=[name for name in models if not self._store.has(name)])

    def _model(self, name: str, content: str) -> None:
        self._store.keep(name, base64.b64decode(content))

    def _close(self, models: list[str]) -> None:
        for name in models:
            self._networks.pop(name, None)

    def _acknowledge(self, name: str) -> None:
        self._store.forget(name)

    def _visit(self, name: str, model: str, plan: dict[str, Any]) -> None:
        """Time a network once, or repeat the last result where it was not acknowledged."""
        result = self._store.finished(name)
        if result is None:
            self._end_after_s = plan["timeout_s"] + 10
            result = self._time(model, plan)
            self._store.finish(name, result)
        self._say(event="result", name=name, result=result)

    def _time(self, model: str, plan: dict[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        try:
            if model not in self._networks:
                opener = OPENERS[self._hello["runtime"]]
                with time_limit(plan["timeout_s"]):
                    cuda, threads = self._hello["cuda"], self._hello["threads"]
                    self._networks[model] = opener(self._store.model(model), threads, cuda=cuda)
            result = visit(self._networks[model], Plan(energy_j=self._energy, **plan))
        except (TooSlow, NotFinite) as error:
            result = {"error": str(error)}
        except Exception as error:  # whatever a model does ends that model only
            result = {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
        return {**result, "seconds": time.perf_counter() - start}

    # ---- the connection -------------------------------------------------------------------------------------------

    def _device(self) -> str:
        if not self._hello["cuda"]:
            return processor_name()
        try:
            import torch

            return torch.cuda.get_device_name(0)
        except (ImportError, RuntimeError, AssertionError):
            return "CUDA device of " + platform.node()

    def _read(self) -> None:
        for line in self._incoming:
            if not line.endswith(b"\n"):
                break  # cut in the middle of a line
            self._requests.put(json.loads(line))
        with self._requests.mutex:
            self._requests.queue.clear()  # the next connection asks again for what it still lacks
        self._requests.put({"op": "cut"})
        time.sleep(self._end_after_s)
        os._exit(1)  # a pass that never ends

    def _beat(self) -> None:
        while True:
            time.sleep(HEARTBEAT_S)
            self._say(event="alive")

    def _say(self, **message: Any) -> None:
        try:
            with self._writing:
                self._outgoing.write(json.dumps(message).encode() + b"\n")
                self._outgoing.flush()
        except (OSError, ValueError):
            pass  # the connection is cut; results are kept


def main() -> None:
    """Serve standard input and output until they are closed."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not be read as a message
    Agent(sys.stdin.buffer, outgoing).run()
    os._exit(0)
