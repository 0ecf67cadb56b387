"""The figures of `benchmarks.gpu` that whole commands give."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gpu_figures import Figure, Setting

METHODS = "uniform,fair,pa_da,gm,few_shot"
TINY = [
    *("train.epochs=1", "search.evaluations=4", "search.population=4", "latency.repeats=5", "latency.warmup_s=0.02"),
    *("search.calibration_examples=50", "space.options.stage_widths=[8, 16]", "space.options.strides=[1, 2]"),
]
GOALS = {"quickstart": "<= 40", "cifar10": "<= 150"}


class NotMeasured(RuntimeError):
    """Something is missing that a section needs, or it takes longer than there is time; the message says what."""


def commands(setting: Setting) -> Iterator[Figure]:
    """Yield how long whole jobs take from the start of the command, its imports included."""
    for recipe in ("quickstart", *(["cifar10"] if setting.data else [])):
        sets = [f"device={setting.device.type}", "tracking.enabled=false", *setting.pick([], TINY)]
        arguments = ["--data", str(setting.data)] if recipe == "cifar10" else []
        start = time.monotonic()
        folder = setting.output / f"{recipe}-{os.getpid()}"
        nas("run", recipe, "--output", str(folder), *arguments, sets=sets, seconds=600.0)
        seconds = time.monotonic() - start
        yield Figure(name=f"nas run {recipe}", value=seconds, unit="s", goal=GOALS[recipe])
        for stage, taken in stages(folder).items():
            yield Figure(name=f"nas run {recipe}: {stage}", value=taken, unit="s")
    if not setting.data and not setting.tiny:
        print("commands: nas run cifar10 needs --data")


def stages(folder: Path) -> dict[str, float]:
    """Return the seconds of each stage of a job, from its events."""
    events = map(json.loads, (folder / "progress.jsonl").read_text(encoding="utf-8").splitlines())
    ended = [event for event in events if event.get("event") == "stage" and event.get("status") == "finished"]
    return {event["stage"]: event["seconds"] for event in ended}


def ranking(setting: Setting) -> Iterator[Figure]:
    """Yield how well supernets of NAS-Bench-201 rank cells, trained in several ways as published."""
    if setting.table is None or setting.data is None:
        raise NotMeasured("it needs --table (accuracies of NAS-Bench-201) and --data (CIFAR-10)")
    folder = setting.output / f"ranking-{setting.epochs:g}"
    arguments = ["--table", str(setting.table), "--column", setting.column, "--data", str(setting.data)]
    arguments += ["--methods", METHODS, "--epochs", f"{setting.epochs:g}", "--seeds", "2", "--archs", "1000"]
    start = time.monotonic()
    nas(
        *("benchmark", "ranking", "pa_da_nasbench201", *arguments, "--output", str(folder)),
        sets=[f"device={setting.device.type}", "tracking.enabled=false"],
        seconds=setting.end - time.monotonic(),
    )
    yield Figure(name=f"{setting.epochs:g} epochs, last start", value=(time.monotonic() - start) / 60, unit="minutes")
    for path in sorted(folder.rglob("ranking.json")):
        metrics = json.loads(path.read_text(encoding="utf-8"))["metrics"]
        goal = ">= 0.7" if "pa_da" in path.parent.name and setting.epochs >= 250 else ""
        yield Figure(name=f"tau of {path.parent.name}", value=metrics["ranking/kendall"], unit="tau", goal=goal)


def nas(*arguments: str, sets: list[str], seconds: float) -> None:
    """Run the command `nas`.

    Raises:
        NotMeasured: It takes longer, or it fails.
    """
    settings = [part for setting in sets for part in ("--set", setting)]
    command = [sys.executable, "-m", "service.cli", *arguments, *settings]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotMeasured(f"`nas {' '.join(arguments)}` is cut off after {seconds:.0f} s") from error
    if done.returncode:
        raise NotMeasured(f"`nas {' '.join(arguments)}` fails: {(done.stderr or done.stdout).strip()[-500:]}")
