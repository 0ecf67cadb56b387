"""``python -m tests.service.hostile.fuzz FOLDER NUMBER [FIRST]``: commands on what random changes made of their files.

Change number N is drawn from the seed N alone, so one that failed is made again by `FOLDER 1 N`. A line is printed for
each that ends with a traceback, takes longer than 10 s of processor time, or ends with another code than 0 and 2.
"""

import csv
import json
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import yaml
from PIL import Image
from typer.testing import CliRunner

from service.cli import app
from tests.service.hostile.mutations import ODD, change_file, changed_bytes, changed_tree
from tests.service.hostile.small_job import JOB

LIMIT_S = 10  # of processor time: the machine may be busy
Command = list[object]


class TookTooLong(BaseException):
    """A command that goes on and on; nothing in it may take this for an error of its own."""


class Fuzz:
    """Changes files of all kinds and runs commands on them.

    Args:
        folder: To work in; `whole` in it is a folder with the finished small job in `job`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.whole = folder, folder / "whole"
        self.kinds: Sequence[Callable[[Path, random.Random], Command]] = (
            *(self.job_file, self.job_file, self.job_folder, self.job_folder, self.job_folder),
            *(self.latency_table, self.architectures, self.npz, self.image_folder, self.setting),
        )
        self.table: dict[str, Any] | None = None

    def tried(self, number: int) -> dict[str, Any] | None:
        """Make one change and run a command on it; return what was wrong."""
        draw = random.Random(number)
        place = self.folder / f"change-{number}"
        place.mkdir()
        kind = self.kinds[number % len(self.kinds)]
        command = [str(one) for one in kind(place, draw)]
        wrong = run(command)
        if wrong is None:
            shutil.rmtree(place, ignore_errors=True)
            return None
        return {"number": number, "kind": kind.__name__, "command": command, "wrong": wrong}

    # ---- kinds of changes -------------------------------------------------------------------------------------------

    def job_file(self, place: Path, draw: random.Random) -> Command:
        """A job file."""
        path, job = place / f"job.{draw.choice(('yaml', 'json'))}", draw.choice((JOB, WHOLE_JOB))
        if draw.random() < 0.75:
            job = changed_tree(job, draw)
        text = json.dumps(job) if path.suffix == ".json" else yaml.safe_dump(job)
        content = text.encode("utf-8", "surrogatepass")
        path.write_bytes(changed_bytes(content, draw) if draw.random() < 0.35 else content)
        return ["show", path]

    def setting(self, place: Path, draw: random.Random) -> Command:
        """A setting of a command line."""
        fields = ["train.epochs", "search.objectives", "space.options.depths", "latency.repeats", "data.image_size"]
        fields += ["search.constraints.macs", "space.name", "train.sampler", "search.searcher", "data.source", "x.y"]
        value = draw.choice([json.dumps(odd) for odd in ODD] + [str(odd) for odd in ODD])
        text = f"{draw.choice(fields)}{draw.choice(('=', '=', '=', '', '=='))}{value}".replace("\0", "")
        (place / "job.json").write_text(json.dumps(JOB))
        return ["profile", place / "job.json", "--samples", "0", "--set", text]

    def job_folder(self, place: Path, draw: random.Random) -> Command:
        """The folder of a finished job."""
        job = place / "job"
        shutil.copytree(self.whole / "job", job, symlinks=True)
        files = sorted(path for path in job.rglob("*") if path.is_file() and path.suffix not in (".png", ".html"))
        for path in draw.sample(files, draw.choice((1, 1, 2))):
            change_file(path, draw)
        return draw.choice((
            *(["run", job], ["show", job], ["report", job], ["compare", job, self.whole / "job", "--anyway"]),
            *(["export", job, "--all", "--format", "safetensors"], ["retrain", job, "--epochs", "0.05"]),
            *(["search", "--from", job, "--output", place / "search"], ["profile", job], ["sync", job]),
        ))  # fmt: skip

    def latency_table(self, place: Path, draw: random.Random) -> Command:
        """A latency table."""
        path = place / "table.json"
        if not (self.folder / "table.json").exists():
            done = ["profile", self.whole / "small.json", "--table", self.folder / "table.json", "--networks", "8"]
            assert run([str(one) for one in [*done, "--held-out", "2", "--minutes", "0.02"]]) is None
        shutil.copy(self.folder / "table.json", path)
        change_file(path, draw)
        (place / "job.json").write_text(json.dumps({**JOB, "latency": {**JOB["latency"], "table": str(path)}}))
        return ["show", place / "job.json"]

    def architectures(self, place: Path, draw: random.Random) -> Command:
        """A table of architectures, by strings of published benchmarks."""
        cells = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
        rows = []
        for _ in range(3):
            ops = [draw.choice(cells) for _ in range(6)]
            text = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*ops)
            if draw.random() < 0.7:
                text = changed_bytes(text.encode(), draw).decode("latin-1").replace("\0", "")
            rows.append([text, draw.random()])
        path = place / "archs.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["arch_str", "accuracy"], *rows])
        if draw.random() < 0.3:
            path.write_bytes(changed_bytes(path.read_bytes(), draw))
        space = ["--space", "nasbench201", "--set", "data.image_size=8"]
        return ["score", *space, "--proxy", "params", "--archs", path, "--output", place / "scores.csv"]

    def npz(self, place: Path, draw: random.Random) -> Command:
        """Images as arrays."""
        generator = np.random.default_rng(draw.randrange(2**32))
        shapes = ((60, 8, 8), (60, 8, 8, 3), (60, 3, 8, 8), (0, 8, 8), (60,), (60, 8, 8, 5), (1, 8, 8, 3))
        kinds = (np.uint8, np.uint8, np.float32, np.float64, np.int64, np.uint16, np.bool_, np.complex64)
        images = (generator.random(draw.choice(shapes)) * draw.choice((255, 1, 70000))).astype(draw.choice(kinds))
        labels: Any = generator.integers(0, draw.choice((1, 2, 10)), draw.choice((60, 60, 59, 0))).astype(
            draw.choice((np.int64, np.uint8, np.float64, np.str_))
        )
        names = draw.choice((("x_train", "y_train"), ("images", "labels"), ("x", "y"), ("data", "targets")))
        path = place / "images.npz"
        np.savez(path, **{names[0]: images, names[1]: labels})
        if draw.random() < 0.5:
            path.write_bytes(changed_bytes(path.read_bytes(), draw))
        return ["check", path]

    def image_folder(self, place: Path, draw: random.Random) -> Command:
        """Images as files in folders."""
        root = place / "images"
        for name in draw.sample(["a", "b", "Train", "test", "val", ".hidden", "é", "c d"], draw.choice((1, 2, 3))):
            for number in range(draw.choice((0, 1, 12))):
                file = root / name / f"{number}.{draw.choice(('png', 'jpg', 'JPEG', 'txt', 'gif', 'bmp'))}"
                file.parent.mkdir(parents=True, exist_ok=True)
                mode, side = draw.choice(("RGB", "L", "RGB", "1")), draw.choice((1, 8, 40))
                kind = "JPEG" if file.suffix in (".jpg", ".JPEG") else "PNG"
                Image.new(mode, (side, draw.choice((1, 9))), draw.randrange(2)).save(file, format=kind)
                if draw.random() < 0.2:
                    change_file(file, draw)
        root.mkdir(exist_ok=True)
        return ["check", root]


def run(command: Sequence[str]) -> str | None:
    """Run a command in this process; return what was wrong with its end."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TookTooLong

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    try:
        done = CliRunner().invoke(app, list(command), prog_name="nas", env={"COLUMNS": "300"})
    except TookTooLong:
        return f"longer than {LIMIT_S} s: {traceback.format_exc()[-1500:]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return "".join(traceback.format_exception(done.exception))[-2500:]
    if done.exit_code not in (0, 2):
        return f"exit code {done.exit_code}: {done.output[-600:]}"
    return None


WHOLE_JOB: dict[str, Any] = {
    **JOB,
    "train": {"epochs": 2, "lr": 0.1, "batch_size": 32, "sampler": "sandwich", "ema_decay": 0.9},
    "search": {**JOB["search"], "searcher": "nsga2", "constraints": {"macs": "<= 1e7", "accuracy": ">= 1"}},
    "proxies": {"names": ["nwot"]},
    "task": {"name": "classification", "options": {}},
}


def main(folder: Path, number: int, first: int = 0) -> None:
    """Try so many changes; print those that failed, then a line with how many there were."""
    from tests.service.hostile.small_job import make

    (folder / "whole").mkdir(parents=True, exist_ok=True)
    if not (folder / "whole" / "job").exists():
        make(folder / "whole")
    fuzz, failed = Fuzz(folder), 0
    for one in range(first, first + number):
        wrong = fuzz.tried(one)
        if wrong is not None:
            failed += 1
            print(json.dumps(wrong), flush=True)
    print(json.dumps({"tried": number, "failed": failed}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
