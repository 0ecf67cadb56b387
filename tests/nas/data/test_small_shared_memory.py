"""Images are streamed also where /dev/shm is small or full, as in many containers."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.nas.data.pictures import write_folder
from tests.policy.modules import ROOT

pytestmark = pytest.mark.integration
PROGRAM = """
import sys
import torch
from nas.data import DataConfig, load_data
config = DataConfig(source="folder", path=sys.argv[1], in_memory=False, workers=2, image_size=64)
data = load_data(config, device=torch.device("cpu"))
batches = data.train.batches(32, epoch=0, seed=0)
print(sum(len(images) for images, _ in batches), *data.remarks, sep="\\n")
"""


def mounted(size: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command where /dev/shm has this size; other processes see nothing of it."""
    script = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"'
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *command],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        check=False,
    )


@pytest.mark.parametrize(("size", "told"), [("200k", ""), ("4k", "no room in /dev/shm for 2 processes")])
def test_batches_come_however_small_the_shared_memory_is(size: str, told: str):
    try:
        allowed = mounted("1m", "true").returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("mounting is not permitted here")
    with TemporaryDirectory(dir="/var/tmp") as place:  # the usual one may lie in /dev/shm, which is hidden here
        photos = write_folder(Path(place) / "photos", {"cat": 60, "dog": 60}, size=64)
        done = mounted(size, sys.executable, "-c", PROGRAM, str(photos))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "64"
    assert told in done.stdout
