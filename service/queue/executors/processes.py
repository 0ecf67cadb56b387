"""The processes of a job, found in /proc: also those that outlive their parent or left its session."""

import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from service.queue.executors.executor import PROCESS, read_object

MARK = "ESPALIER_JOB"  # in the environment of a job and of all that it starts
_KILL_ROUNDS = 20


def boot() -> str:
    """Return a name of this start of this machine and of the process ids seen here: containers have their own."""
    identity = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{socket.gethostname()} {identity} {os.readlink('/proc/self/ns/pid')}"


def since_boot_s() -> float:
    """Return seconds since the machine started: unlike the time of day, nobody sets it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def this() -> dict[str, Any]:
    """Return the content of `process.json` for the calling process."""
    own = os.getpid()
    return {
        "pid": own,
        "leads_session": os.getsid(0) == own,
        "began": began(own),
        "boot": boot(),
        "boot_s": since_boot_s(),
    }


def is_alive(folder: Path) -> bool:
    """Return whether the process that `process.json` of a job names is still there, on this machine."""
    noted = read_object(folder / PROCESS)
    if noted.get("boot") != boot():
        return False
    found = began(noted.get("pid", 0))
    return found is not None and found == noted.get("began")


def members(folder: Path) -> list[int]:
    """Return processes of a job: of its session, or marked with its folder; only of this start of this machine."""
    noted = read_object(folder / PROCESS)
    session = noted.get("pid") if noted.get("leads_session") and noted.get("boot") == boot() else None
    if session is not None and began(session) not in (None, noted.get("began")):
        session = None  # the number now belongs to another process
    marked = f"{MARK}={folder.resolve()}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            state, own_session = _state(int(entry.name))
            if state not in (None, "Z") and (own_session == session is not None or marked in _environment(entry)):
                found.append(int(entry.name))
    return found


def terminate(folder: Path) -> None:
    """Ask the runner of a job for a clean stop; its children end with it."""
    if is_alive(folder):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(read_object(folder / PROCESS)["pid"], signal.SIGTERM)


def kill(folder: Path) -> None:
    """End all processes of a job at once, and those that they start meanwhile."""
    for _ in range(_KILL_ROUNDS):
        there = members(folder)
        for process in there:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        if not there:
            return
        time.sleep(0.005)


def _state(process: int) -> tuple[str | None, int]:
    """Return the state letter and the session of a process; None where there is none."""
    fields = _fields(process)
    return (fields[0], int(fields[3])) if fields else (None, 0)


def began(process: int) -> int | None:
    """Return when a process started, in ticks since boot; None where it is gone or only waits to be reaped."""
    fields = _fields(process)
    return int(fields[19]) if fields and fields[0] != "Z" else None


def _fields(process: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on; the second one, the name, may hold anything."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _environment(entry: Path) -> list[bytes]:
    try:
        return (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
