"""Settings of a search; reading them needs no network."""

from dataclasses import dataclass, field
from typing import Any, Literal

from nas.search.alone_config import AloneConfig
from search_spaces.errors import FieldError
from search_spaces.limits import check_most

_MOST = {"evaluations": 10**7, "population": 10**4, "calibration_examples": 10**7, "stop_gain": 100.0, "hours": 10.0**6}


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Settings of one search.

    Args:
        searcher: Catalogue name (`nas list searcher`) or `package.module:object`.
        searcher_options: Further keyword arguments of the searcher, such as ``{parent_share: 0.5}``.
        evaluations: Distinct architectures to evaluate.
        population: Architectures of one generation.
        objectives: What to trade off: catalogue names, costs of the space, `package.module:object`, and `quality` or
            the name of the metric of the task, which is read on the validation split only.
        constraints: Hard limits, such as ``{latency_ms: 3, accuracy: "90 %", macs: ">= 1 M, <= 5 M"}``. A number alone
            limits a cost from above and a quality from below.
        calibration_examples: Training examples that set the batch norm of each subnet.
        bf16: Whether CUDA calibrates and judges candidates in bfloat16 autocast, which is faster, and may change a
            quality a little; the networks on the front are tested in the type of their weights.
        per_leaf: How a split supernet is searched: `true` searches every part by itself, in turn; `halving` gives up
            the worse half of the parts again and again; `false` searches all parts as one space.
        stop_gain: The search ends where one more candidate is expected to make the hypervolume grow by less than this,
            in percent; 0 for never. Only some searchers can say it.
        remeasured_share: Share of the evaluations that is spent again on the front, and on candidates that noise may
            have kept off the front. The front itself is always measured again.
        warm_start: Job folder or journal of an earlier search of the same space, on another device or of another
            training. Its front is evaluated first, and a model learns from the rest.
        alone: How each candidate is trained for itself before it is judged, for spaces where that takes seconds; `null`
            for candidates with the weights of the supernet. The supernet is trained only where candidates begin with
            its weights.
        parts: Part of a joined space -> job folder whose trained supernet gives the weights of its networks, such as
            ``{net: runs/my}``; nothing is then trained. Empty for a training of all parts together.
        hours: Hours after which the search ends, those of interrupted runs included.
    """

    searcher: str = "nsga2"
    searcher_options: dict[str, Any] = field(default_factory=dict)
    evaluations: int = 200
    population: int = 24
    objectives: list[str] = field(default_factory=lambda: ["quality", "latency_ms"])
    constraints: dict[str, str | float] = field(default_factory=dict)
    calibration_examples: int = 2000
    bf16: bool = False
    per_leaf: bool | Literal["halving"] = False
    remeasured_share: float = 0.25
    stop_gain: float = 0.0
    hours: float | None = None
    warm_start: str | None = None
    alone: AloneConfig | None = None
    parts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        for name, value, least in (
            ("evaluations", self.evaluations, 1),
            ("population", self.population, 2),
            ("calibration_examples", self.calibration_examples, 2),
            ("stop_gain", self.stop_gain, 0),
        ):
            if value < least:
                raise FieldError(name, f"must be at least {least}, got {value}")
        if not 0 <= self.remeasured_share <= 1:
            raise FieldError("remeasured_share", f"must be from 0 to 1, got {self.remeasured_share}")
        if self.hours is not None and not self.hours > 0:
            raise FieldError("hours", f"must be more than 0, got {self.hours}")
        if self.per_leaf not in (False, True, "halving"):
            raise FieldError("per_leaf", f"must be false, true or halving, got {self.per_leaf}")
        if len(self.objectives) < 1 or len(set(self.objectives)) != len(self.objectives):
            raise FieldError("objectives", f"must be one or more distinct names, got {self.objectives}")
