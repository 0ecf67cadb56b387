"""The teacher that a job names: a network that was trained elsewhere."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from search_spaces.errors import FieldError
from service import catalogue
from service.job.front_file import read_front_file
from supernets.training.config import TrainConfig

WEIGHTS_OF_A_MEMBER = ("front", "retrain")


@dataclass(frozen=True)
class Named:
    """What a text names.

    Attributes:
        kind: `job`: a finished job, for its best network; `weights`: a file in a job folder; `own`: a function of the
            user's own; `timm`: a model.
        folder: The job folder, where it is one.
    """

    kind: Literal["job", "weights", "own", "timm"]
    folder: Path | None = None


def named(text: str) -> Named:
    """Return what a text names as a teacher.

    Raises:
        FieldError: It is a path where there is no network.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        if not (path / "job.json").exists():
            raise FieldError("teacher", f"{text} is no job folder: it holds no job.json")
        return Named("job", path)
    if path.suffix == ".safetensors":
        folder = next((above for above in path.parents if (above / "job.json").exists()), None)
        if not path.is_file() or folder is None:
            why = "is not in a job folder; a file of a model of timm is train.teacher_checkpoint"
            raise FieldError("teacher", f"{text} {why if path.is_file() else 'does not exist'}")
        return Named("weights", folder)
    if ":" in text and not text.startswith(("hf-hub:", "hf_hub:")):
        return Named("own")
    if "/" in text and not text.startswith(("hf-hub:", "hf_hub:")):
        raise FieldError("teacher", f"{text} does not exist")
    return Named("timm")


def mistakes(config: TrainConfig, facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for what is wrong with the teacher of a training, as far as that shows without its weights."""
    if config.teacher is None:
        return
    try:
        check(config.teacher, config.teacher_checkpoint, facts)
    except FieldError as error:
        yield f"train.{error.field}: {error.text}"


def check(teacher: str, checkpoint: str | None, facts: Mapping[str, Any]) -> None:
    """Refuse a teacher that cannot be made.

    Args:
        teacher: Its name.
        checkpoint: File of the weights of a model of timm.
        facts: Facts of the data.

    Raises:
        FieldError: Says what is wrong.
    """
    found = named(teacher)
    if checkpoint is not None and found.kind != "timm":
        raise FieldError("teacher_checkpoint", f"must be null unless teacher is a model of timm, got {checkpoint!r}")
    if checkpoint is not None and not Path(checkpoint).is_file():
        raise FieldError("teacher_checkpoint", f"must be a file of weights, there is no {checkpoint}")
    if found.kind == "own":
        try:
            catalogue.check_target(teacher)
        except ValueError as error:
            raise FieldError("teacher", str(error)) from error
    elif found.kind == "timm":
        from search_spaces.weights.teacher import check_timm_teacher

        check_timm_teacher(teacher, classes=facts.get("classes"), checkpoint=checkpoint)
    elif found.kind == "job" and found.folder is not None and not (read_front_file(found.folder) or {}).get("members"):
        raise FieldError("teacher", f"{teacher} has no front yet; finish it with: nas run {teacher}")
