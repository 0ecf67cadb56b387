"""How threads wait is said before torch is loaded, and by nobody who has said it himself."""

import os
import subprocess
import sys

import pytest

from service.run.threads import chosen, drop_unreadable, too_many, wait_briefly

LOADED = "import sys, service.cli, service.queue.executors.slurm_task; print('torch' in sys.modules)"


@pytest.fixture
def unsaid(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # so that it is as before after the test, whatever the test sets
        monkeypatch.delenv(name)
    return monkeypatch


def test_threads_spin_briefly_unless_the_user_says_otherwise(unsaid):
    wait_briefly()
    assert 0 < int(os.environ["GOMP_SPINCOUNT"]) < 10_000
    unsaid.setenv("GOMP_SPINCOUNT", "77")
    wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == "77"


def test_a_policy_of_the_users_own_stands(unsaid):
    unsaid.setenv("OMP_WAIT_POLICY", "ACTIVE")
    wait_briefly()
    assert "GOMP_SPINCOUNT" not in os.environ


@pytest.mark.parametrize(
    ("text", "number"), [("4", 4), (" 04 ", 4), ("3,2", 3), ("auto", None), ("0", None), ("", None)]
)
def test_a_number_of_threads_that_none_can_read_is_dropped_and_said(unsaid, text, number):
    unsaid.setenv("OMP_NUM_THREADS", text)
    assert chosen() == number
    line = drop_unreadable()
    assert (line is None) == ("OMP_NUM_THREADS" in os.environ) == (number is not None)
    assert line is None or repr(text) in line
    assert drop_unreadable() is None


def test_more_threads_than_cores_are_warned_of(unsaid):
    cores = len(os.sched_getaffinity(0))
    unsaid.setenv("OMP_NUM_THREADS", str(cores))
    assert too_many() is None
    unsaid.setenv("OMP_NUM_THREADS", str(cores + 1))
    assert f"is {cores + 1}, but this process may use {cores} of the cores" in too_many()


@pytest.mark.integration
def test_what_starts_programs_does_not_load_torch_before_it_is_said():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
