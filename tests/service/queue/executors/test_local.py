"""The queue of one machine, with real processes that are really killed."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress

import pytest

from service.queue.executors import processes
from service.queue.executors.executor import STATE, attempts, is_over, read_object
from service.queue.executors.local import Local
from service.queue.queue import Queue
from service.queue.worker import Driver
from tests.service.queues import (
    add,
    finish,
    has_progress,
    kill,
    make_queue,
    result,
    run_nas,
    runner_of,
    soak,
    start_worker,
    wait_until,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not os.path.exists("/proc/self/ns/pid"), reason="needs Linux"),
]


def steps(folder):
    return [int(line) for line in (folder / "steps.txt").read_text().split()]


def starts(folder):
    return len((folder / "starts.txt").read_text().split())


def test_six_jobs_on_two_gpus_never_share_one(tmp_path):
    queue = make_queue(tmp_path, pretend_gpus=2)
    folders = add(queue, "occupy", 6, gpus=1, place=str(tmp_path))
    finish(queue, start_worker(queue))
    assert [result(folder)["status"] for folder in folders] == ["finished"] * 6
    assert {(folder / "gpus.txt").read_text() for folder in folders} == {"pretend-0", "pretend-1"}


def test_as_many_jobs_share_a_gpu_as_the_settings_allow(tmp_path):
    queue = make_queue(tmp_path, pretend_gpus=1, jobs_per_gpu=2)
    folders = add(queue, "count", 3, gpus=1, steps=60, step_s=0.05)
    worker = start_worker(queue)
    wait_until(lambda: sum(map(has_progress, folders)) == 2, "two jobs make progress")
    running = [folder for folder in folders if has_progress(folder)]
    assert [read_object(folder / STATE)["gpus"] for folder in running] == [["pretend-0"]] * 2
    assert not any(map(is_over, folders)), "the third one waits for a slot"
    finish(queue, worker)
    assert [result(folder)["status"] for folder in folders] == ["finished"] * 3


def test_queues_of_two_people_share_the_gpus_of_a_machine_without_meeting_on_one(tmp_path):
    slots = tmp_path / "slots"
    queues = [make_queue(tmp_path / name, slots=slots, pretend_gpus=2) for name in ("one", "other")]
    folders = [add(queue, "occupy", 4, gpus=1, place=str(tmp_path)) for queue in queues]
    folders += [add(queue, "occupy", 1, gpus=2, place=str(tmp_path)) for queue in queues]
    for queue, worker in [(queue, start_worker(queue)) for queue in queues]:
        finish(queue, worker)
    assert {result(folder)["status"] for some in folders for folder in some} == {"finished"}


def test_a_killed_runner_goes_on_where_it_stopped(tmp_path):
    queue = make_queue(tmp_path)
    (folder,) = add(queue, "count", steps=40, step_s=0.05)
    worker = start_worker(queue)
    wait_until(lambda: has_progress(folder) and runner_of(folder), "the job makes progress")
    kill(runner_of(folder))
    killed, before = time.monotonic(), starts(folder)
    wait_until(lambda: starts(folder) > before, "the job was started again")
    print(f"recovered {time.monotonic() - killed:.1f} s after SIGKILL of the runner")
    finish(queue, worker)
    assert steps(folder) == list(range(40))
    assert result(folder) | {"attempts": 2, "status": "finished"} == result(folder)


def test_jobs_outlive_a_killed_worker_and_are_adopted(tmp_path):
    queue = make_queue(tmp_path, cpus=2)
    folders = add(queue, "count", 4, steps=40, step_s=0.05)
    worker = start_worker(queue)
    wait_until(lambda: any(has_progress(folder) for folder in folders), "a job makes progress")
    kill(worker.pid)
    worker.wait()
    finish(queue, start_worker(queue))
    assert [starts(folder) for folder in folders] == [1] * 4
    assert [result(folder)["attempts"] for folder in folders] == [1] * 4


def test_everything_killed_is_taken_up_again(tmp_path):
    queue = make_queue(tmp_path, cpus=2)
    folders = add(queue, "count", 4, steps=40, step_s=0.05)
    worker = start_worker(queue)
    wait_until(lambda: any(has_progress(folder) for folder in folders), "a job makes progress")
    kill(worker.pid)
    for folder in folders:
        processes.kill(folder)
    worker.wait()
    assert not any(is_over(folder) for folder in folders)
    finish(queue, start_worker(queue))
    assert all(steps(folder) == list(range(40)) for folder in folders)


def test_running_and_queued_jobs_are_cancelled(tmp_path):
    queue = make_queue(tmp_path, cpus=1)
    running, waiting, other = add(queue, "count", 3, steps=10_000, step_s=0.02)
    worker = start_worker(queue)
    wait_until(lambda: has_progress(running), "the first job makes progress")
    ids = [folder.name[:6] for folder in (running, waiting)]
    done = run_nas(queue, "cancel", *ids)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: is_over(running) and has_progress(other), "the next job starts")
    assert result(running)["reason"] == "cancelled while it was running"
    assert result(waiting)["reason"] == "cancelled before it started"
    assert not (waiting / "starts.txt").exists()
    again = run_nas(queue, "cancel", ids[0])
    assert again.returncode == 2
    assert again.stderr == f"nas: job {ids[0]}: cannot be cancelled, it is cancelled already\n"
    queue.cancel(other)
    finish(queue, worker)


def test_a_job_that_forks_and_ignores_sigterm_ends_with_all_its_children(tmp_path):
    queue = make_queue(tmp_path, grace_s=0.5)
    (folder,) = add(queue, "stubborn")
    worker = start_worker(queue)
    wait_until((folder / "children.txt").exists, "the job has children")
    assert len(processes.members(folder)) == 3
    queue.cancel(folder)
    finish(queue, worker)
    assert result(folder)["status"] == "cancelled"


def test_children_of_a_killed_runner_end_before_it_is_started_again(tmp_path):
    queue = make_queue(tmp_path)
    (folder,) = add(queue, "stubborn", max_attempts=2)
    worker = start_worker(queue)
    for _ in range(2):
        wait_until((folder / "children.txt").exists, "the job has children")
        children = [int(child) for child in (folder / "children.txt").read_text().split()]
        (folder / "children.txt").unlink()
        kill(runner_of(folder))
        wait_until(lambda: not any(child in processes.members(folder) for child in children), "they are gone")  # noqa: B023
    finish(queue, worker)
    assert result(folder)["status"] == "lost"
    assert "ended 2 times without a result" in result(folder)["reason"]


def test_sigterm_stops_a_job_cleanly_and_costs_no_attempt(tmp_path):
    queue = make_queue(tmp_path)
    (folder,) = add(queue, "count", steps=60, step_s=0.05, max_attempts=1)
    worker = start_worker(queue)
    wait_until(lambda: has_progress(folder) and runner_of(folder), "the job makes progress")
    os.kill(runner_of(folder), signal.SIGTERM)
    finish(queue, worker)
    assert steps(folder) == list(range(60))
    assert starts(folder) == 2
    assert result(folder)["attempts"] == 1


def test_a_job_that_fails_by_its_own_fault_is_not_tried_again_until_asked(tmp_path):
    queue = make_queue(tmp_path)
    (folder,) = add(queue, "fail", message="out of ideas")
    finish(queue, start_worker(queue))
    assert result(folder)["status"] == "failed"
    assert result(folder)["reason"] == "ValueError: out of ideas"
    assert "queued_work.py" in result(folder)["traceback"]
    assert result(folder)["attempts"] == 1
    assert queue.retry(folder) == [folder]
    finish(queue, start_worker(queue))
    assert (folder / "log.txt").read_text().count("Traceback") == 2


def test_a_full_disk_ends_no_job(tmp_path):
    queue = make_queue(tmp_path)
    (folder,) = add(queue, "fill_disk", attempts=2)
    finish(queue, start_worker(queue))
    assert starts(folder) == 3
    assert result(folder)["status"] == "finished"


def test_a_disk_that_stays_full_is_named(tmp_path):
    queue = make_queue(tmp_path)
    (folder,) = add(queue, "fill_disk", attempts=99)
    finish(queue, start_worker(queue))
    assert result(folder)["status"] == "lost"
    assert result(folder)["reason"].endswith("No space left on device")


@pytest.fixture
def disk(tmp_path):
    """A small one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_worker_outlives_a_queue_folder_that_is_full(tmp_path, disk):
    queue = make_queue(disk, slots=tmp_path / "slots")
    (folder,) = add(queue, "count", steps=3)
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    worker = start_worker(queue)
    time.sleep(3)
    assert worker.poll() is None
    assert not is_over(folder)
    filler.unlink()
    finish(queue, worker)
    assert result(folder)["status"] == "finished"


def test_a_read_only_queue_is_shown_refused_in_one_line_and_goes_on_when_it_can_be_written(tmp_path, disk):
    queue = make_queue(disk, slots=tmp_path / "slots")
    (folder,) = add(queue, "count", steps=3)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    shown = run_nas(queue, "jobs", "--json")
    assert json.loads(shown.stdout)["state"] == "queued", shown.stderr
    for command in (["submit", "quickstart"], ["cancel", folder.name[:6]], ["worker"]):
        done = run_nas(queue, *command)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "Read-only file system" in done.stderr
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    finish(queue, start_worker(queue))
    assert result(folder)["status"] == "finished"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"attempt": "many"}', "\x00\xff"])
def test_a_damaged_memory_of_attempts_costs_no_job(tmp_path, content):
    queue = make_queue(tmp_path)
    (folder,) = add(queue, "count", steps=2)
    for name in ("state.json", "process.json", "activity.json"):
        (folder / name).write_text(content, encoding="latin-1")
    queue.status(folder)
    finish(queue, start_worker(queue))
    assert result(folder)["status"] == "finished"


def test_a_damaged_ticket_fails_its_job_and_no_other(tmp_path):
    queue = make_queue(tmp_path)
    damaged, sound = add(queue, "count", 2, steps=2)
    (damaged / "queue.json").write_text("{")
    finish(queue, start_worker(queue))
    assert result(damaged)["status"] == "failed"
    assert "queue.json: damaged" in result(damaged)["reason"]
    assert result(sound)["status"] == "finished"


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    queue = make_queue(tmp_path)
    folders = add(queue, "count", 3, steps=5)
    jumps = iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: (-1) ** next(jumps) * 1e9)
    driver = Driver(queue)
    wait_until(lambda: driver.tick() == 0, "all jobs are over")
    assert [result(folder)["attempts"] for folder in folders] == [1] * 3


def test_higher_priority_starts_first_and_a_large_job_is_not_overtaken(tmp_path):
    queue = make_queue(tmp_path, pretend_gpus=2)
    first = add(queue, "count", 1, gpus=1, steps=10**6)
    small = add(queue, "count", 2, gpus=1, steps=10**6)
    large = add(queue, "count", 1, gpus=2, steps=10**6, priority=1)
    executor = Local(queue.folder)
    try:
        executor.submit(first)
        executor.tick()
        executor.submit([*small, *large])
        executor.tick()
        assert list(executor.running) == first
        for folder in first:
            queue.cancel(folder)
        wait_until(lambda: large[0] in executor.tick() and large[0] in executor.running, "the large job starts")
        assert set(executor.running) & set(small) == set()
    finally:
        for folder in (*first, *small, *large):
            if not is_over(folder):
                (folder / "cancel").touch()
        wait_until(lambda: executor.tick() == [], "all jobs are over")


def test_submitting_again_adopts_what_runs(tmp_path):
    queue = make_queue(tmp_path)
    (folder,) = add(queue, "count", steps=40, step_s=0.05)
    first, second = Local(queue.folder), Local(queue.folder)
    first.submit([folder])
    first.tick()
    second.submit([folder])
    second.submit([folder])
    wait_until(lambda: second.tick() == [] and first.tick() == [], "the job is over")
    assert starts(folder) == 1


def test_a_second_worker_is_refused(tmp_path):
    queue = make_queue(tmp_path)
    with queue.try_serve():
        done = run_nas(queue, "worker")
    assert done.returncode == 2
    assert "another process serves this queue" in done.stderr


def test_what_is_submitted_while_a_worker_ends_is_served(tmp_path):
    queue = make_queue(tmp_path)
    found = [add(queue, "count", steps=1) for _ in range(1)]
    worker = start_worker(queue)
    while worker.poll() is None and len(found) < 12:
        found.append(add(queue, "count", steps=1))
        wait_until(lambda: is_over(found[-1][0]) or worker.poll() is not None, "the job is over")
    later = start_worker(queue) if worker.poll() is not None else worker
    finish(queue, later)


@pytest.mark.parametrize(
    ("jobs", "kills"), [(30, 10), pytest.param(300, 100, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_every_job_of_a_soak_ends_with_one_result(tmp_path, jobs, kills):
    queue = make_queue(tmp_path, pretend_gpus=4)
    folders = add(queue, "count", jobs, gpus=1, steps=4, step_s=0.05, max_attempts=200)
    began = time.monotonic()
    hits = soak(queue, folders, kills, seed=jobs)
    print(f"{jobs} jobs, {hits} kills, {time.monotonic() - began:.1f} s")
    assert hits == kills
    assert [result(folder)["status"] for folder in folders] == ["finished"] * jobs
    assert all(steps(folder) == [0, 1, 2, 3] for folder in folders)
    assert sum(attempts(folder) for folder in folders) <= jobs + kills
    assert all(read_object(folder / STATE)["executor"] == "local" for folder in folders)
    assert Queue.open(queue.folder).folders() == sorted(folders)
