"""What people type at the queue: submitting, looking, cancelling, mistakes."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from service.queue.executors.executor import is_over, read_ticket
from service.queue.queue import Queue
from tests.service.queues import (
    WORK,
    add,
    environment,
    finish,
    make_queue,
    nas,
    result,
    run_nas,
    start_worker,
    wait_until,
)
from tests.service.trained_job import trained_job

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]


@pytest.fixture
def queue(tmp_path) -> Queue:
    return make_queue(tmp_path, cpus=2, pretend_gpus=2)


def job_file(place: Path, **fields) -> str:
    path = place / "job.yaml"
    path.write_text(yaml.safe_dump(fields))
    return str(path)


def counting(place: Path, **arguments) -> str:
    return job_file(place, name="count", call=f"{WORK}:count", arguments=arguments)


def test_a_sweep_is_an_array_of_every_combination(tmp_path, queue):
    sweeps = ("--sweep", "arguments.steps=1,2", "--sweep", "arguments.step_s=0.01,0.02,0.03")
    done = run_nas(queue, "submit", counting(tmp_path), "--cpus", "1", "--priority", "3", *sweeps)
    assert done.returncode == 0, done.stderr
    tickets = [read_ticket(folder) for folder in queue.folders()]
    found = sorted((ticket.arguments["steps"], ticket.arguments["step_s"]) for ticket in tickets)
    assert found == [(steps, seconds) for steps in (1, 2) for seconds in (0.01, 0.02, 0.03)]
    assert len({ticket.array for ticket in tickets}) == 1
    assert {ticket.priority for ticket in tickets} == {3}
    assert sorted(ticket.order for ticket in tickets) == list(range(6))
    wait_until(lambda: all(is_over(folder) for folder in queue.folders()), "a worker that submit started runs them")


def test_submitting_returns_and_the_terminal_may_be_closed(tmp_path, queue):
    """The session that submitted is ended; the job goes on."""
    command = [sys.executable, "-m", "service.cli", "submit", counting(tmp_path, steps=30, step_s=0.05)]
    terminal = subprocess.Popen(
        [*command, "--queue-folder", str(queue.folder)], env=environment(), start_new_session=True
    )
    assert terminal.wait(500) == 0
    with suppress(ProcessLookupError):
        os.killpg(terminal.pid, signal.SIGHUP)
    (folder,) = queue.folders()
    wait_until(lambda: is_over(folder), "the job is over")
    assert result(folder)["status"] == "finished"


def test_jobs_are_listed_with_their_states(tmp_path, queue):
    sound, wrong = add(queue, "count", steps=1)[0], add(queue, "fail")[0]
    finish(queue, start_worker(queue))
    (waiting,) = add(queue, "count", after=["123456-missing"])
    done = run_nas(queue, "jobs", "--json")
    states = {line["id"]: line["state"] for line in map(json.loads, done.stdout.splitlines())}
    assert states == {sound.name[:6]: "finished", wrong.name[:6]: "failed", waiting.name[:6]: "waiting"}
    table = run_nas(queue, "jobs").stdout
    assert "1 finished" in table
    assert "ValueError: no" in table


def test_progress_and_time_left_are_shown_of_a_running_job(tmp_path, queue):
    (folder,) = add(queue, "count", steps=200, step_s=0.05)
    worker = start_worker(queue)
    wait_until(lambda: queue.status(folder).left_s is not None, "there is an estimate")
    status = queue.status(folder)
    assert (status.state, status.stage, status.total, status.attempt) == ("running", "search", 200, 1)
    assert 0 < status.done < 200
    assert status.left_s < 600
    queue.cancel(folder)
    finish(queue, worker)


def test_the_log_of_all_attempts_is_followed_to_the_end(tmp_path, queue):
    (folder,) = add(queue, "fail", message="out of ideas")
    worker = start_worker(queue)
    followed = run_nas(queue, "logs", folder.name[:3], "-f")
    assert "ValueError: out of ideas" in followed.stdout
    finish(queue, worker)


def test_retrying_also_queues_what_was_skipped_for_it(tmp_path, queue):
    (first,) = add(queue, "fail")
    (second,) = add(queue, "count", after=[first.name], steps=1)
    finish(queue, start_worker(queue))
    assert result(second)["status"] == "skipped"
    assert result(second)["reason"] == f"{first.name[:6]} (fail), which it needs, is failed"
    ticket = json.loads((first / "queue.json").read_text())
    (first / "queue.json").write_text(json.dumps({**ticket, "call": f"{WORK}:count", "arguments": {"steps": 1}}))
    done = run_nas(queue, "retry", first.name[:6])
    assert done.returncode == 0, done.stderr
    wait_until(lambda: is_over(second), "both ran")
    assert [result(folder)["status"] for folder in (first, second)] == ["finished", "finished"]


def test_old_folders_are_removed_only_when_asked_and_never_while_needed(tmp_path, queue):
    failed, needed = add(queue, "fail")[0], add(queue, "count", steps=1)[0]
    finish(queue, start_worker(queue))
    add(queue, "count", after=[needed.name, "123456-missing"])
    every = ("--states", "failed,finished", "--older-than-days", "0")
    assert "would remove 1 folders" in run_nas(queue, "gc", *every).stdout
    assert failed.exists()
    assert "would remove 0 folders" in run_nas(queue, "gc", "--states", "failed").stdout
    assert run_nas(queue, "gc", *every, "--yes").returncode == 0
    assert not failed.exists()
    assert needed.exists()


def test_watching_ends_with_the_jobs_and_what_came_of_them(tmp_path, queue):
    counted, wrong = add(queue, "count", 3, steps=3), add(queue, "fail", message="out of ideas")[0]
    worker = start_worker(queue)
    done = run_nas(queue, "watch")
    assert done.returncode == 0, done.stderr
    assert "3 finished" in done.stdout
    for folder in counted:
        assert f"{folder.name[:6]}  count: finished" in done.stdout
    assert f"{wrong.name[:6]}  fail: ValueError: out of ideas" in done.stdout
    assert f"what went wrong: nas logs {wrong.name[:6]} --queue-folder {queue.folder}" in done.stdout
    finish(queue, worker)


@pytest.mark.parametrize("count", [1, 2])
def test_watching_ends_with_the_front_of_one_job_and_the_best_of_several(queue, count):
    folders = [trained_job(folder) for folder in add(queue, "count", count)]
    done = run_nas(queue, "watch")
    assert done.returncode == 0, done.stderr
    assert ("Pareto front" in done.stdout) == (count == 1)
    assert done.stdout.count("% test") >= count
    assert ("compare them: nas compare " in done.stdout) == (count == 2)
    assert f"export the best network: nas export {folders[0]}" in done.stdout


def test_an_idle_watch_hardly_computes(tmp_path, queue):
    """Two hundred jobs that are over cost a look at their folders, not a reading of them."""
    from service.commands.queue import _Look

    for folder in add(queue, "count", 200):
        (folder / "result.json").write_text('{"status": "finished"}')
    look = _Look(queue)
    first = look()
    began = time.process_time()
    assert all(look() == first for _ in range(10))
    assert time.process_time() - began < 10 * 0.05


def test_the_queue_is_private(tmp_path):
    place = tmp_path / "queue"
    place.mkdir(mode=0o755)
    queue = Queue.open(place, create=True)
    assert place.stat().st_mode & 0o777 == 0o700
    (folder,) = add(queue, "count")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_unit_for_systemd_lets_jobs_outlive_the_worker(queue):
    unit = run_nas(queue, "worker", "--systemd").stdout
    assert "KillMode=process" in unit
    assert f"worker --queue-folder {queue.folder}" in unit


def test_a_unit_for_systemd_is_right_whatever_the_folders_are_called(tmp_path):
    place = tmp_path / 'with space, 100% "$HOME"'
    queue = make_queue(place, cpus=1)
    surroundings = {**os.environ, "PYTHONPATH": f"{ROOT}:{place}"}
    command = nas("worker", "--systemd", "--queue-folder", str(queue.folder))
    done = subprocess.run(command, cwd=place, env=surroundings, capture_output=True, text=True, check=False)
    lines = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    assert shlex.split(lines["ExecStart"])[-1].replace("%%", "%").replace("$$", "$") == str(queue.folder)
    assert lines["WorkingDirectory"].replace("%%", "%") == str(place)
    assert shlex.split(lines["Environment"])[0].replace("%%", "%") == f"PYTHONPATH={ROOT}:{place}"
    assert _refused_by_systemd(tmp_path, done.stdout) == ""


def _refused_by_systemd(place, unit):
    if shutil.which("systemd-analyze") is None:
        return ""
    (place / "espalier.service").write_text(unit)
    command = ["systemd-analyze", "verify", "--user", str(place / "espalier.service")]
    surroundings = {**os.environ, "XDG_RUNTIME_DIR": str(place)}
    return subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False).stderr


def test_a_gpu_that_is_not_there_is_said_before_anything_is_queued(tmp_path):
    queue = make_queue(tmp_path, cpus=1)
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": str(Path(sys.executable).parent)}
    command = nas("submit", counting(tmp_path), "--gpus", "1", "--queue-folder", str(queue.folder))
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "nas: --gpus: must be 0, this machine has no GPU (nvidia-smi -L lists none), got 1\n"
    assert queue.folders() == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["submit", "JOB", "--queue", "slrum"], "unknown queue 'slrum'; did you mean slurm?"),
        (["submit", "JOB", "--gpus", "3"], "--gpus: must be 2 or less, this machine has 2 that jobs may use, got 3"),
        (["submit", "JOB", "--cpus", "9999"], "--cpus: must be 2 or less"),
        (["submit", "JOB", "--nodes", "2"], "--nodes: must be 1 on a queue of one machine, got 2; use --queue slurm"),
        (
            ["submit", "JOB", "--option", "partition=gpu"],
            "--option partition: no option of --queue local; only --queue slurm",
        ),
        (
            ["submit", "JOB", "--option", "cpu=2"],
            "--option cpu: no option of --queue local; it has none; did you mean cpus?",
        ),
        (
            ["submit", "JOB", "--option", "memory_gb=2"],
            "--option memory_gb: no option of --queue local; write --memory-gb",
        ),
        (["submit", "JOB", "--memory-gb", "4"], "--memory-gb: only --queue slurm limits this, got 4 for local"),
        (["submit", "JOB", "--time-min", "9", "--queue", "inline"], "--time-min: only --queue slurm limits this"),
        (["submit", "JOB", "--sweep", "seed"], "must be path=value,value,…"),
        (["submit", "JOB", "--sweep", "arguments.steps=1,,2"], "a value is missing"),
        (["submit", "JOB", "--set", "train.epochs=2"], "a job with `call` has name and arguments.… only"),
        (["submit", "nothing.yaml"], "nothing.yaml"),
        (["cancel", "nothing"], "job 'nothing': no such job in"),
        (["retry", "nothing"], "job 'nothing': no such job in"),
        (["logs", "nothing"], "job 'nothing': no such job in"),
        (["gc", "--states", "finish"], "unknown state 'finish' of jobs that are over; did you mean finished?"),
        (["worker", "--cpus", "9999"], "--cpus: must be "),
        (["worker", "--gpus", "7", "--pretend-gpus", "0"], "--gpus: '7' is not a GPU that jobs may use here"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_queued(tmp_path, queue, arguments, line):
    job = counting(tmp_path)
    done = run_nas(queue, *[job if argument == "JOB" else argument for argument in arguments])
    assert done.returncode == 2
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert queue.folders() == []


def test_mistakes_of_all_jobs_of_a_sweep_are_told_at_once(queue):
    done = run_nas(queue, "submit", "quickstart", "--sweep", "seed=1,-2,none", "--sweep", "train.epochs=1,-3")
    assert done.returncode == 2
    told = done.stderr.splitlines()
    assert len(told) == 3, done.stderr
    for line in ("seed: must be from 0", "seed: must be a whole number, got 'none'", "train.epochs"):
        assert any(line in one for one in told), (line, told)
    assert queue.folders() == []


def test_cancelling_twice_is_a_mistake(tmp_path, queue):
    (folder,) = add(queue, "count")
    assert run_nas(queue, "cancel", folder.name[:6]).returncode == 0
    again = run_nas(queue, "cancel", folder.name[:6])
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "cannot be cancelled, it is cancelled already" in again.stderr


def test_an_id_that_several_jobs_begin_with_is_a_mistake(queue):
    first, second = add(queue, "count", 2)
    first = first.rename(queue.folder / "aaa111-count")
    second = second.rename(queue.folder / "aaa222-count")
    assert queue.find("aaa1") == first
    done = run_nas(queue, "cancel", "aaa")
    assert done.returncode == 2
    assert done.stderr == "nas: job 'aaa': 2 jobs begin so: aaa111-count, aaa222-count\n"


def test_jobs_run_in_this_process_where_that_is_asked_for(tmp_path, queue):
    done = run_nas(
        queue, "submit", counting(tmp_path, steps=2), "--queue", "inline", "--sweep", "arguments.step_s=0,0.01"
    )
    assert done.returncode == 0, done.stderr
    assert [result(folder)["status"] for folder in queue.folders()] == ["finished", "finished"]
