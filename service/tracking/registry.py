"""Exported networks in the model registry of MLflow, as ONNX: loading one needs mlflow, onnx and onnxruntime only.

Every ONNX file of a member is one version of the registered model, found by an alias: its key, with `-int8` after it
for 8 bits. A registered file is not registered again.
"""

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.export.card_file import CARD, EXAMPLE, inputs_in, metric_in, plain, quality_in, text_of
from service.export.export_members import Exported
from service.job.folder import finite
from service.job.store_address import openable
from service.job.tracking import TrackingConfig
from service.report.quantities import form_of
from service.tracking.connection import connect, error_line
from service.tracking.format import allowed_name
from service.tracking.place import place_of_job
from service.tracking.sync import sync

REGISTERED = {"onnx": "", "int8": "-int8"}
"""Formats that are registered -> what the alias ends with."""
_NEEDED = ("onnx", "onnxruntime", "numpy")
_INPUTS_SHOWN = 2


@dataclass(frozen=True, kw_only=True)
class Registered:
    """One version in the registry.

    Args:
        uri: Address that loads it: ``mlflow.pyfunc.load_model(uri)``, after MLflow was told the `store`.
        version: Its number.
        store: Address of the MLflow server or database.
        new: Whether it was registered now.
    """

    uri: str
    version: str
    store: str
    new: bool


def name_mistake(name: str) -> str | None:
    """Return the reason why a name cannot be that of a registered model; None where it can."""
    if not name.strip() or re.search(r"[/:.%\"'\\\s]", name):
        return f"must be a name without blanks, slashes, colons, dots, quotes and percent signs, got {name!r}"
    return None


def register(folder: Path, exported: Sequence[Exported], name: str) -> list[Registered]:
    """Register the ONNX files of exported members; the job itself is logged first if necessary.

    Args:
        folder: The job folder.
        exported: Its members, with files in the formats of `REGISTERED`.
        name: Name of the registered model, made where it is missing.

    Raises:
        OSError: The store cannot be reached or written.
        ImportError: MLflow is not installed.
    """
    place = place_of_job(folder)
    uri, experiment = place.uri, place.experiment
    logged = sync(folder, TrackingConfig(uri=uri, experiment=experiment), final=True)
    if logged.error:
        raise OSError(f"MLflow at {uri}: {logged.error}")
    from mlflow.exceptions import MlflowException

    registry = _Registry(client=connect(uri), uri=uri, name=name, experiment_id=str(logged.experiment_id))
    try:
        registry.begin()
        return [
            registry.version(member, kind, logged.members.get(member.key))
            for member in exported
            for kind in REGISTERED
            if kind in (*member.made, *member.there)
        ]
    except MlflowException as error:
        raise OSError(f"MLflow at {uri}: {error_line(error)}") from error


@dataclass(frozen=True, kw_only=True)
class _Registry:
    """One registered model and the store that it is in."""

    client: Any
    uri: str
    name: str
    experiment_id: str

    def begin(self) -> None:
        """Make the registered model where it is missing."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            note = "Networks of Pareto fronts; the alias of a version is the key of its network."
            self.client.create_registered_model(self.name, description=note)

    def version(self, member: Exported, kind: str, run_id: str | None) -> Registered:
        """Return the version of one file, and register it if necessary."""
        record = member.card["formats"][kind]
        alias = f"{member.key}{REGISTERED[kind]}"
        tags = {"nas.key": member.key, "nas.format": kind, "nas.sha256": record["sha256"]}
        found = self._known(record["sha256"])
        if found is None:
            logged = self._logged_model(member, kind, tags, run_id)
            found = self.client.create_model_version(
                self.name,
                source=logged.artifact_location,
                run_id=run_id,
                model_id=logged.model_id,
                tags={**tags, **_figures(member.card)},
                description=text_of(member.card),
            )
            new = True
        else:
            new = False
        self.client.set_registered_model_alias(self.name, alias, found.version)
        return Registered(uri=f"models:/{self.name}@{alias}", version=str(found.version), store=self.uri, new=new)

    def _known(self, digest: str) -> Any:
        """Return the version made of a file; None where there is none."""
        versions = self.client.search_model_versions(f"name = '{self.name}'")
        return next((version for version in versions if version.tags.get("nas.sha256") == digest), None)

    def _logged_model(self, member: Exported, kind: str, tags: Mapping[str, str], run_id: str | None) -> Any:
        """Return the model with its files; a complete one of an interrupted call is used again."""
        query = f"tags.`nas.sha256` = '{tags['nas.sha256']}'"
        for left in self.client.search_logged_models([self.experiment_id], filter_string=query):
            if left.status == "READY":
                return left
            self.client.delete_logged_model(left.model_id)
        made = self.client.create_logged_model(
            self.experiment_id,
            name=f"{self.name}-{member.key}{REGISTERED[kind]}",
            source_run_id=run_id,
            tags={**tags, **_figures(member.card)},
            model_type="classifier",
        )
        with tempfile.TemporaryDirectory() as temporary:
            files = Path(temporary) / "model"
            _save(member, kind, files, made, run_id)
            self.client.log_model_artifacts(made.model_id, str(files))
        return self.client.finalize_logged_model(made.model_id, "READY")


def _save(member: Exported, kind: str, files: Path, logged: Any, run_id: str | None) -> None:
    """Write the model as MLflow reads it: ONNX with signature, input example, card."""
    import mlflow.onnx
    import numpy as np
    import onnx
    from mlflow.models import Model

    card, names = member.card, [one["name"] for one in inputs_in(member.card)]
    with np.load(member.place / EXAMPLE) as example:
        shown = {name: example[name][:_INPUTS_SHOWN] for name in names}
    mlflow.onnx.save_model(
        onnx.load(member.place / card["formats"][kind]["file"]),
        str(files),
        mlflow_model=Model(artifact_path=logged.artifact_location, run_id=run_id, model_id=logged.model_id),
        signature=_signature(card),
        input_example=shown,
        pip_requirements=[f"{name}=={_installed(name)}" for name in _NEEDED],
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
        metadata=plain({part: card[part] for part in ("key", "architecture", metric_in(card)[0], "costs", "measured")}),
    )
    (files / CARD).write_text(json.dumps(plain(card), indent=2), encoding="utf-8")


def _signature(card: Mapping[str, Any]) -> Any:
    """Return the inputs and the output of a network for MLflow, with any batch size."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def schema(ends: Sequence[Mapping[str, Any]]) -> Any:
        specs = [TensorSpec(np.dtype(end["dtype"]), (-1, *end["shape"][1:]), end["name"]) for end in ends]
        return Schema(specs)

    return ModelSignature(inputs=schema(inputs_in(card)), outputs=schema([card["output"]]))


def _figures(card: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that lists of versions show; numbers that are not finite are left out."""
    (metric, _), quality = metric_in(card), quality_in(card)
    figures = {f"{split}_{metric}": quality.get(split) for split in ("validation", "test")}
    figures |= {name: cost["value"] for name, cost in {**card["costs"], **card["measured"]}.items()}
    numbers = {allowed_name(name): finite(value) for name, value in figures.items()}
    tags = {name: f"{number:.6g}" for name, number in numbers.items() if number is not None}
    devices = {form_of(name).noun: measured.get("device") for name, measured in card["measured"].items()}
    return tags | {allowed_name(f"{noun}_device"): str(device) for noun, device in devices.items() if device}


def _installed(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def loading_line(registered: Registered) -> str:
    """Return a line of Python that loads a version."""
    return f"mlflow.set_tracking_uri({openable(registered.store)!r}); mlflow.pyfunc.load_model({registered.uri!r})"
