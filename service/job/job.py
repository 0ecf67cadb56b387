"""A job: everything one run needs, as one tree of dataclasses.

People write it as YAML; beside its results it is kept as JSON.
"""

import re
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from pydantic import ConfigDict

from nas.data import DataConfig
from nas.scoring_config import ProxyConfig
from nas.search.config import SearchConfig
from search_spaces.errors import FieldError
from search_spaces.precision.precision_config import PrecisionConfig
from service.job.latency import LatencySection
from service.job.tracking import TrackingConfig
from supernets.experts_config import ExpertsConfig
from supernets.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class SpaceConfig:
    """The search space of a job.

    Args:
        name: Catalogue name, or `package.module:function`.
        options: Keyword arguments of that function. Image size, channels and classes come from the data.
        precision: Bits of weights and inputs as decisions of the space; `null` for networks that do not round.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    precision: PrecisionConfig | None = None


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """What networks are trained for and judged by.

    Args:
        name: Catalogue name, or `package.module:object`; `null` for the task of the data.
        options: Keyword arguments of the task. Facts of the data, such as the number of classes, are given.
    """

    name: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SupernetConfig:
    """What the supernet is made of, beside the space.

    Args:
        mixture: Experts of which each feed-forward layer of a transformer is blended, for each architecture in another
            way (mixture of supernets); `null` for weights that all architectures share as they are. It is one supernet;
            `train.mixture` trains several whole ones.
    """

    mixture: ExpertsConfig | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run from data to a measured Pareto front.

    Args:
        name: Name of the job, also of its output folder and its MLflow runs.
        seed: Seed of everything random.
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.
        data: Data to learn from.
        task: What networks are trained for and judged by.
        space: Search space: the networks that can be built.
        supernet: What the supernet is made of, beside the space.
        train: Training of the supernet.
        search: Search of the supernet.
        proxies: Scores without training, as objectives or filters of the search.
        latency: Measurement or prediction of latency.
        tracking: Where the job is logged.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str
    seed: int = 0
    device: str = "auto"
    data: DataConfig = field(default_factory=DataConfig)
    task: TaskConfig = field(default_factory=TaskConfig)
    space: SpaceConfig
    supernet: SupernetConfig = field(default_factory=SupernetConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    proxies: ProxyConfig = field(default_factory=ProxyConfig)
    latency: LatencySection = field(default_factory=LatencySection)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.name):
            allowed = "letters, digits, '.', '_' and '-', at most 100, the first a letter or digit"
            raise FieldError("name", f"must be {allowed} (folders are named after it), got {self.name!r}")
        if not 0 <= self.seed < 2**32:
            raise FieldError("seed", f"must be from 0 to {2**32 - 1}, got {self.seed}")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise FieldError("device", f"must be auto, cpu, cuda or cuda:N, got {self.device!r}")


def to_dict(job: Job) -> dict[str, Any]:
    """Return the job as nested mappings that JSON and YAML can write, and `load_job` can read."""
    return asdict(job)
