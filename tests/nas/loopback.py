"""A real sshd on this machine, on a free port, with keys of its own."""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from nas.hardware import LatencyConfig

START_S = 500.0  # on a busy machine


@dataclass
class Loopback:
    """Where the server listens, and how our `ssh` reaches it."""

    folder: Path
    port: int
    server: subprocess.Popen

    @property
    def device(self) -> str:
        import getpass

        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    def options(self, key: str = "key") -> list[str]:
        known = self.folder / "known_hosts"
        checks = ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={known}", "-o", "IdentitiesOnly=yes"]
        return ["-F", "none", "-i", str(self.folder / key), *checks]

    def config(self, python: str, **settings) -> LatencyConfig:
        quick = {"repeats": 5, "warmup_s": 0.05, "min_time_ms": 0.2}
        where = {"device": self.device, "ssh_options": self.options(), "python": python}
        return LatencyConfig(**{**quick, **where, **settings})

    def sessions(self) -> list[int]:
        """Process ids of the server's side of all connections."""
        return _children(self.server.pid)

    def cut(self) -> None:
        """End all connections from the server's side, without a word."""
        for pid in self.sessions():
            with suppress(ProcessLookupError):  # it ended by itself meanwhile
                os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    """All descendants of a process that are sshd."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().partition("(")[2].rpartition(")")
            if int(rest.split()[1]) == pid and name.startswith("sshd"):
                found += [int(path.parent.name), *_children(int(path.parent.name))]
        except (OSError, ValueError):
            continue
    return found


def start_sshd(folder: Path) -> Loopback:
    """Starts the server, or skips the test and says why."""
    sshd = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if sshd is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        pytest.skip("needs sshd, ssh and ssh-keygen: apt-get install openssh-server openssh-client")
    for name in ("host", "key", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized").write_text((folder / "key.pub").read_text())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines = [f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {folder}/host", f"PidFile {folder}/pid"]
    lines += [f"AuthorizedKeysFile {folder}/authorized", "StrictModes no", "UsePAM no", "PasswordAuthentication no"]
    lines += ["KbdInteractiveAuthentication no", "PermitRootLogin yes"]
    (folder / "config").write_text("\n".join(lines) + "\n")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # privilege separation wants it
    log = (folder / "log").open("w")
    server = subprocess.Popen([sshd, "-D", "-e", "-f", str(folder / "config")], stderr=log)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            pytest.skip(f"sshd does not start here: {(folder / 'log').read_text().strip()[-200:]}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return Loopback(folder, port, server)
        time.sleep(0.05)
    server.kill()
    pytest.skip(f"sshd did not listen within {START_S:.0f} s")
