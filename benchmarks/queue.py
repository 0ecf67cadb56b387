"""What the queue of one machine costs.

python -m benchmarks.queue submit      submitting 200 jobs as a sweep, the whole command
python -m benchmarks.queue jobs        100 empty jobs, one after the other
python -m benchmarks.queue recovery    from SIGKILL of a runner to the next attempt
python -m benchmarks.queue watch       share of a core that `nas watch` takes while nothing changes
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from service.job.folder import write_json
from service.queue.executors import processes
from service.queue.executors.executor import PROCESS, Resources, Ticket, attempts, read_object
from service.queue.queue import Draft, Queue
from service.queue.worker import Driver

_WATCHED_S = 20.0


def empty(folder: Path, observer: object) -> None:
    """Do nothing, as a job."""


def lasting(folder: Path, observer: object) -> None:
    """Do nothing for a minute, as a job."""
    time.sleep(60)


def made(place: Path, function: str, count: int) -> Queue:
    """Return a queue of calls of a function here, with lock files of its own."""
    queue = Queue.open(place / "queue", create=True)
    write_json(queue.folder / "settings.json", {"folder": str(place / "slots")})
    resources = Resources(cpus=1)
    ticket = Ticket(
        name=function, call=f"benchmarks.queue:{function}", resources=resources, directory=str(Path.cwd().resolve())
    )
    queue.add([Draft(key=f"{number}/", ticket=ticket) for number in range(count)])
    return queue


def submit(place: Path) -> None:
    queue = Queue.open(place / "queue", create=True)
    seeds = ",".join(map(str, range(200)))
    command = [sys.executable, "-m", "service.cli", "submit", "quickstart", "--sweep", f"seed={seeds}"]
    with queue.try_serve() or sys.exit("the queue is served"):  # so that none of them is started
        began = time.perf_counter()
        arguments = ["--queue-folder", str(queue.folder)]
        subprocess.run([*command, *arguments], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
    print(f"{len(queue.folders())} jobs submitted in {seconds:.1f} s, the start of Python included")


def jobs(place: Path) -> None:
    driver = Driver(made(place, "empty", 100))
    began = time.perf_counter()
    while driver.tick():
        time.sleep(0.01)
    print(f"100 empty jobs: {1000 * (time.perf_counter() - began) / 100:.0f} ms each")


def recovery(place: Path) -> None:
    queue = made(place, "lasting", 1)
    driver, (folder,) = Driver(queue), queue.folders()
    _tick_until(driver, lambda: processes.is_alive(folder))
    os.kill(read_object(folder / PROCESS)["pid"], signal.SIGKILL)
    began = time.perf_counter()
    _tick_until(driver, lambda: attempts(folder) == 2 and processes.is_alive(folder))
    print(f"a killed runner is replaced in {time.perf_counter() - began:.2f} s")
    queue.cancel(folder)
    driver.executors["local"].cancel([folder])
    processes.kill(folder)


def watch(place: Path) -> None:
    queue = made(place, "empty", 200)
    for folder in queue.folders():
        write_json(folder / "result.json", {"status": "finished"})
    command = [sys.executable, "-m", "service.cli", "watch", "--stay", "--queue-folder", str(queue.folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    time.sleep(10)
    before = _cpu_s(process.pid)
    time.sleep(_WATCHED_S)
    print(f"nas watch of 200 jobs: {100 * (_cpu_s(process.pid) - before) / _WATCHED_S:.2f} % of a core")
    process.kill()
    process.wait()


def _tick_until(driver: Driver, condition: Callable[[], bool]) -> None:
    while not condition():
        driver.tick()
        time.sleep(0.1)


def _cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


PARTS = {"submit": submit, "jobs": jobs, "recovery": recovery, "watch": watch}


def main() -> None:
    """Measure the parts that are named, by default all."""
    for name in sys.argv[1:] or PARTS:
        if name not in PARTS:
            sys.exit(f"{name!r} is no part; there are {', '.join(PARTS)}")
        with tempfile.TemporaryDirectory() as place:
            PARTS[name](Path(place))


if __name__ == "__main__":
    main()
