"""Jobs on a real SLURM that the tests bring up; recoveries are timed, and printed with `pytest -s`."""

import json
import os
import platform
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count, pairwise
from pathlib import Path

import pytest

from service.errors import InvalidJob
from service.job.folder import write_json
from service.queue.executors import processes
from service.queue.executors.executor import PROCESS, Resources, Ticket, is_over, read_object
from service.queue.executors.slurm import Slurm
from tests.slurm.cluster import Cluster, cluster, poll

ROOT = Path(__file__).parents[4]
ONE_GPU = Resources(gpus=1, cpus=1, memory_gb=0.2, time_min=5)
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def whole() -> Iterator[Cluster]:
    pytest.importorskip("submitit")
    with cluster() as up:
        yield up


@pytest.fixture
def slurm(whole: Cluster, monkeypatch) -> Iterator[Cluster]:
    """A SLURM of one node and two pretend GPUs, with no jobs before and none after."""
    with used(whole, monkeypatch):
        yield whole


@contextmanager
def used(up: Cluster, monkeypatch) -> Iterator[Cluster]:
    """A SLURM that commands find from here; jobs that a test leaves are ended."""
    for name, value in up.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield up
    up.cancel_all()


def make(queue: Path, number: int, function: str = "epochs", *, settings=None, **ticket) -> list[Path]:
    """Folders of jobs that call a function of `tests.slurm.work`."""
    queue.mkdir(exist_ok=True)
    folders = []
    for _ in range(number):
        order = len([path for path in queue.iterdir() if path.is_dir()])
        folder = queue / f"job-{order:03d}"
        folder.mkdir()
        write_json(folder / "settings.json", {"epochs": 3, "epoch_s": 0.2, **(settings or {})})
        request = {"resources": ONE_GPU, **ticket}
        call = f"tests.slurm.work:{function}"
        work = Ticket(name="test", executor="slurm", order=order, call=call, directory=str(ROOT), **request)
        write_json(folder / "queue.json", work.to_json())
        folders.append(folder)
    return folders


def executor(queue: Path) -> Slurm:
    return Slurm(queue, ask_every_s=0.3, result_delay_s=1.0)


def drive(driver: Slurm, until: Callable[[], object] | None = None, limit_s: float = 500) -> None:
    """Tick until all jobs are over, or until a condition holds."""

    def step() -> bool:
        is_open = driver.tick()
        return bool(until()) if until else not is_open

    assert poll(step, limit_s), {folder.name: state(folder) for folder in driver.open}


def trace(folder: Path) -> list[dict]:
    path = folder / "trace.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def job_id(folder: Path) -> str:
    """What SLURM calls a job."""
    noted = state(folder)
    sent = folder.parent / ".slurm" / noted["submission"] / "submitted.json"
    return f"{json.loads(sent.read_text())['id']}_{noted['index']}"


def state(folder: Path) -> dict:
    return json.loads((folder / "state.json").read_text())


def recovery_s(folder: Path) -> float:
    """The longest time between two epochs."""
    times = [note["time"] for note in trace(folder)]
    return max(after - before for before, after in pairwise(times))


def whole_and_in_order(folder: Path, epochs: int) -> bool:
    """Whether each epoch was counted; the one after a kill may have been noted before it was kept."""
    noted = [note["epoch"] for note in trace(folder)]
    return sorted(set(noted)) == list(range(1, epochs + 1)) and noted == sorted(noted)


def alive(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


# ---- what ends well -----------------------------------------------------------------------------------------------


def test_six_jobs_are_one_array_and_never_share_a_gpu(slurm, tmp_path):
    folders = make(tmp_path / "queue", 6)
    driver = executor(tmp_path / "queue")
    driver.submit(folders)
    ids = [job_id(folder) for folder in folders]
    drive(driver)
    assert len({name.partition("_")[0] for name in ids}) == 1
    assert [result(folder)["status"] for folder in folders] == ["finished"] * 6, [result(f) for f in folders]
    assert {result(folder)["gpu"] for folder in folders} == {"0", "1"}
    assert all([note["epoch"] for note in trace(folder)] == [1, 2, 3] for folder in folders)


def test_two_hundred_jobs_are_submitted_and_cancelled_in_seconds(slurm, tmp_path):
    folders = make(tmp_path / "queue", 200, settings={"epoch_s": 60})
    driver = executor(tmp_path / "queue")
    start = time.monotonic()
    driver.submit(folders)
    submitted_s = time.monotonic() - start
    assert len(slurm.known()) >= 200
    for folder in folders:
        (folder / "cancel").touch()
    start = time.monotonic()
    driver.cancel(folders)
    drive(driver)
    print(f"\n200 jobs: submitted in {submitted_s:.2f} s, cancelled in {time.monotonic() - start:.2f} s")
    assert submitted_s < 300
    assert {result(folder)["status"] for folder in folders} == {"cancelled"}


def test_nothing_is_pickled_and_what_is_sent_is_private(slurm, tmp_path):
    folders = make(tmp_path / "queue", 2, settings={"epochs": 1})
    driver = executor(tmp_path / "queue")
    driver.submit(folders)
    sent = list((tmp_path / "queue" / ".slurm").iterdir())
    assert [stat.S_IMODE(path.stat().st_mode) for path in (sent[0].parent, *sent)] == [0o700] * 2
    seen: set[str] = set()

    def look() -> bool:
        seen.update(path.suffix for path in (tmp_path / "queue").rglob("*"))
        return all(is_over(folder) for folder in folders)

    drive(driver, look)
    assert ".sh" in seen
    assert ".pkl" not in seen
    drive(driver)
    assert not sent[0].exists()  # nobody needs it any more


# ---- what goes wrong ----------------------------------------------------------------------------------------------


def test_a_killed_runner_goes_on_from_its_checkpoint_in_a_second_attempt(slurm, tmp_path):
    (folder,) = make(tmp_path / "queue", 1, settings={"epochs": 5})
    driver = executor(tmp_path / "queue")
    driver.submit([folder])
    drive(driver, lambda: len(trace(folder)) >= 2)
    os.kill(trace(folder)[-1]["pid"], signal.SIGKILL)
    drive(driver)
    print(f"\nkilled runner: recovered in {recovery_s(folder):.1f} s")
    assert result(folder) == {"status": "finished", "reason": None, "epochs": 5, "gpu": "0", "attempts": 2}
    assert whole_and_in_order(folder, 5)


def test_a_job_that_is_killed_each_time_is_lost_and_says_why(slurm, tmp_path):
    (folder,) = make(tmp_path / "queue", 1, settings={"epochs": 500}, max_attempts=2)
    driver = executor(tmp_path / "queue")
    driver.submit([folder])
    killed: set[int] = set()

    def kill() -> bool:
        new = {note["pid"] for note in trace(folder)} - killed
        for process in new:
            killed.add(process)
            os.kill(process, signal.SIGKILL)
        return is_over(folder)

    drive(driver, kill)
    assert result(folder)["status"] == "lost"
    assert result(folder)["reason"].startswith("ended without a result 2 times; SLURM says FAILED on ")
    assert "Killed" in result(folder)["reason"]
    assert len(killed) == 2


def test_jobs_of_a_killed_driver_are_adopted_and_run_once(slurm, tmp_path):
    folders = make(tmp_path / "queue", 4, settings={"epoch_s": 0.5})
    first = subprocess.Popen([sys.executable, "-c", DRIVER, tmp_path / "queue"], cwd=ROOT)
    assert poll(lambda: trace(folders[0]) or first.poll() is not None, 500)
    assert first.poll() is None
    first.kill()
    first.wait()
    start = time.monotonic()
    driver = executor(tmp_path / "queue")
    driver.submit(folders)
    drive(driver)
    print(f"\nkilled driver: jobs adopted in {time.monotonic() - start:.1f} s, ends included")
    assert [result(folder)["status"] for folder in folders] == ["finished"] * 4
    assert [len({note["pid"] for note in trace(folder)}) for folder in folders] == [1] * 4


DRIVER = """
import sys, time
from pathlib import Path
from tests.service.queue.executors.test_slurm import executor
queue = Path(sys.argv[1])
driver = executor(queue)
driver.submit(sorted(queue.glob("job-*")))
while driver.tick():
    time.sleep(0.1)
"""


def test_a_driver_killed_while_it_submits_is_made_up_for(slurm, tmp_path):
    """It may die before SLURM has the jobs, or after that and before it notes their id."""
    sent, unsent = make(tmp_path / "queue", 2, settings={"epoch_s": 0.5})
    driver = executor(tmp_path / "queue")
    driver.submit([sent])
    (tmp_path / "queue" / ".slurm" / state(sent)["submission"] / "submitted.json").unlink()
    write_json(unsent / "state.json", {"attempt": 1, "submission": "0badcafe", "index": 0})
    later = executor(tmp_path / "queue")
    later.submit([sent, unsent])
    drive(later)
    for folder in (sent, unsent):
        assert result(folder)["status"] == "finished"
        assert result(folder)["attempts"] == 1
        assert len({note["pid"] for note in trace(folder)}) == 1


def test_a_controller_that_is_killed_and_comes_back_ends_no_job(monkeypatch, tmp_path):
    with cluster() as slurm, used(slurm, monkeypatch):  # its own: what it counts of GPUs may be wrong afterwards
        folders = make(tmp_path / "queue", 3, settings={"epochs": 10, "epoch_s": 0.6})
        driver = executor(tmp_path / "queue")
        driver.submit(folders)
        drive(driver, lambda: trace(folders[0]))
        drive(driver, slurm.has_saved)  # else it starts again what it does not know to run, and closes the node
        slurm.kill_daemon("slurmctld")
        longest_s = 0.0
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            start = time.monotonic()
            assert driver.tick()
            longest_s = max(longest_s, time.monotonic() - start)
            time.sleep(0.05)
        assert longest_s < 30  # asking does not wait for an answer
        slurm.start_controller()
        drive(driver)
        assert [result(folder)["status"] for folder in folders] == ["finished"] * 3
        assert all([note["epoch"] for note in trace(folder)] == list(range(1, 11)) for folder in folders)


@pytest.mark.slow
def test_a_controller_killed_too_early_starts_jobs_twice_and_they_run_once(monkeypatch, tmp_path):
    """It comes back without knowing that they run; its second starts close the node and leave them held for good."""
    with cluster() as up, used(up, monkeypatch):
        folders = make(tmp_path / "queue", 3, settings={"epochs": 20, "epoch_s": 0.4})
        driver = executor(tmp_path / "queue")
        driver.submit(folders)
        drive(driver, lambda: trace(folders[0]))
        up.kill_daemon("slurmctld")
        up.start_controller()

        ticks = count()

        def opened() -> bool:
            """An administrator opens the node again when it was closed."""
            if next(ticks) % 50 == 49:
                up.call("scontrol", "reconfigure")
                with suppress(subprocess.CalledProcessError):
                    up.call("scontrol", "update", f"NodeName={platform.node().partition('.')[0]}", "State=RESUME")
            return all(is_over(folder) for folder in folders)

        drive(driver, opened)
        drive(driver)
        assert [result(folder)["status"] for folder in folders] == ["finished"] * 3
        assert all(whole_and_in_order(folder, 20) for folder in folders)
        assert poll(lambda: not up.call("squeue", "-h").strip(), 500), up.call("squeue", "-l")


def test_running_queued_and_deaf_jobs_are_cancelled_and_nothing_is_left(slurm, tmp_path):
    deaf, *others = make(tmp_path / "queue", 1, "deaf") + make(tmp_path / "queue", 3, settings={"epochs": 500})
    driver = executor(tmp_path / "queue")
    driver.submit([deaf, *others])
    drive(driver, lambda: (deaf / "child").exists() and trace(others[0]))
    processes = [int((deaf / "child").read_text()), trace(others[0])[0]["pid"]]
    start = time.monotonic()
    for folder in (deaf, *others):
        (folder / "cancel").touch()
    driver.cancel([deaf, *others])
    driver.cancel([deaf, *others])
    assert [is_over(folder) for folder in others[1:]] == [True, True]  # they had not begun
    drive(driver)
    print(f"\ncancelled in {time.monotonic() - start:.1f} s, one of them deaf to SIGTERM")
    assert [result(folder)["status"] for folder in (deaf, *others)] == ["cancelled"] * 4
    assert poll(lambda: not any(map(alive, processes)), 30)


def test_scancel_by_hand_is_a_cancellation(slurm, tmp_path):
    running, waiting = make(tmp_path / "queue", 1, settings={"epochs": 500}) + make(
        tmp_path / "queue", 1, settings={"epochs": 500}, options={"begin": "now+1hour"}
    )
    driver = executor(tmp_path / "queue")
    driver.submit([running, waiting])
    drive(driver, lambda: trace(running))
    for folder in (running, waiting):
        slurm.call("scancel", job_id(folder))
    drive(driver)
    assert [result(folder)["status"] for folder in (running, waiting)] == ["cancelled"] * 2


def test_a_preempted_job_goes_on_later_without_losing_an_attempt(slurm, tmp_path):
    victims = make(tmp_path / "queue", 2, settings={"epochs": 12, "epoch_s": 0.3})
    (urgent,) = make(tmp_path / "queue", 1, options={"partition": "urgent"})
    driver = executor(tmp_path / "queue")
    driver.submit(victims)
    drive(driver, lambda: all(len(trace(victim)) >= 2 for victim in victims))
    driver.submit([urgent])
    drive(driver)
    preempted = max(victims, key=recovery_s)
    print(f"\npre-empted: went on after {recovery_s(preempted):.1f} s")
    assert [result(folder)["status"] for folder in (*victims, urgent)] == ["finished"] * 3
    assert [result(folder)["attempts"] for folder in victims] == [1, 1]
    assert all(whole_and_in_order(victim, 12) for victim in victims)
    assert len({note["pid"] for note in trace(preempted)}) == 2


def test_a_job_that_is_warned_of_its_time_limit_goes_on_in_a_next_run(slurm, tmp_path):
    """The warning is the signal that SLURM sends; what looks after the queue is not even there."""
    (folder,) = make(tmp_path / "queue", 1, settings={"epochs": 8, "epoch_s": 0.3})
    driver = executor(tmp_path / "queue")
    driver.submit([folder])
    assert poll(lambda: len(trace(folder)) >= 2, 500)
    slurm.call("scancel", "--signal=USR2", job_id(folder))
    assert poll(lambda: is_over(folder), 90), slurm.call("squeue", "-l")
    print(f"\ntime limit: went on after {recovery_s(folder):.1f} s")
    assert result(folder)["status"] == "finished"
    assert result(folder)["attempts"] == 1
    assert [note["epoch"] for note in trace(folder)] == list(range(1, 9))
    assert len({note["pid"] for note in trace(folder)}) == 2


def test_a_second_start_of_a_running_job_does_nothing(slurm, tmp_path):
    (folder,) = make(tmp_path / "queue", 1, settings={"epochs": 10})
    driver = executor(tmp_path / "queue")
    driver.submit([folder])
    drive(driver, lambda: trace(folder))
    sent = tmp_path / "queue" / ".slurm" / state(folder)["submission"]
    again = [sys.executable, "-m", "service.queue.executors.slurm_task", str(sent)]
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "0"}
    assert subprocess.run(again, env=environment, cwd=ROOT, check=False).returncode == 73
    drive(driver)
    assert [note["epoch"] for note in trace(folder)] == list(range(1, 11))


def test_a_job_that_slurm_has_forgotten_is_found_by_its_result_or_run_again(monkeypatch, tmp_path):
    """Nobody looked while one ended and the other was killed, and there is no accounting to ask."""
    pytest.importorskip("submitit")
    with cluster(EXTRA="MinJobAge=2") as up, used(up, monkeypatch):
        done, killed = make(tmp_path / "queue", 2, settings={"epochs": 4})
        executor(tmp_path / "queue").submit([done, killed])
        assert poll(lambda: trace(killed), 500)
        os.kill(trace(killed)[0]["pid"], signal.SIGKILL)
        assert poll(lambda: is_over(done) and not up.known(), 90, every_s=0.5), up.known()
        later = executor(tmp_path / "queue")
        later.submit([done, killed])
        drive(later)
        assert [result(folder)["attempts"] for folder in (done, killed)] == [1, 2]
        assert [result(folder)["status"] for folder in (done, killed)] == ["finished"] * 2
        assert whole_and_in_order(killed, 4)


# ---- several processes --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_job_on_two_nodes_survives_the_loss_of_one(monkeypatch, tmp_path):
    pytest.importorskip("submitit")
    with cluster(NODES="2", GPUS="2") as up, used(up, monkeypatch):
        two_nodes = Resources(gpus=4, nodes=2, cpus=4, time_min=5)
        settings = {"epochs": 12, "epoch_s": 0.3}
        (folder,) = make(tmp_path / "queue", 1, "sums", settings=settings, resources=two_nodes)
        driver = executor(tmp_path / "queue")
        driver.submit([folder])
        drive(driver, lambda: len(trace(folder)) >= 2)
        up.kill_daemon("slurmd-node1")
        os.kill(int((folder / "pid-3").read_text()), signal.SIGKILL)
        os.kill(int((folder / "pid-2").read_text()), signal.SIGKILL)
        drive(driver, lambda: not up.running())
        up.start_node("node1")
        drive(driver, limit_s=500)
        print(f"\nlost node: went on after {recovery_s(folder):.1f} s")
        assert result(folder)["status"] == "finished"
        assert result(folder)["processes"] == 4
        assert result(folder)["sum"] == 12 * (1 + 2 + 3 + 4)
        assert whole_and_in_order(folder, 12)


# ---- many kills ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jobs", "kills"),
    [(10, 4), pytest.param(300, 100, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])],
    ids=["small", "soak"],
)
def test_every_job_ends_with_one_result_whatever_is_killed(slurm, tmp_path, jobs, kills):
    folders = make(tmp_path / "queue", jobs, settings={"epochs": 4, "epoch_s": 0.1}, max_attempts=50)
    chance = random.Random(0)
    driver = executor(tmp_path / "queue")
    driver.submit(folders)
    start, seen, killed, results = time.monotonic(), set(), [], {}

    def harm() -> bool:
        """SIGKILL to some of the runners, as soon as they are seen or a little later."""
        for folder in folders:
            if is_over(folder):
                written = (folder / "result.json").stat().st_mtime_ns
                assert results.setdefault(folder, written) == written, "a result was written twice"
                continue
            process = read_object(folder / PROCESS).get("pid")
            if process is None or process in seen or len(killed) == kills:
                continue
            seen.add(process)
            if chance.random() < 0.6:
                time.sleep(chance.uniform(0.0, 0.3))
                if processes.is_alive(folder) and not is_over(folder):
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)
        return len(results) == jobs

    drive(driver, harm, limit_s=2500)
    drive(driver)
    print(f"\n{jobs} jobs, {len(killed)} kills: {time.monotonic() - start:.0f} s")
    assert len(killed) == kills
    assert [result(folder)["status"] for folder in folders] == ["finished"] * jobs
    assert all(whole_and_in_order(folder, 4) for folder in folders)
    assert sum(result(folder)["attempts"] - 1 for folder in folders) <= kills
    assert poll(lambda: not slurm.running(), 500)
    assert not any(alive(note["pid"]) for folder in folders for note in trace(folder))


# ---- the commands -------------------------------------------------------------------------------------------------


def test_a_person_submits_to_slurm_and_closes_the_terminal(slurm, tmp_path):
    (tmp_path / "work.yaml").write_text("call: tests.service.queued_work:count\narguments: {steps: 3}\n")
    said = nas("submit", tmp_path / "work.yaml", "--queue", "slurm", "--gpus", "1", "--sweep", "arguments.steps=3,4")
    queue = tmp_path / "queue"
    assert said.returncode == 0, said.stderr
    folders = [path for path in queue.iterdir() if (path / "queue.json").exists()]
    assert poll(lambda: all(is_over(folder) for folder in folders), 90), slurm.call("squeue", "-l")
    assert sorted(result(folder)["steps"] for folder in folders) == [3, 4]


def test_a_request_that_slurm_refuses_is_one_line_and_exit_code_2(slurm, tmp_path, monkeypatch):
    (tmp_path / "work.yaml").write_text("call: tests.service.queued_work:count\n")
    too_many = nas("submit", tmp_path / "work.yaml", "--queue", "slurm", "--gpus", "9")
    assert too_many.returncode == 2
    assert too_many.stderr.startswith("nas: --queue: SLURM refuses this job (gpus 9, nodes 1): Requested node")
    monkeypatch.setenv("PATH", str(tmp_path))
    absent = nas("submit", tmp_path / "work.yaml", "--queue", "slurm")
    assert absent.returncode == 2
    assert "there is no sbatch here" in absent.stderr
    assert len(absent.stderr.strip().splitlines()) == 1


def nas(command: str, source: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command as a person types it, on a queue beside the file."""
    line = [sys.executable, "-m", "service.cli", command, str(source), *arguments]
    return subprocess.run(
        [*line, "--queue-folder", str(source.parent / "queue")], capture_output=True, text=True, cwd=ROOT, check=False
    )


# ---- mistakes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ticket", "line"),
    [
        ({"resources": Resources(gpus=3)}, "SLURM refuses this job (gpus 3, nodes 1): Requested node configuration"),
        ({"options": {"partition": "gpus"}}, "SLURM refuses this job (nodes 1): invalid partition specified: gpus"),
        ({"options": {"partitoin": "main"}}, "options.partitoin: no option of sbatch that a job may set; did you mean"),
        ({"options": {"export": "LD_PRELOAD=evil.so"}}, "options.export: no option of sbatch that a job may set"),
        ({"options": {"comment": "x\n./evil"}}, "options.comment: must be true, a whole number or a plain word"),
        ({"resources": Resources(time_min=2)}, "resources.time_min: must be 5 or more for slurm, got 2"),
        ({"resources": Resources(gpus=3, nodes=2)}, "resources.gpus: must be a multiple of nodes (2), got 3"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_in_one_line(slurm, tmp_path, ticket, line):
    with pytest.raises(InvalidJob) as refused:
        executor(tmp_path).check(Ticket(name="test", **ticket))
    (mistake,) = refused.value.mistakes
    assert line in mistake


def test_what_is_refused_in_the_end_has_failed(slurm, tmp_path):
    (folder,) = make(tmp_path / "queue", 1, options={"partition": "gone"})
    driver = executor(tmp_path / "queue")
    driver.submit([folder])
    assert driver.tick() == []
    assert result(folder)["status"] == "failed"
    assert result(folder)["reason"].startswith("SLURM refused it: invalid partition specified: gone")


def test_without_slurm_or_submitit_it_is_said_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidJob, match=r"there is no sbatch here; .*apt-get install slurm-wlm munge"):
        executor(tmp_path).check(Ticket(name="test"))
    for name in ("sbatch", "squeue"):
        shutil.copy(sys.executable, tmp_path / name)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InvalidJob, match=r"pip install 'espalier-nas\[slurm\]'"):
        executor(tmp_path).check(Ticket(name="test"))


@pytest.mark.parametrize(
    ("sequence", "expected"), [(["17_0|RUNNING|a|None|n"], "RUNNING"), (["17_0|CANCELLED by 7|a"], "CANCELLED")]
)
def test_states_of_squeue_and_sacct_are_read(sequence: Sequence[str], expected):
    from service.queue.executors.slurm_states import read_states

    assert read_states("\n".join([*sequence, "", "no line", "17_[1-3]|PENDING|"])).keys() == {"17_0"}
    assert read_states(sequence[0])["17_0"].state == expected
