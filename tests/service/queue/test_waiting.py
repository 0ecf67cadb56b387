"""A queued job says why it waits, and the queues of one machine take turns."""

import json
import os
import pwd
import subprocess

import pytest

from service.queue.executors.executor import PROCESS, Resources, is_over, read_object
from service.queue.executors.neighbours import Neighbours
from service.queue.executors.slots import SlotConfig, Slots
from service.queue.queue import id_of
from service.queue.waiting import explained
from tests.service.queues import (
    add,
    environment,
    finish,
    has_progress,
    make_queue,
    nas,
    run_nas,
    runner_of,
    start_worker,
    wait_until,
)


def reasons(queue) -> dict[str, str]:
    statuses = explained(queue, map(queue.status, queue.folders()))
    return {status.id: status.reason for status in statuses if status.state == "queued"}


@pytest.mark.integration
def test_queued_jobs_say_who_holds_what_they_wait_for(tmp_path):
    slots = tmp_path / "slots"
    busy, other = (make_queue(tmp_path / name, slots=slots, cpus=1) for name in ("busy", "other"))
    [running] = add(busy, "count", steps=10**6)
    worker = start_worker(busy)
    wait_until(lambda: has_progress(running), "the first job runs")
    first, second = add(other, "count", 2, steps=1)
    assert reasons(other)[id_of(first)].startswith("no worker serves this queue; start one with: nas worker")
    waiting = start_worker(other)
    user = pwd.getpwuid(os.geteuid()).pw_name
    held = f"pid {runner_of(running)}, user {user}, queue {busy.folder}, job {id_of(running)}"
    expected = {id_of(first): f"1 core, held by {held}", id_of(second): f"behind {id_of(first)}"}
    wait_until(lambda: reasons(other) == expected, f"the reasons are {expected}")
    listed = map(json.loads, run_nas(other, "jobs", "--json").stdout.splitlines())
    assert {line["id"]: line["reason"] for line in listed} == expected
    assert f"held by pid {runner_of(running)}" in " ".join(run_nas(other, "jobs").stdout.split())
    log = run_nas(other, "logs", first.name)
    assert log.returncode == 1
    assert log.stderr == f"nas: job {id_of(first)}: has said nothing yet; it is queued: {expected[id_of(first)]}\n"
    followed = subprocess.Popen(
        [*nas("logs", "-f", first.name), "--queue-folder", str(other.folder)],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert followed.stderr.readline() == f"job {id_of(first)} is queued: {expected[id_of(first)]}\n"
    assert run_nas(busy, "cancel", running.name).returncode == 0
    finish(busy, worker)
    finish(other, waiting)
    assert followed.wait(60) == 0


@pytest.mark.integration
def test_queues_of_one_machine_take_turns(tmp_path):
    """A queue with many jobs does not keep another one waiting until all of its own are over."""
    slots = tmp_path / "slots"
    queues = [make_queue(tmp_path / name, slots=slots, cpus=1) for name in ("one", "other")]
    for queue in queues:
        add(queue, "count", 4, steps=4, step_s=0.05)
    held = Slots(SlotConfig(folder=str(slots), cpus=1)).take(Resources(cpus=1))
    workers = [start_worker(queue) for queue in queues]
    wait_until(lambda: len(list(slots.glob("waits-*"))) == 2, "both wait")
    held.close()
    for queue, worker in zip(queues, workers):
        finish(queue, worker)
    began = [(read_object(folder / PROCESS)["boot_s"], queue) for queue in queues for folder in queue.folders()]
    order = [queues.index(queue) for _, queue in sorted(began, key=lambda pair: pair[0])]
    assert order in ([0, 1] * 4, [1, 0] * 4)


@pytest.mark.integration
def test_a_job_that_needs_all_cores_is_not_overtaken_by_another_queue_for_ever(tmp_path):
    slots = tmp_path / "slots"
    small, large = (make_queue(tmp_path / name, slots=slots, cpus=2) for name in ("small", "large"))
    many = add(small, "count", 12, steps=4, step_s=0.05)
    worker = start_worker(small)
    wait_until(lambda: any(map(has_progress, many)), "small jobs run")
    [whole] = add(large, "count", steps=1, resources=Resources())
    other = start_worker(large)
    wait_until(lambda: is_over(whole), "the large job had its turn")
    left = [folder for folder in many if not is_over(folder)]
    finish(large, other)
    finish(small, worker)
    assert left, "it started before the other queue was empty"


def test_the_longest_wait_is_first_and_a_queue_that_is_served_joins_the_end(tmp_path):
    one, other = (Neighbours(tmp_path, tmp_path / name) for name in ("one", "other"))
    assert one.ahead("cpus", ["cpu-0"]) is None
    one.wait("cpus", ["cpu-0"])
    other.wait("cpus", ["cpu-0", "cpu-1"])
    assert one.ahead("cpus", ["cpu-0"]) is None
    assert other.ahead("cpus", ["cpu-0", "cpu-1"]).queue == str(one.queue)
    assert other.ahead("cpus", ["cpu-1"]) is None, "nobody else waits for that one"
    one.leave("cpus")
    one.wait("cpus", ["cpu-0"])
    assert other.ahead("cpus", ["cpu-0"]) is None
    assert one.ahead("cpus", ["cpu-0"]).queue == str(other.queue)


def test_a_queue_whose_worker_stopped_loses_its_turn(tmp_path):
    one, other = (Neighbours(tmp_path, tmp_path / name) for name in ("one", "other"))
    one.wait("cpus", ["cpu-0"])
    [note] = tmp_path.iterdir()
    before = note.stat().st_mtime
    os.utime(note, (before - 60, before - 60))
    assert other.ahead("cpus", ["cpu-0"]) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"since_s": "x", "user": "a", "queue": "b", "slots": 3}', "\0"])
def test_notes_that_are_none_are_passed_over(tmp_path, content):
    one, other = (Neighbours(tmp_path, tmp_path / name) for name in ("one", "other"))
    one.wait("cpus", ["cpu-0"])
    one.hold("3f9a1c", os.getpid(), ["cpu-0"])
    assert [holder.job for holder in other.holders(["cpu-0"])] == ["3f9a1c"]
    for note in tmp_path.iterdir():
        written = note.stat().st_mtime
        note.write_text(content)
        os.utime(note, (written, written))
    assert other.ahead("cpus", ["cpu-0"]) is None
    assert other.held_by(["cpu-0"]) == "another program"
