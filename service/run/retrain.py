"""Fine-tuning of the front of a finished job."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from nas.objectives import top1_percent
from nas.retraining import retrain as retrain_subnet
from service.job.device import torch_device
from service.job.folder import write_json, write_whole
from service.job.job import Job
from service.job.observer import Observer
from service.job.preparation import front_members
from service.run.context import EVALUATION_BATCH, Work, save_weights
from service.run.events import Recorder
from supernets import Processes, Supernet, TrainConfig, calibrate


def retrain(
    folder: Path,
    job: Job,
    observer: Observer,
    *,
    members: Sequence[str] | None = None,
    epochs: float | None = None,
    lr: float | None = None,
    supernet_from: Path | None = None,
) -> list[dict[str, Any]]:
    """Fine-tune front members of a finished job from their inherited weights; returns one record a member.

    Args:
        folder: The finished job; results go to ``retrain/KEY`` inside it.
        job: Of the folder.
        observer: Receives the events of every training, with `member`, `done` and `total` added.
        members: Keys; all of them by default.
        epochs: By default as many as the supernet was trained for.
        lr: Peak rate; a fifth of the supernet's by default.
        supernet_from: Job folder of the supernet that the front was found in, where it is another one.

    Raises:
        InvalidJob: There is no trained supernet.
    """
    chosen = [member for member in front_members(folder) if members is None or member["key"] in members]
    config = replace(job.train, epochs=epochs or job.train.epochs, lr=lr or job.train.lr / 5, ema_decay=None)
    device = torch_device(job.device)
    quiet = replace(job, tracking=replace(job.tracking, enabled=False))
    # data and supernet are loaded when the first member needs them, and once for all
    work = Work(folder, quiet, device, Recorder(folder, quiet, observer, Processes()), Processes(), supernet_from)
    work.require_supernet()
    records = []
    for i, member in enumerate(chosen):
        place = folder / "retrain" / member["key"]
        progress = {"event": "retrain", "member": member["key"], "done": i, "total": len(chosen)}
        observer(progress)
        if not (place / "result.json").exists():
            place.mkdir(parents=True, exist_ok=True)
            write_json(place / "result.json", _retrain_one(work, member, config, place, progress))
        records.append(json.loads((place / "result.json").read_text()))
    observer({"event": "retrain", "member": "", "done": len(chosen), "total": len(chosen)})
    write_json(folder / "retrain" / "retrain.json", records)
    return records


def adopt_front(folder: Path, source: Path) -> None:
    """Takes the front of another job over into a folder where it will be retrained.

    Raises:
        InvalidJob: That job has no front.
    """
    front_members(source)
    if not (folder / "front.json").exists():
        write_whole(folder / "front.json", (source / "front.json").read_bytes())


def _retrain_one(
    work: Work, member: dict[str, Any], config: TrainConfig, place: Path, progress: dict[str, Any]
) -> dict[str, Any]:
    architecture = work.space.architecture(member["architecture"])

    def calibrated(supernet: Supernet) -> nn.Module:
        images = work.job.search.calibration_images
        return calibrate(supernet.extract(architecture), work.calibration_batches(images))

    def validate(supernet: Supernet) -> dict[str, float]:
        return {"accuracy": top1_percent(calibrated(supernet), work.data.validation.sequential(EVALUATION_BATCH))}

    def record(event: dict[str, Any]) -> None:
        work.recorder.observer({**event, **progress} if event["event"] == "train" else event)
        if event["event"] == "validate":
            with open(place / "curve.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")

    tuned = retrain_subnet(
        work.supernet,
        architecture,
        work.data.train,
        config,
        seed=work.job.seed,
        folder=place,
        observer=record,
        validate=validate,
    )
    subnet = calibrated(tuned)
    save_weights(subnet, place / "weights.safetensors")
    return {
        "key": member["key"],
        "macs": member["values"]["macs"],
        "epochs": config.epochs,
        "lr": config.lr,
        "inherited_accuracy": member["values"].get("accuracy"),
        "retrained_accuracy": top1_percent(subnet, work.data.validation.sequential(EVALUATION_BATCH)),
        "inherited_test_accuracy": member["test_quality"],
        "retrained_test_accuracy": top1_percent(subnet, work.data.test.sequential(EVALUATION_BATCH)),
        "curve": _curve(place / "curve.jsonl"),
    }


def _curve(path: Path) -> list[tuple[int, float]]:
    """Validation accuracy after each step that was looked at; a resumed training repeats some steps."""
    events = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return sorted({event["step"]: event["accuracy"] for event in events}.items())
