"""What a job records of itself: MLflow that comes and goes, and the load of the machine."""

import time

import pytest

from service.job.folder import read_json, read_lines
from service.run import events as events_module
from service.run.events import Events, stage_seconds
from service.run.machine_load import _handles, sampled, visible_gpus
from service.tracking.format import status_of
from service.tracking.sync import SyncResult
from supernets import Processes
from tests.service.synthetic_job import append_lines, start_job, train


class Job:
    """What events ask of a job."""

    class tracking:
        enabled = True


class Server:
    """A mirror that works where it is told to, and notes its calls."""

    def __init__(self, *, works):
        self.works, self.calls = works, []

    def __call__(self, folder, config, *, final):
        self.calls.append(final)
        return SyncResult(uri="u", experiment="e", error=None if self.works else "ConnectionError: away")


@pytest.fixture
def recorded(tmp_path):
    events = []

    def make(mirror):
        return Events(start_job(tmp_path), Job, events.append, Processes(), mirror), events

    return make


def messages(events):
    return [event["message"].partition(" (")[0] for event in events if event["event"] == "warning"]


def test_server_that_is_away_is_tried_again_ever_more_rarely_and_said_once(recorded):
    server = Server(works=False)
    log, events = recorded(server)
    pauses = []
    for _ in range(8):
        log.sync()
        pauses.append(log.pause_s)
    assert pauses == [40, 80, 160, 320, 600, 600, 600, 600]
    assert messages(events) == ["MLflow is not reached"]
    server.works = True
    log.sync()
    assert log.pause_s == 20
    assert messages(events) == ["MLflow is not reached", "MLflow is reached again"]


def test_events_sync_when_it_is_time_and_not_before(recorded, monkeypatch):
    server = Server(works=True)
    log, _ = recorded(server)
    log({"event": "train", "time": 0.0})
    assert server.calls == []
    log.next_sync = time.monotonic() - 1
    log({"event": "train", "time": 0.0})
    log({"event": "train", "time": 0.0})
    assert server.calls == [False]


def test_slow_server_costs_a_twentieth_of_the_time(recorded, monkeypatch):
    log, _ = recorded(Server(works=True))
    clock = iter([100.0, 103.0])
    monkeypatch.setattr(events_module.time, "monotonic", lambda: next(clock))
    log.sync()
    assert log.pause_s == 60


def test_job_without_a_mirror_records_in_its_folder_alone(recorded, tmp_path):
    log, events = recorded(None)
    with pytest.raises(RuntimeError), log.closing():
        raise RuntimeError("broken")
    assert [event["event"] for event in read_lines(tmp_path / "progress.jsonl")[0]] == ["failed"]
    assert [event["event"] for event in events] == ["failed"]


def test_load_of_the_machine_is_sampled_until_the_work_is_over(recorded, tmp_path):
    log, events = recorded(None)
    with sampled(log.keep, created_s=time.time() - 100, every_s=0.05):
        deadline = time.monotonic() + 500
        while len(read_lines(tmp_path / "progress.jsonl")[0]) < 3:
            assert time.monotonic() < deadline
            sum(i * i for i in range(10_000))
    samples, _ = read_lines(tmp_path / "progress.jsonl")
    assert events == []  # nobody is told
    assert all(sample["step"] >= 100 for sample in samples)
    values = samples[-1]["values"]
    assert 0 < values["cpu_utilization_percentage"] <= 100
    assert values["process_cpu_percentage"] > 0
    assert 1 < values["process_memory_megabytes"] < values["system_memory_usage_megabytes"]
    assert 0 < values["system_memory_usage_percentage"] < 100
    time.sleep(0.2)
    assert len(read_lines(tmp_path / "progress.jsonl")[0]) == len(samples)


def test_samples_change_neither_the_status_nor_the_times_of_a_job(tmp_path):
    job = train(start_job(tmp_path), range(1, 3))
    append_lines(job / "progress.jsonl", {"event": "stage", "time": 10.0, "stage": "train", "status": "started"})
    append_lines(job / "progress.jsonl", {"event": "failed", "time": 20.0, "reason": "broken"})
    before = stage_seconds(job)
    append_lines(job / "progress.jsonl", {"event": "system", "time": 5000.0, "step": 1, "values": {}})
    assert status_of(job, final=True) == "FAILED"
    assert stage_seconds(job) == before
    assert read_json(job / "job.json")


def test_there_is_no_gpu_where_none_may_be_used(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []


class Nvml:
    """NVIDIA's library on a machine with four GPUs."""

    class NVMLError(Exception):
        pass

    def nvmlDeviceGetCount(self):
        return 4

    def nvmlDeviceGetHandleByIndex(self, index):
        if index > 3:
            raise self.NVMLError
        return index

    def nvmlDeviceGetHandleByUUID(self, name):
        if name != "GPU-b":
            raise self.NVMLError
        return 1


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, [0, 1, 2, 3]),
        ("2,0", [2, 0]),
        ("GPU-b", [1]),
        ("3, GPU-b,9,0", [3, 1]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_gpus_are_those_that_cuda_shows_in_its_order(visible, seen):
    assert _handles(Nvml(), visible) == seen


@pytest.mark.gpu
def test_gpu_that_works_is_seen_working():
    torch = pytest.importorskip("torch")
    pytest.importorskip("pynvml")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    matrix = torch.rand(8192, 8192, device="cuda")
    end = time.monotonic() + 2
    while time.monotonic() < end:
        matrix = (matrix @ matrix).clamp(0, 1)
        torch.cuda.synchronize()
    values = visible_gpus()[torch.cuda.current_device()]()
    assert values["memory_usage_megabytes"] > 256
    assert values.get("utilization_percentage", 100) > 0
