"""A SLURM on this machine for tests: brought up by `up.sh`, taken down by `down.sh`."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # daemons are not on the path of ordinary users


@dataclass
class Cluster:
    """What is up, and how it is harmed."""

    folder: Path

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    def call(self, *command: str) -> str:
        """What a command of SLURM prints."""
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, env=self.environment())
        return done.stdout

    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.conf), "PATH": PATH}

    def running(self) -> list[str]:
        """Ids of the jobs that run or end just now."""
        return self.call("squeue", "-h", "-r", "-t", "running,completing", "-o", "%i").split()

    def known(self) -> dict[str, str]:
        """States of all jobs by id."""
        lines = self.call("squeue", "-h", "-r", "-t", "all", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def kill_daemon(self, name: str) -> None:
        """SIGKILL to one daemon: `slurmctld`, or `slurmd-<node>`."""
        os.kill(int((self.folder / f"{name}.pid").read_text()), signal.SIGKILL)

    def has_saved(self) -> bool:
        """Whether the controller, if it died now, would know which jobs run."""
        saved = self.folder / "state" / "job_state"
        last = max((self.folder / "log").glob("slurmd-*.log"), key=lambda log: log.stat().st_mtime)
        return saved.exists() and saved.stat().st_mtime > last.stat().st_mtime

    def start_controller(self) -> None:
        """It knows the GPUs of its nodes again when they have told it of them."""
        self.call("slurmctld", "-f", str(self.conf))
        self.call("scontrol", "reconfigure")

    def start_node(self, node: str) -> None:
        self.call("slurmd", "-f", str(self.conf), "-N", node)

    def cancel_all(self) -> None:
        """Leave nothing behind for the next test."""
        user = str(os.getuid())
        self.call("scancel", "-u", user)
        if not poll(lambda: not self.call("squeue", "-h", "-u", user).strip(), 5):
            self.call("scancel", "--full", "--signal=KILL", "-u", user)
        assert poll(lambda: not self.call("squeue", "-h", "-u", user).strip(), 300), self.call("squeue")


@contextmanager
def cluster(**settings: str) -> Iterator[Cluster]:
    """A SLURM with settings of `up.sh`; where the programs are missing, the test is skipped."""
    missing = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if not shutil.which(name, path=PATH)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: apt-get install slurm-wlm munge")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # short: a socket lies in it
    folder.chmod(0o755)
    try:
        environment = {**os.environ, "PORT": str(_free_ports(int(settings.get("NODES", "1")) + 1)), **settings}
        done = subprocess.run(
            [HERE / "up.sh", folder], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        yield Cluster(folder)
    finally:
        subprocess.run([HERE / "down.sh", folder], capture_output=True, timeout=300, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def poll(condition: Callable[[], object], limit_s: float, every_s: float = 0.1) -> bool:
    """Whether a condition came true within a limit."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


def _free_ports(count: int) -> int:
    """The first of some neighbouring ports that nothing listens on."""
    for first in range(17_000 + os.getpid() % 1000 * 10, 32_000, count):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for offset, each in enumerate(sockets):
                each.bind(("127.0.0.1", first + offset))
            return first
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
    raise AssertionError("no free ports")
