"""The `tracking` of a job: where it is logged."""

from dataclasses import dataclass

from search_spaces.errors import FieldError


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """Where a job is logged.

    Args:
        enabled: Whether the job is logged in MLflow at all.
        uri: Address of an MLflow server, or a database such as `sqlite:///runs/mlflow.db`; `null` for the local one.
        experiment: Name of the MLflow experiment, made where it is missing.
    """

    enabled: bool = True
    uri: str | None = None
    experiment: str = "espalier"

    def __post_init__(self) -> None:
        if not self.experiment.strip() or len(self.experiment) > 500:
            raise FieldError("experiment", f"must be a name of 1 to 500 characters, got {self.experiment!r}")
        if self.uri is not None and "://" not in self.uri:
            allowed = "an address such as http://host:5000 or sqlite:///runs/mlflow.db, or null"
            raise FieldError("uri", f"must be {allowed}, got {self.uri!r}")
