"""Fine-tuning of one member of a front at a time."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from nas.retraining import retrain
from search_spaces import Architecture
from search_spaces.errors import FieldError
from service.errors import InvalidJob
from service.job.folder import read_events, read_json, write_json
from service.run.batches import EvaluationBatches
from service.run.stages.outputs import ADAPTED, RESULT, SUPERNET
from service.run.teaching import adapted_teacher, named_teacher
from service.run.weights import save_weights
from supernets import Supernet, Task, TrainConfig, calibrate
from supernets.device import judging
from supernets.tasks import Batch
from supernets.training.checkpoint import CHECKPOINT
from supernets.whole_file import append_line

if TYPE_CHECKING:
    from service.run.context import JobContext

_SETTINGS = "settings.json"
_SLOWER = 5  # lower than for the supernet: the weights are good already


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """Fine-tuning of architectures from the weights of a supernet.

    Args:
        supernet: Trained.
        task: What is trained for.
        batches: Batches of the data.
        config: Settings of the training.
        calibration: Number of training examples that set the batch norms.
        seed: Seed of the trainings.
        tell: Receives the progress of a training.
        teacher: Name and network of the teacher beside the targets, if any.
    """

    supernet: Supernet
    task: Task
    batches: EvaluationBatches
    config: TrainConfig
    calibration: int
    seed: int
    tell: Callable[[dict[str, Any]], None]
    teacher: tuple[str, nn.Module] | None = None

    @classmethod
    def of(
        cls,
        context: "JobContext",
        *,
        epochs: float | None,
        lr: float | None,
        teacher: tuple[str, nn.Module] | None = None,
    ) -> "Retraining":
        """Return the fine-tuning of a job, where settings that are None follow those of its supernet."""
        train = context.job.train
        return cls(
            supernet=context.supernet,
            task=context.task,
            batches=context.batches,
            config=replace(
                train, epochs=epochs or train.epochs, lr=lr or train.lr / _SLOWER, ema_decay=None, tickets=None
            ),
            calibration=context.job.search.calibration_examples,
            seed=context.job.seed,
            tell=context.events.tell,
            teacher=teacher,
        )

    def tuned(self, member: Mapping[str, Any], place: Path, progress: Mapping[str, Any]) -> dict[str, Any]:
        """Train one member, write weights and curve into its folder, and return the record of it.

        Args:
            member: Entry of `front.json`.
            place: Folder of the member.
            progress: Entries added to the events of the training.
        """
        begin(place, self._settings)
        architecture = self.supernet.space.architecture(member["architecture"])
        quick = self.task.quick()

        def calibrated(supernet: Supernet) -> nn.Module:
            return calibrate(supernet.extract(architecture), self.batches.calibration(self.calibration))

        def validate(supernet: Supernet) -> dict[str, float]:
            return {quick.metric.name: quality(quick, calibrated(supernet), self.batches.validation())}

        def observe(event: dict[str, Any]) -> None:
            if event["event"] == "validate":
                _append(place / "curve.jsonl", event)
                self.tell({**event, "unit": quick.metric.unit})
            else:
                self.tell({**event, **progress, "event": "retrain"} if event["event"] == "train" else event)

        tuned = retrain(
            self.supernet,
            architecture,
            self.batches.load().train,
            self.config,
            task=self.task,
            seed=self.seed,
            folder=place,
            observer=observe,
            validate=validate,
            teacher=None if self.teacher is None else self.teacher[1],
        )
        subnet = calibrated(tuned)
        save_weights(subnet, place / "weights.safetensors")
        return self._record(member, architecture, subnet) | {"curve": _curve(place / "curve.jsonl", quick.metric.name)}

    @property
    def _settings(self) -> dict[str, Any]:
        """What decides the result, beside the member and the data."""
        named = {} if self.teacher is None else {"teacher": self.teacher[0]}
        return {"epochs": self.config.epochs, "lr": self.config.lr, **named}

    def _record(self, member: Mapping[str, Any], architecture: Architecture, subnet: nn.Module) -> dict[str, Any]:
        """Return what a member was worth before and after."""
        return {
            "key": member["key"],
            "costs": self._costs(architecture),
            **self._settings,
            "inherited_quality": member["values"].get(self.task.metric.name),
            "retrained_quality": quality(self.task, subnet, self.batches.validation()),
            "inherited_test_quality": member["test_quality"],
            "retrained_test_quality": quality(self.task, subnet, self.batches.test()),
        }

    def _costs(self, architecture: Architecture) -> dict[str, float]:
        """Return what is computed of an architecture, by name."""
        return {name: column[0].item() for name, column in self.supernet.space.costs([architecture]).items()}


def quality(task: Task, network: nn.Module, batches: Iterable[Batch]) -> float:
    """Return what a task says of a network, in evaluation mode."""
    with judging(network):
        return task.evaluate(network, batches).value


def chosen_teacher(context: "JobContext", teacher: str | None) -> tuple[str, nn.Module]:
    """Return name and network of the teacher that members learn from beside the targets.

    Args:
        context: The job.
        teacher: What names it, see `TrainConfig.teacher`; None for that of the job: the one that it names, or else its
            largest network as it was adapted to the data.

    Raises:
        InvalidJob: There is none, or it cannot be had.
    """
    named, checkpoint = teacher, None
    if named is None:
        named, checkpoint = context.job.train.teacher, context.job.train.teacher_checkpoint
    if named is None:
        adapted = adapted_teacher(context.supernet, context.place_of(SUPERNET).parent / ADAPTED)
        if adapted is None:
            why = "this job has no teacher: it names none (train.teacher), and its train.schedule is not adapted"
            raise InvalidJob([f"--distil: {why}; name one: --teacher NAME"])
        return "adapted", adapted
    try:
        return named, named_teacher(named, checkpoint, supernet=context.supernet, batches=context.batches)
    except FieldError as error:
        place = f"--{error.field}" if teacher is not None else f"train.{error.field}"
        raise InvalidJob([f"{place}: {error.text}"]) from error


def begin(place: Path, settings: Mapping[str, Any]) -> None:
    """Prepare the folder of a member: what was trained there with other settings is removed, once for all."""
    place.mkdir(parents=True, exist_ok=True)
    begun = read_json(place / _SETTINGS)
    if (place / RESULT).exists() or begun not in (None, settings):
        for old in (RESULT, "curve.jsonl", CHECKPOINT):
            (place / old).unlink(missing_ok=True)
    write_json(place / _SETTINGS, settings)


def _append(path: Path, event: Mapping[str, Any]) -> None:
    append_line(path, json.dumps(event))


def _curve(path: Path, metric: str) -> list[tuple[int, float]]:
    """Return the quality on the validation split after each validated step; a resumed training repeats some steps."""
    events = [event for event in read_events(path)[0] if {"step", metric} <= event.keys()]
    return sorted({event["step"]: event[metric] for event in events}.items())
