"""Networks that teach: made of what a job names, or of what it kept when its largest network was adapted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nas.data import Data
from nas.data.kept_split import KeptSplit
from nas.export import restored
from search_spaces import Architecture
from search_spaces.errors import FieldError
from search_spaces.weights.teacher import OnOwnScale, timm_teacher
from service import catalogue
from service.job import teachers
from service.job.building import build_space
from service.job.folder import read_json
from service.job.front_file import read_front_file
from service.job.kept_data import SPLIT
from service.job.loading import load_job
from service.run.batches import EvaluationBatches
from supernets import Supernet, load_supernet
from supernets.calibration import calibrated_subnet
from supernets.supernet import read_metadata

_CALIBRATION = 1000  # training examples that set the batch norms of the largest network of a supernet


def named_teacher(teacher: str, checkpoint: str | None, *, supernet: Supernet, batches: EvaluationBatches) -> nn.Module:
    """Return the network that a text names, in evaluation mode, with outputs like those of the supernet.

    Args:
        teacher: What names it, see `TrainConfig.teacher`.
        checkpoint: File of the weights of a model of timm.
        supernet: Supernet whose networks are taught.
        batches: Batches of the data.

    Raises:
        FieldError: There is no such network, or its outputs differ.
    """
    data, found = batches.load(), teachers.named(teacher)
    teachers.check(teacher, checkpoint, data.facts)
    if found.kind == "timm":
        facts = {name: data.facts[name] for name in ("classes", "channels", "image_size") if name in data.facts}
        if "classes" not in facts:
            raise FieldError("teacher", f"{teacher} tells classes apart, the data have none")
        network = timm_teacher(teacher, checkpoint=checkpoint, preprocessing=data.preprocessing, **facts)
    elif found.kind == "own":
        network = _own(teacher, data)
    else:
        assert found.folder is not None
        network = _of_job(found.folder, Path(teacher).expanduser(), data, batches)
    _check_outputs(teacher, network, supernet)
    return network.eval()


def adapted_teacher(supernet: Supernet, path: Path) -> nn.Module | None:
    """Return the largest network as a job adapted it to its data, with its own batch-norm statistics.

    Args:
        supernet: The trained supernet.
        path: File that keeps it as it was before other networks were trained, if there were any.

    Returns:
        None where the largest network was never trained alone.
    """
    kept = load_supernet(supernet.space, path) if path.exists() else supernet
    if kept.own_statistics is None:
        return None
    return kept.extract(kept.own_statistics).eval()


def _own(target: str, data: Data) -> nn.Module:
    try:
        made = catalogue.call_own(target, {**data.facts, "preprocessing": data.preprocessing})
    except ValueError as error:
        raise FieldError("teacher", str(error)) from error
    if not isinstance(made, nn.Module):
        raise FieldError("teacher", f"{target} returned {type(made).__name__}, not a torch.nn.Module")
    return made


def _of_job(folder: Path, path: Path, data: Data, batches: EvaluationBatches) -> nn.Module:
    """Return a network of a finished job: its best one, or the one whose weights a file holds."""
    kept = KeptSplit.from_bytes((folder / SPLIT).read_bytes()) if (folder / SPLIT).is_file() else None
    theirs, ours = (() if kept is None else kept.classes), data.targets.get("classes", ())
    if theirs and ours and tuple(theirs) != tuple(map(str, ours)):
        raise FieldError(
            "teacher", f"{path} was trained for other classes: {_some(theirs)}; the data have {_some(ours)}"
        )
    if kept is not None:
        _check_files(kept, path, data)
    space = build_space(load_job(folder), kept.facts if kept is not None and kept.facts else None)
    file = path if path.is_file() else _best(folder)
    if "space" in read_metadata(file):
        supernet = load_supernet(space, file)
        network = calibrated_subnet(supernet, space.largest(), lambda: batches.calibration(_CALIBRATION))
    else:
        network = restored(space, space.architecture(_architecture(folder, file)), file)
    return network if kept is None else _on_their_scale(network, kept, data.preprocessing)


def _check_files(kept: KeptSplit, path: Path, data: Data) -> None:
    """Refuse a teacher whose inputs and outputs mean something else, such as other tokens."""
    for name, text in data.files.items():
        if kept.files.get(name, text) != text:
            raise FieldError("teacher", f"{path} was trained with another {name}: its numbers mean something else")


def _best(folder: Path) -> Path:
    """Return the file of the best network of a job: fine-tuned where that was done."""
    from service.report.job_report import best_by_quality

    front = read_front_file(folder)
    assert front is not None
    best = best_by_quality(front)
    retrained = folder / "retrain" / str(best["key"]) / "weights.safetensors"
    return retrained if retrained.is_file() else folder / str(best["weights"])


def _architecture(folder: Path, file: Path) -> Architecture:
    """Return the architecture whose weights a file in a job folder holds, by the key in its path."""
    members: Sequence[Mapping[str, Any]] = (read_json(folder / "front.json") or {}).get("members", [])
    for member in members:
        if member["key"] in (file.stem, file.parent.name):
            return Architecture.from_json(member["architecture"])
    raise FieldError("teacher", f"{file} holds no network of the front of {folder}")


def _on_their_scale(network: nn.Module, kept: KeptSplit, here: Mapping[str, Any]) -> nn.Module:
    there = kept.preprocessing
    same = all(there.get(name) == here.get(name) for name in ("mean", "std"))
    if same or not all({"mean", "std"} <= one.keys() for one in (there, here)):
        return network
    return OnOwnScale(network, (here["mean"], here["std"]), (there["mean"], there["std"]))


@torch.no_grad()
def _check_outputs(teacher: str, network: nn.Module, supernet: Supernet) -> None:
    """Refuse a teacher whose outputs have another shape than those that learn from it."""
    example = supernet.space.example()
    device = next(supernet.parameters()).device
    wanted = supernet.extract(supernet.space.smallest()).eval()(*(one.to(device) for one in example))
    try:
        given = network.cpu().eval()(*example)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise FieldError("teacher", f"{teacher} does not run on these examples: {line}") from error
    shapes = [list(one.shape[1:]) if isinstance(one, torch.Tensor) else type(one).__name__ for one in (given, wanted)]
    if shapes[0] != shapes[1]:
        raise FieldError("teacher", f"{teacher} gives {shapes[0]} for an example, the networks here give {shapes[1]}")


def _some(names: Sequence[Any]) -> str:
    return ", ".join(map(str, names[:5])) + (", ..." if len(names) > 5 else "")
