"""Processes that work is shared out to."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SLOW = """
import time
from service.run.worker_processes import computed

def ready():
    return str

if __name__ == "__main__":
    try:
        print("starts", flush=True)
        list(computed(ready, range(10**9), workers=2))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.integration
@pytest.mark.parametrize("wait_s", [0.0, 0.1, 0.3])
def test_ctrl_c_while_processes_start_leaves_no_traceback_and_no_process(tmp_path: Path, wait_s: float) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "slow.py"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "starts\n"
    time.sleep(wait_s)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=500)  # it ends when all that share the output have ended
    assert said == "interrupted\n"
