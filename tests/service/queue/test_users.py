"""One machine, several people: each process here is really another user."""

import os
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.errors import InvalidJob
from service.queue.executors import slots
from service.queue.executors.executor import CANCEL, TICKET, Resources, Ticket
from service.queue.executors.slots import SlotConfig, Slots, Taken
from service.queue.queue import Draft, Queue

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")]
ANNA, BEN = 12_345, 23_456


@pytest.fixture
def place(monkeypatch) -> Iterator[Path]:
    """A folder like /tmp, where the lock files of the machine are as well; those of pytest are for one user."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o1777)
        monkeypatch.setattr(slots, "_PLACES", (name,))
        yield place


@contextmanager
def process_of(user: int, act: Callable[[], object]) -> Iterator[None]:
    """A process of another user that does something, and then holds what it has until it is killed.

    What `act` imports has to be imported already: the interpreter may lie where others cannot read.
    """
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            os.umask(0o077)
            held = act()
            os.write(writing, b"done")
            signal.pause()
            del held
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(1)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as told:
            said = told.read(4)
            assert said == b"done", (said + told.read()).decode()
        yield
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def do_as(user: int, act: Callable[[], object]) -> None:
    with process_of(user, act):
        pass


def takes(resources: Resources, **expected: list) -> Callable[[], Taken | None]:
    """Takes slots of the machine and expects to get these; nothing expected: none is free."""

    def act() -> Taken | None:
        taken = Slots(SlotConfig(pretend_gpus=2, cpus=1)).take(resources)
        found = None if taken is None else {name: taken.describe()[name] for name in expected}
        assert found == (expected or None), found
        return taken

    return act


def test_two_users_never_have_the_same_gpu_or_core(place):
    gpu, core = Resources(gpus=1), Resources(cpus=1)
    with process_of(ANNA, takes(gpu, gpus=["pretend-0"])):
        with process_of(BEN, takes(gpu, gpus=["pretend-1"])):
            do_as(ANNA, takes(gpu))
            do_as(BEN, takes(gpu))
        do_as(ANNA, takes(gpu, gpus=["pretend-1"]))  # of a process of the other user that was killed
    first = sorted(os.sched_getaffinity(0))[0]
    with process_of(BEN, takes(core, cpus=[first])):
        do_as(ANNA, takes(core))
    do_as(ANNA, takes(core, cpus=[first]))


def test_a_queue_is_closed_to_other_users(place):
    folder = place / "queue"

    def submit() -> None:
        Queue.open(folder, create=True).add([Draft(key="0/", ticket=Ticket(name="count", call="a.b:c"))])

    def intrude() -> None:
        for create in (True, False):
            with pytest.raises(InvalidJob, match="belongs to another user"):
                Queue.open(folder, create=create)
        with pytest.raises(PermissionError):
            os.listdir(folder)
        for act in ((job / TICKET).read_text, (job / CANCEL).touch, (job / TICKET).unlink, folder.rmdir):
            with pytest.raises(PermissionError):
                act()
        with pytest.raises(PermissionError):
            folder.chmod(0o777)

    do_as(ANNA, submit)
    (job,) = Queue(folder).folders()
    assert {path.stat().st_uid for path in (folder, job, job / TICKET)} == {ANNA}
    do_as(BEN, intrude)
    assert (job / TICKET).exists()
    assert not (job / CANCEL).exists()


def test_a_queue_that_became_read_only_is_still_shown_and_nothing_is_half_added(place):
    folder = place / "queue"

    def submit() -> None:
        Queue.open(folder, create=True).add([Draft(key="0/", ticket=Ticket(name="count", call="a.b:c"))])

    def look_and_submit() -> None:
        with pytest.raises(PermissionError):
            submit()
        where = Queue.open(folder)
        assert [where.status(job).state for job in where.folders()] == ["queued"]

    do_as(ANNA, submit)
    before = sorted(os.listdir(folder))
    folder.chmod(0o500)
    for job in Queue(folder).folders():
        job.chmod(0o500)
    do_as(ANNA, look_and_submit)
    assert sorted(os.listdir(folder)) == before
