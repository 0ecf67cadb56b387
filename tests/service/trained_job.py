"""The folder of a finished job with real networks on its front, made without training: weights are random."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from nas.data import DataConfig, load_data
from nas.objectives import top1_percent
from service.job.building import build_space
from service.job.folder import write_json
from service.job.job import Job, SpaceConfig
from service.job.preparation import save_job
from service.job.tracking import TrackingConfig
from service.run.weights import save_weights
from supernets import Supernet, calibrate

OPTIONS = {"stage_widths": [8, 12], "strides": [1, 2], "depths": [1, 2], "last_width": 16, "feature_width": 16}
LATENCY = {"device": "AMD EPYC", "backend": "torch 2.15 eager", "batch_size": 1, "threads": 1, "precision": "fp32"}


def trained_job(folder: Path, *, members: int = 2, tracking: TrackingConfig | None = None) -> Path:
    """A finished job on digits with this many members on its front."""
    job = Job(
        name="digits-demo",
        device="cpu",
        data=DataConfig(source="digits"),
        space=SpaceConfig(name="small_mobilenet_v3", options=OPTIONS),
        tracking=tracking or TrackingConfig(enabled=False),
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_job(job, folder)
    made = [_member(folder, job, seed) for seed in range(members)]
    objectives = [{"name": "accuracy", "unit": "%", "maximise": True, "bound": [None, None]}]
    write_json(folder / "front.json", {"objectives": objectives, "latency": LATENCY, "members": made, "dropped": []})
    write_json(folder / "result.json", {"status": "finished", "seconds": 1.0, "stages": {"train": 1.0}})
    return folder


def _network(job: Job, seed: int) -> tuple[Any, nn.Module, Any]:
    data, space = load_data(job.data, device=torch.device("cpu")), build_space(job)
    architecture = space.sample(np.random.default_rng(seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Supernet(space).extract(architecture)
    images = (images for images, _ in data.train.batches(100, epoch=0, seed=0))
    return architecture, calibrate(network, images), data


def _member(folder: Path, job: Job, seed: int) -> dict[str, Any]:
    architecture, network, data = _network(job, seed)
    weights = f"front/{architecture.key}.safetensors"
    (folder / "front").mkdir(exist_ok=True)
    save_weights(network, folder / weights)
    values = {"accuracy": top1_percent(network, data.validation.sequential(200)), "latency_ms": 1.5 + seed, "macs": 1}
    return {
        "key": architecture.key,
        "architecture": architecture.to_json(),
        "values": values,
        "intervals": {"latency_ms": [1.4 + seed, float("inf") if seed else 1.7]},
        "weights": weights,
        "test_quality": top1_percent(network, data.test.sequential(200)),
    }


def retrain_member(folder: Path, key: str) -> None:
    """What fine-tuning one member leaves: other weights, and their accuracies."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "front" / f"{key}.safetensors")
    place = folder / "retrain" / key
    place.mkdir(parents=True)
    save_file(
        {name: tensor * 1.25 if tensor.dim() == 4 else tensor for name, tensor in weights.items()},
        place / "weights.safetensors",
    )
    accuracies = {"retrained_quality": 88.0, "retrained_test_quality": 87.0}
    write_json(place / "result.json", {"key": key, "epochs": 3, "lr": 0.01, **accuracies})


def keys_of(folder: Path) -> list[str]:
    """The keys of the front."""
    return [member["key"] for member in json.loads((folder / "front.json").read_text())["members"]]
