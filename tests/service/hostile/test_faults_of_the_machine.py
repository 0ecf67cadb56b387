"""A disk that fills, and a training that diverges, end in one line; the job goes on from what it has."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.job.folder import read_events, write_json
from supernets.whole_file import LineFile, append_line, unfinished, written_whole
from tests.service.hostile.small_job import JOB, nas, require_clean


def test_a_diverging_training_ends_with_its_message(tmp_path):
    train = {**JOB["train"], "epochs": 20, "lr": 1e9}
    write_json(tmp_path / "job.json", {**JOB, "train": train})
    lines = require_clean(nas("run", tmp_path / "job.json", "--output", tmp_path / "job"), codes=(2,))
    assert lines[0].startswith("nas: training diverges: loss ")
    assert f"train.lr is 1e+09, try it in a folder of its own: nas run {tmp_path / 'job'} --set train.lr=" in lines[0]


def test_half_a_line_of_a_log_harms_no_other_line(tmp_path):
    log = tmp_path / "progress.jsonl"
    log.write_bytes(b'{"event": "a", "time": 1}\n{"event": "b", "ti')
    append_line(log, json.dumps({"event": "c", "time": 2}))
    events, end = read_events(log)
    assert [event["event"] for event in events] == ["a", "c"]
    assert end == log.stat().st_size


def test_a_line_that_is_not_whole_is_taken_back(tmp_path):
    with LineFile(Path("/dev/full")) as full, pytest.raises(OSError, match="No space left") as caught:
        full.append("line")
    assert caught.value.filename == "/dev/full"
    assert caught.value.errno == errno.ENOSPC


def test_a_file_that_fails_leaves_the_old_one_and_nothing_beside_it(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fill() -> None:
        with written_whole(path) as file:
            file.write(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space") as caught:
        fill()
    assert caught.value.filename == str(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_what_a_killed_writer_left_is_found_and_what_a_running_one_writes_is_not(tmp_path):
    (tmp_path / "below").mkdir()
    for name in (".a.json.999999999.part", f".b.json.{os.getppid()}.part", "c.part", "below/.writing-model.onnx"):
        (tmp_path / name).touch()
    assert sorted(path.name for path in unfinished(tmp_path)) == [".a.json.999999999.part", ".writing-model.onnx"]


@pytest.mark.integration
@pytest.mark.parametrize(
    "kilobytes", [60, *(pytest.param(size, marks=pytest.mark.slow) for size in (16, 30, 100, 200, 300, 1000, 4000))]
)
def test_a_small_disk_that_fills(tmp_path, kilobytes):
    """On a file system of its own, where the machine lets us have one."""
    write_json(tmp_path / "small.json", JOB)
    (tmp_path / "disk").mkdir()
    command = f"{sys.executable} -m service.cli run {tmp_path}/small.json --output {tmp_path}/disk/job"
    script = (
        f"mount -t tmpfs -o size={kilobytes}k tmpfs {tmp_path}/disk || exit 77; {command} >/dev/null; echo $? >&2;"
        f"mount -o remount,size=100m {tmp_path}/disk; exec {command}"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no file system of our own here: {done.stderr}")
    line, code, *more = done.stderr.splitlines()
    assert line.startswith("nas: ")
    assert "No space left on device" in line
    assert (code, more) == ("2", [])
    assert done.returncode == 0, done.stdout
