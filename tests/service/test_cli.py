"""The command line as a person meets it: help that teaches, one line for each mistake, progress in plain lines."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from service.cli import app
from service.report.text import duration
from service.run.progress import ProgressDisplay

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    *("run", "train", "search", "profile", "retrain", "export", "score"),
    *("list", "show", "ui", "sync", "compare", "report"),
]
TINY = [
    *("train.epochs=0.2", "search.evaluations=8", "search.population=4", "search.calibration_examples=64"),
    *("space.options.stage_widths=[8, 16]", "space.options.strides=[1, 2]", "space.options.stem_width=8"),
]
FAST = ["latency.repeats=5", "latency.warmup_s=0", "latency.min_time_ms=0", "tracking.enabled=false"]


def nas(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), prog_name="nas", env={"COLUMNS": "100", "TERM": "dumb"})


def lines_of_failure(result: Result, status: int = 2) -> list[str]:
    assert result.exit_code == status, result.output
    lines = result.stderr.splitlines()
    assert lines
    assert all(line.startswith("nas: ") for line in lines), result.stderr
    assert "Traceback" not in result.output
    return lines


def settings(*sets: str) -> list[str]:
    return [part for setting in sets for part in ("--set", setting)]


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- help -----------------------------------------------------------------------------------------------------------


def test_alone_it_prints_help_with_every_command() -> None:
    result = nas()
    assert result.exit_code == 0
    assert all(command in result.stdout for command in COMMANDS)
    assert "nas run my.yaml --set train.epochs=50" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_by_examples(command: str) -> None:
    result = nas(command, "--help")
    assert result.exit_code == 0
    assert "Examples" in result.stdout
    assert f"nas {command}" in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 100


@pytest.mark.integration
def test_help_imports_nothing_heavy() -> None:
    code = "import sys, service.cli; print([m for m in ('torch', 'mlflow', 'timm', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version() -> None:
    assert nas("--version").stdout.startswith("espalier ")


# ---- list and show --------------------------------------------------------------------------------------------------


def test_list_names_everything_or_one_kind() -> None:
    everything = nas("list").stdout
    assert "path_adaptive" in nas("list", "sampler").stdout
    assert all(name in everything for name in ("quickstart", "small_mobilenet_v3", "nsga2", "latency_ms"))
    assert {"tangled", "pa_da+gm"} <= set(nas("list", "method").stdout.split())
    assert {"drnas", "amended"} <= set(everything.split())
    assert nas("list", "spaces").stdout == nas("list", "space").stdout
    assert "nsga2" not in nas("list", "space").stdout
    (line,) = lines_of_failure(nas("list", "spce"))
    assert "did you mean space?" in line
    assert "recipe" in line


def test_show_prints_recipes_as_they_are() -> None:
    assert nas("show", "quickstart").stdout == (ROOT / "service" / "recipes" / "quickstart.yaml").read_text()


def test_a_shown_job_file_is_complete_and_can_be_read_again(in_empty_folder: Path) -> None:
    (in_empty_folder / "my.yaml").write_text("name: my\nspace: {name: small_mobilenet_v3}\n")
    shown = nas("show", "my.yaml")
    assert "checkpoint_every_s: 30.0" in shown.stdout
    (in_empty_folder / "full.yaml").write_text(shown.stdout)
    assert nas("show", "full.yaml").stdout == shown.stdout


def test_show_space_gives_size_and_options() -> None:
    shown = nas("show", "small_mobilenet_v3").stdout
    assert "549,353,259" in shown
    assert "stage_widths" in shown


def test_show_of_nothing_known_suggests() -> None:
    (line,) = lines_of_failure(nas("show", "quikstart"))
    assert "did you mean quickstart?" in line


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm:", "nas: show: timm: must name a model after the colon, such as timm:resnet18, or package.module:"),
        ("darts:resnet18", "nas: show: darts is not read off a model, got 'darts:resnet18'; see nas show darts"),
        ("tim:resnet18", "did you mean timm:resnet18 or "),
        ("resnet18", "did you mean timm:resnet18 or "),
    ],
)
def test_show_of_a_model_says_how_it_is_named(name: str, said: str) -> None:
    (line,) = lines_of_failure(nas("show", name))
    assert said in line


# ---- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "train", "profile"])
def test_all_mistakes_of_a_job_are_printed_and_no_folder_is_made(command: str, in_empty_folder: Path) -> None:
    bad = settings("train.epochs=-1", "search.searcher=nsga4", "train.epoch=5")
    lines = lines_of_failure(nas(command, "quickstart", *bad))
    assert [line.split(": ")[1] for line in lines] == ["--set 'train.epoch=5'", "train.epochs", "search.searcher"]
    assert not list(in_empty_folder.iterdir())


def test_unwritable_output(in_empty_folder: Path) -> None:
    (in_empty_folder / "file").touch()
    (line,) = lines_of_failure(nas("run", "quickstart", "--output", "file/job"))
    assert "--output: cannot write in file/job" in line


def test_device_is_checked_like_any_field() -> None:
    (line,) = lines_of_failure(nas("run", "--device", "gpu"))
    assert line.startswith("nas: device: must be auto, cpu, cuda or cuda:N, got 'gpu'")


def test_search_needs_a_trained_supernet(in_empty_folder: Path) -> None:
    for arguments in ([], ["quickstart"]):
        (line,) = lines_of_failure(nas("search", *arguments))
        assert "--from" in line
    (line,) = lines_of_failure(nas("search", "quickstart", "--from", "gone"))
    assert "gone" in line
    assert "nas train" in line
    assert not list(in_empty_folder.iterdir())


@pytest.mark.parametrize("command", ["retrain", "sync", "show"])
def test_commands_on_a_folder_say_what_it_lacks(command: str, in_empty_folder: Path) -> None:
    (in_empty_folder / "job").mkdir()
    (line,) = lines_of_failure(nas(command, "job"))
    assert "job: holds no job.json" in line


def test_faults_of_the_program_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("a fault")

    monkeypatch.setattr("service.job.loading.load_job", broken)
    result = nas("run")
    assert isinstance(result.exception, ValueError)


# ---- running --------------------------------------------------------------------------------------------------------


def test_a_job_runs_in_parts_that_start_from_each_other(in_empty_folder: Path) -> None:
    pytest.importorskip("service.run.run")
    trained = nas("train", "quickstart", "--output", "job", *settings(*TINY, *FAST))
    assert trained.exit_code == 0, trained.output
    assert "nas run job" in trained.stdout
    assert "no front yet" in lines_of_failure(nas("show", "job"))[0]
    finished = nas("run", "job")
    assert finished.exit_code == 0, finished.output
    assert "Pareto front" in finished.stdout
    other = nas("search", "--from", "job", "--output", "other", *settings("search.searcher=random"))
    assert other.exit_code == 0, other.output
    assert not (in_empty_folder / "other" / "supernet.safetensors").exists()
    assert json.loads((in_empty_folder / "other" / "job.json").read_text())["job"]["search"]["searcher"] == "random"
    (line,) = lines_of_failure(nas("retrain", "job", "--member", "0123456789"))
    assert "'0123456789' is not on the front" in line
    profiled = nas("profile", "job")
    assert profiled.exit_code == 0, profiled.output
    assert "95 % interval" in profiled.stdout
    first, field = lines_of_failure(nas("run", "job", *settings("seed=3")))
    assert "another job" in first
    assert "seed: 0 there, 3 now" in field


@pytest.mark.integration
def test_an_interrupted_job_says_how_to_go_on(in_empty_folder: Path) -> None:
    pytest.importorskip("service.run.run")
    long = settings(*FAST, "train.epochs=100")  # it must not end by itself before it is interrupted
    command = [sys.executable, "-m", "service.cli", "train", "quickstart", "--output", "job", *long]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a background job of a shell ignores Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 500
    progress = in_empty_folder / "job" / "progress.jsonl"
    # while PyTorch is imported, an interruption ends Python by the signal: 130 for a shell, but not here
    while not (progress.exists() and '"loss"' in progress.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=500)
    assert process.returncode == 130
    assert errors.strip() == "nas: interrupted; `nas train job` goes on where it stopped"


# ---- progress -------------------------------------------------------------------------------------------------------


def rendered(events: list[dict[str, object]], step_s: float, *, terminal: bool = False) -> list[str]:
    stream, now = io.StringIO(), [0.0]
    console = Console(file=stream, width=120, force_terminal=terminal)
    with ProgressDisplay(console, clock=lambda: now[0]) as display:
        for event in events:
            display(event)
            now[0] += step_s
    return stream.getvalue().splitlines()


def training(step: int, steps: int = 100) -> dict[str, object]:
    return {"event": "train", "phase": "width 1", "step": step, "steps": steps, "epoch": 2, "loss": 1.5}


def test_plain_progress_is_a_line_now_and_then_with_time_left() -> None:
    lines = rendered([training(step) for step in range(0, 101, 2)], step_s=1.0)
    assert 5 <= len(lines) <= 8, lines
    assert lines[1] == "training the supernet: 20/100, width 1, epoch 2, loss 1.500, 40 s left"
    assert lines[-1].startswith("training the supernet: 100/100")


def test_each_phase_of_a_training_has_a_speed_of_its_own() -> None:
    fast = [{**training(step), "phase": "adapt"} for step in range(0, 50, 10)]
    lines = rendered([*fast, *(training(step) for step in range(50, 101, 2))], step_s=10.0)
    assert lines[4] == "training the supernet: 40/100, adapt, epoch 2, loss 1.500, 1 min 0 s left"
    assert lines[5] == "training the supernet: 50/100, width 1, epoch 2, loss 1.500"
    assert lines[6].endswith("52/100, width 1, epoch 2, loss 1.500, 4 min 0 s left")


def test_time_left_is_right_after_a_resume() -> None:
    lines = rendered([training(step) for step in range(80, 101, 2)], step_s=10.0)
    assert "90 s left" not in lines[1]
    assert lines[1].endswith("1 min 30 s left"), lines


def test_the_steps_of_each_part_of_a_split_supernet_are_said() -> None:
    stages = [{"parts": 1, "steps": 4431}, {"parts": 5, "steps": 379}]
    plan = {"event": "split_plan", "step": 0, "passes": 7020, "scoring": 690, "repeats": 23, "stages": stages}
    (line,) = rendered([plan], step_s=1.0)
    assert line == (
        "splits: the whole 4,431 steps, then each of 5 parts 379, choices compared on 23 batches (10 % of the passes)"
    )


def test_a_validation_of_a_part_says_qualities_only() -> None:
    event = {"event": "validate", "step": 20, "unit": "%", "largest": 70.0, "part": 1, "leaf": 0, "leaves": 2}
    assert rendered([event], step_s=1.0) == ["validation at step 20: largest 70.0 %"]


EXAMPLES = {"effective_fraction": 0.8, "mean_indicator": 0.3}


@pytest.mark.parametrize("terminal", [False, True])
def test_every_event_can_be_shown(terminal: bool) -> None:
    best = {"name": "accuracy", "value": 91.0, "unit": "%"}
    events: list[dict[str, object]] = [
        {"event": "stage", "stage": "train", "status": "started"},
        training(1),
        {"event": "validate", "step": 1, "unit": "%", "largest": 90.0, "smallest": 70.0, "random": 80.0},
        {"event": "rollback", "step": 1, "reason": "loss is not finite", "lr_scale": 0.5},
        {"event": "warning", "message": "MLflow [is] away"},
        {"event": "sampler", "epoch": 3, "probabilities": {"none": 0.1, "conv": 0.9}, "examples": EXAMPLES},
        {"event": "sampler", "epoch": 4, "examples": EXAMPLES},
        {"event": "stage", "stage": "train", "status": "finished", "seconds": 61.0},
        {"event": "search", "done": 1, "total": 2, "front": 1, "best_quality": best},
        {"event": "search", "done": 0, "total": 2, "front": 0, "best_quality": None},
        {"event": "measure", "done": 0, "total": 3},
        {"event": "test", "done": 3, "total": 3},
        {"event": "retrain", "member": "0a1b", "done": 0, "total": 2, "step": 5, "steps": 10, "loss": 0.5},
        {"event": "export", "member": "0a1b", "format": "pt2", "done": 1, "total": 3},
        {"event": "unheard of"},
    ]
    text = "\n".join(rendered(events, step_s=20.0, terminal=terminal))
    assert "sampling after epoch 3: conv 0.90, none 0.10, effective part of the examples 0.80" in text
    for part in (
        "largest 90.0 %",
        "loss is not finite",
        "MLflow [is] away",
        "1 min 1 s",
        "searching",
        "fine-tuning",
        "pt2",
    ):
        assert part in text


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.0, 61, 3700)] == ["0 s", "59 s", "1 min 1 s", "1 h 1 min"]
