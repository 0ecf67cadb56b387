"""Training of members of a front from fresh weights, one at a time, in the network that a paper takes for that."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from nas.retraining import train_from_scratch
from search_spaces import Architecture, Space
from search_spaces.errors import FieldError
from service.errors import InvalidJob
from service.job.building import build_space
from service.job.job import Job
from service.run.candidates import alone_config
from service.run.retraining import begin, quality
from service.run.weights import save_weights
from supernets import TrainConfig
from supernets.whole_file import append_line

if TYPE_CHECKING:
    from service.run.context import JobContext


@dataclass(frozen=True, kw_only=True)
class FromScratch:
    """The training of architectures from fresh weights.

    Args:
        context: The job, with the space of the networks that are trained.
        config: Settings of the training.
        network: Options of that space.
        cutout: Side of the blanked square in each training image.
    """

    context: "JobContext"
    config: TrainConfig
    network: Mapping[str, Any]
    cutout: int

    @classmethod
    def of(
        cls,
        context: "JobContext",
        *,
        epochs: float | None,
        lr: float | None,
        network: Mapping[str, Any],
        cutout: int | None,
    ) -> "FromScratch":
        """Return the training that is asked for, with the data and the supernet's settings of a job.

        Settings that are None are those of the paper or of the job, see the stage `scratch`.

        Raises:
            InvalidJob: The job has no such option or data.
        """
        from service.run.context import JobContext

        job, space = larger(context.job, network, cutout)
        made = JobContext(context.folder, job, context.device, context.events, context.processes, context.inputs)
        config = alone_config(job.train, space, epochs, lr)
        return cls(context=made, config=config, network=job.space.options, cutout=job.data.cutout)

    def member(self, member: Mapping[str, Any], place: Path, progress: Mapping[str, Any]) -> dict[str, Any]:
        """Train one member, write weights and curve into its folder, and return the record of it.

        Args:
            member: Entry of `front.json`.
            place: Folder of the member.
            progress: Entries added to the events of the training.
        """
        context = self.context
        begin(place, self._settings)
        task, tell, quick, batches = context.task, context.events.tell, context.task.quick(), context.batches
        architecture = context.space.architecture(member["architecture"])

        def observe(event: dict[str, Any]) -> None:
            if event["event"] == "validate":
                append_line(place / "curve.jsonl", json.dumps(event))
                tell({**event, "unit": quick.metric.unit})
            else:
                tell({**event, **progress, "event": "scratch"} if event["event"] == "train" else event)

        trained = train_from_scratch(
            context.space,
            architecture,
            batches.load().train,
            self.config,
            device=context.device,
            task=task,
            seed=context.job.seed,
            folder=place,
            observer=observe,
            validate=lambda network: {quick.metric.name: quality(quick, network, batches.validation())},
        )
        save_weights(trained, place / "weights.safetensors")
        return self._record(member, architecture, trained)

    @property
    def _settings(self) -> dict[str, Any]:
        """What decides the result, beside the member and the data."""
        return {
            "epochs": self.config.epochs,
            "lr": self.config.lr,
            "network": dict(self.network),
            "cutout": self.cutout,
        }

    def _record(self, member: Mapping[str, Any], architecture: Architecture, network: nn.Module) -> dict[str, Any]:
        """Return what a member was worth with inherited weights, and what it is worth now."""
        costs, task, batches = self.context.space.costs([architecture]), self.context.task, self.context.batches
        return {
            "key": member["key"],
            "costs": {name: column[0].item() for name, column in costs.items()},
            **self._settings,
            "inherited_quality": member["values"].get(task.metric.name),
            "retrained_quality": quality(task, network, batches.validation()),
            "inherited_test_quality": member["test_quality"],
            "retrained_test_quality": quality(task, network, batches.test()),
        }


def larger(job: Job, network: Mapping[str, Any], cutout: int | None) -> tuple[Job, Space]:
    """Return the job with the space of the networks that are trained alone and with its data, and that space.

    Args:
        job: Job whose architectures are trained.
        network: Options that replace those of the paper.
        cutout: Side of the blanked square in each training image; None for that of the job.

    Raises:
        InvalidJob: The space or the data have no such option.
    """
    options = {**job.space.options, **build_space(job).alone.options, **network}
    try:
        cutout = job.data.cutout if cutout is None else cutout
        changed = replace(job, space=replace(job.space, options=options), data=replace(job.data, cutout=cutout))
        space = build_space(changed)
    except FieldError as error:
        raise InvalidJob([f"scratch: {error.field} {error.text}"]) from error
    except (ValueError, TypeError) as error:
        raise InvalidJob([f"scratch: {error}"]) from error
    return changed, space
