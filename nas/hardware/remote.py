"""Measuring on another machine through `ssh`: our side of the connection.

The agent's source goes through the standard input of the `ssh` program, then requests and results as lines of JSON.
Every visit has an id; its result is written to a journal here before it is acknowledged, and the other machine keeps it
until then. So a connection may be cut at any time: nothing is measured twice and nothing is lost.
"""

import base64
import contextlib
import hashlib
import json
import queue
import shlex
import subprocess
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from nas.hardware.config import LatencyConfig, ssh_address

SENT = ("timing", "power", "runtimes", "agent")
START = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import json, types
for name, source in json.loads(sys.stdin.buffer.readline()):
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
sys.modules["nas.hardware.agent"].main()
"""
OPTIONS = ("-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15")
SILENCE_S = 30.0
GRACE_S = 30.0
BACK_OFF_S = (0.2, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)


class DeviceUnreachable(ConnectionError):
    """Another machine does not answer, or cannot measure; says why in one line."""


class _Cut(Exception):
    """The connection is gone; another attempt may succeed."""


@dataclass(frozen=True)
class Visit:
    """One visit to ask for: which network, which turn of it, and the plan of `nas.hardware.timing.Plan`."""

    network: int
    turn: int
    plan: dict[str, Any]


class ResultJournal:
    """Results by id in a file of JSON lines, which stays after the process where the user names the file."""

    def __init__(self, path: Path | None) -> None:
        self.known: dict[str, dict[str, Any]] = {}
        self.session = uuid.uuid4().hex
        if path is None:
            self._file: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        else:
            self._file = path.open("a+", encoding="utf-8")
        self._file.seek(0)
        lines = self._file.read().split("\n")
        if lines[-1]:  # cut while it was written
            self._file.truncate(self._file.seek(0) + sum(len(line.encode()) + 1 for line in lines[:-1]))
        for line in map(json.loads, lines[:-1]):
            self.session = line.get("session", self.session)
            if "result" in line:
                self.known[line["name"]] = line["result"]
        if len(lines) < 2:
            self._write({"session": self.session})

    def add(self, name: str, result: dict[str, Any]) -> None:
        self.known[name] = result
        self._write({"name": name, "result": result})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.seek(0, 2)
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


class OtherMachine:
    """Networks as files, timed by the agent.

    Args:
        config: Device, `ssh` options, interpreter and threads.
        runtime: What runs the files there, a key of `nas.hardware.runtimes.OPENERS`.
        journal: File of JSON lines for results; a temporary one where none is given. One file is for one sequence of
            measurements: what it holds is not measured again.
    """

    def __init__(self, config: LatencyConfig, runtime: str, journal: Path | None = None) -> None:
        self.config, self.runtime = config, runtime
        self.facts: dict[str, Any] = {}
        self._journal = ResultJournal(journal)
        self._held: list[_Connection] = []
        self._models: list[tuple[str, bytes]] = []
        self._loads = 0
        weakref.finalize(self, _leave, self._held)

    def connect(self) -> None:
        """Reach the agent, or say at once why this is impossible.

        Raises:
            DeviceUnreachable: There is no connection, no Python there, or no runtime.
        """
        try:
            self._open()
        except _Cut as error:
            raise DeviceUnreachable(f"{self.config.device}: {error}") from error

    def load(self, models: Sequence[bytes]) -> None:
        """Take the files that the next visits name by their place."""
        self._models = [(hashlib.sha256(model).hexdigest(), model) for model in models]
        self._loads += 1

    def unload(self) -> None:
        """Let go of the networks there; their files stay."""
        try:
            for connection in self._held:
                connection.send(op="close", models=[name for name, _ in self._models])
        except _Cut:
            self._drop()

    def visits(self, asked: Sequence[Visit]) -> Iterator[tuple[Visit, dict[str, Any]]]:
        """Yield the results of visits in the order in which they come; each once, however often the connection is cut.

        Raises:
            DeviceUnreachable: The machine stayed away.
        """
        waiting = {self._name(visit): visit for visit in asked}
        for name in [name for name in waiting if name in self._journal.known]:
            yield waiting.pop(name), self._journal.known[name]
        attempt = 0
        while waiting:
            try:
                connection = self._open()
                self._ask(connection, waiting)
                while waiting:
                    name, result = self._next(connection, waiting)
                    if name in waiting:
                        self._journal.add(name, result)
                        yield waiting.pop(name), result
                        attempt = 0
                    connection.send(op="acknowledge", name=name)
            except _Cut as error:
                self._drop()
                if attempt == len(BACK_OFF_S):
                    raise DeviceUnreachable(f"{self.config.device}: {error}") from error
                time.sleep(BACK_OFF_S[attempt])
                attempt += 1

    def close(self) -> None:
        """End the session; the other machine removes what it kept of it."""
        _leave(self._held)

    # ---- the connection -------------------------------------------------------------------------------------------

    def _open(self) -> "_Connection":
        if self._held:
            return self._held[0]
        connection = _Connection(self.config)
        self._held.append(connection)
        try:
            self.facts = self._greet(connection)
        except BaseException:
            self._drop()
            raise
        return connection

    def _greet(self, connection: "_Connection") -> dict[str, Any]:
        """Return what the agent says of its machine; this may wait for the agent of a connection that was cut."""
        session, cuda = self._journal.session, ssh_address(self.config.device).cuda
        connection.send(op="hello", session=session, runtime=self.runtime, threads=self.config.threads, cuda=cuda)
        try:
            answer = connection.receive(self.config.timeout_s + GRACE_S + SILENCE_S)
        except TimeoutError as error:
            raise _Cut("the agent before this one does not end") from error
        if answer["event"] == "refused":
            raise DeviceUnreachable(f"{self.config.device}: {answer['reason']}")
        if not cuda and self.config.threads > (cores := answer["cores"]):
            allowed = f"latency.threads must be at most {cores}, the cores that may be used there"
            raise DeviceUnreachable(f"{self.config.device}: {allowed}, got {self.config.threads}")
        return answer

    def _drop(self) -> None:
        while self._held:
            self._held.pop().kill()

    def _ask(self, connection: "_Connection", waiting: dict[str, Visit]) -> None:
        """Send the models that are not there yet, then all visits that wait."""
        used = dict(self._models[visit.network] for visit in waiting.values())
        connection.send(op="have", models=list(used))
        for name in connection.receive(SILENCE_S, event="lacking")["models"]:
            connection.send(op="model", name=name, content=base64.b64encode(used[name]).decode())
        for name, visit in waiting.items():
            connection.send(op="visit", name=name, model=self._models[visit.network][0], plan=visit.plan)

    def _next(self, connection: "_Connection", waiting: dict[str, Visit]) -> tuple[str, dict[str, Any]]:
        """Return the next result; a visit that hangs beyond its limit, and would again, has failed."""
        name, visit = next(iter(waiting.items()))
        try:
            message = connection.receive(visit.plan["timeout_s"] + GRACE_S, event="result")
        except TimeoutError:
            self._drop()
            return name, {"error": f"takes longer than {visit.plan['timeout_s']:.3g} s", "seconds": 0.0}
        return message["name"], message["result"]

    def _name(self, visit: Visit) -> str:
        """Return the number of a visit: the same whenever the same networks are measured in the same order."""
        parts = (self._journal.session, self._loads, visit.network, visit.turn, self._models[visit.network][0])
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


class _Connection:
    """One `ssh` process with the agent at its other end."""

    def __init__(self, config: LatencyConfig) -> None:
        host, port, _ = ssh_address(config.device)
        command = f"{config.python} -u -c {shlex.quote(START)}"
        place = ["-p", str(port)] if port else []
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                ["ssh", *OPTIONS, *config.ssh_options, *place, host, command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is for us; the connection ends in order
            )
        except FileNotFoundError as error:
            raise DeviceUnreachable("the program ssh is not installed: apt-get install openssh-client") from error
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True).start()
        here = Path(__file__).parent
        sources = [(f"nas.hardware.{name}", (here / f"{name}.py").read_text(encoding="utf-8")) for name in SENT]
        self._write(json.dumps(sources))

    def send(self, **message: Any) -> None:
        self._write(json.dumps(message))

    def receive(self, limit_s: float, *, event: str | None = None) -> dict[str, Any]:
        """Return the next message, of one kind where it is given.

        Raises:
            _Cut: The connection has ended, or nothing at all comes any more.
            TimeoutError: Signs of life come, but not this message.
        """
        end = time.monotonic() + limit_s
        while True:
            try:
                line = self._lines.get(timeout=SILENCE_S)
            except queue.Empty:
                raise _Cut(f"no answer for {SILENCE_S:.0f} s") from None
            if not line.endswith(b"\n"):
                raise _Cut(self._reason())
            try:
                message = json.loads(line)
            except ValueError:
                continue  # a greeting of the login shell
            if not isinstance(message, dict) or "event" not in message:
                continue
            if message["event"] == event or (event is None and message["event"] != "alive"):
                return message
            if time.monotonic() > end:
                raise TimeoutError

    def leave(self) -> None:
        try:
            self.send(op="bye")
            self.receive(5.0, event="bye")
        except (_Cut, TimeoutError):
            pass
        self.kill()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise _Cut(self._reason()) from error

    def _reason(self) -> str:
        """Return the last lines of `ssh`, or of the shell there."""
        try:
            status = self._process.wait(5)
        except subprocess.TimeoutExpired:
            status = None
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        said = [line for line in lines if not line.startswith(("Warning: Permanently added", "** "))]
        return said[-1] if said else f"the connection ended (status {status})"


def _leave(held: list[_Connection]) -> None:
    while held:
        held.pop().leave()


def _read(stream: Any, lines: "queue.Queue[bytes]") -> None:
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(b"")
