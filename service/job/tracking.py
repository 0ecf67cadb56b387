"""The section `tracking` of a job: where it is logged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.errors import FieldError
from service.job.store_address import plain, without_secrets

EXPERIMENT = "espalier"


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """Where a job is logged.

    Args:
        enabled: Whether the job is logged in MLflow at all.
        uri: Address of an MLflow server, or a database such as `sqlite:///runs/mlflow.db`, without a password; `null`
            for the one in `MLFLOW_TRACKING_URI`, or else the local one.
        experiment: Name of the MLflow experiment, made where it is missing; `null` for the one in
            `MLFLOW_EXPERIMENT_NAME`, or else `espalier`.
    """

    enabled: bool = True
    uri: str | None = None
    experiment: str | None = None

    def __post_init__(self) -> None:
        if self.experiment is not None and (not self.experiment.strip() or len(self.experiment) > 500):
            raise FieldError("experiment", f"must be a name of 1 to 500 characters, got {self.experiment!r}")
        if self.uri is not None and (mistake := address_mistake(self.uri)):
            raise FieldError("uri", mistake)
        if self.uri is not None and plain(self.uri) != self.uri:
            logins = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or all of it in MLFLOW_TRACKING_URI"
            why = f"must hold no password, because jobs are kept and logged: set {logins}"
            raise FieldError("uri", f"{why}; got {plain(self.uri)!r} with a login")


def address_mistake(uri: str) -> str | None:
    """Return why a text is not the address of a store, None where it may be one."""
    if "://" in uri:
        return None
    allowed = "an address such as http://host:5000 or sqlite:///runs/mlflow.db, or null"
    return f"must be {allowed}, got {without_secrets(plain(uri))!r}"


def without_password(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a job that an earlier version kept, without the password in its address."""
    tracking = fields.get("tracking")
    if not isinstance(tracking, Mapping) or not isinstance(tracking.get("uri"), str):
        return dict(fields)
    return {**fields, "tracking": {**tracking, "uri": plain(tracking["uri"])}}
