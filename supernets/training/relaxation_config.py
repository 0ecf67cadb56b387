"""The settings of a training that learns the architecture with the weights, as one validated value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from search_spaces.errors import FieldError
from search_spaces.limits import check_fields, check_most

if TYPE_CHECKING:
    from search_spaces import Space

Method = Literal["softmax", "sparsemax", "gdas", "drnas", "one_hot"]
Mode = Literal["first", "unrolled", "amended", "neumann"]
METHODS: Mapping[str, str] = {
    "softmax": "DARTS: the softmax of the logits",
    "sparsemax": "the nearest point of the simplex: many choices do not run",
    "gdas": "GDAS: one choice, drawn by Gumbel noise, with a straight-through gradient",
    "drnas": "DrNAS: drawn from a Dirichlet distribution",
    "one_hot": "SPOS: uniform draws, nothing is learned",
}
"""How logits become weights of choices."""
MODES: Mapping[str, str] = {
    "first": "DARTS of first order: as if weights did not follow the architecture",
    "unrolled": "DARTS of second order: after one step of the weights",
    "amended": "Amended-DARTS: the Hessian stands for its inverse",
    "neumann": "iDARTS: terms of the series of the inverse Hessian",
}
"""What is done about the gradient of the logits through the weights."""
AMENDED_ETA = 0.1
LATENCY = "latency_ms"
"""The cost that is read from a latency table."""

_MOST = {"eta": 1e6, "terms": 1000, "lr": 1e6, "decay": 1e6, "warmup_epochs": 1e6, "temperature": 1e6}
_MOST |= {"temperature_end": 1e6, "largest_correction": 1e9, "cost_limit": 1e18, "cost_weight": 1e6}


@dataclass(frozen=True, kw_only=True)
class RelaxationConfig:
    """Settings of a training in which every choice has a weight that is learned by gradients.

    Args:
        method: How logits become weights of choices: `softmax` (DARTS), `sparsemax`, `gdas` (one choice by Gumbel
            noise, with a straight-through gradient), `drnas` (drawn from a Dirichlet distribution), or `one_hot` (SPOS:
            uniform draws, nothing is learned).
        hypergradient: Part of the gradient of the logits that flows through the weights of the network: `first` leaves
            it out; `unrolled` takes one step of the weights (second-order DARTS); `amended` multiplies by the Hessian;
            `neumann` sums terms of the series of its inverse.
        exact: Whether its products with second derivatives are exact, by a double backward pass that needs twice the
            memory, instead of finite differences.
        eta: Factor of this part; `null` is 0.1 for `amended`, as released, and the learning rate of the weights for
            `unrolled` and `neumann`. With 0 it is `first`.
        terms: Terms of the series of `neumann` after the first.
        largest_correction: Largest norm of this part, as a multiple of the norm of the other; `null` for any.
        lr: Learning rate of the logits, by Adam.
        decay: Weight decay of the logits; with `drnas` the strength of its pull to the uniform distribution.
        share: Part of the training examples that the logits learn from; the weights learn from the others. Every batch
            holds this part of both.
        warmup_epochs: Epochs at the beginning in which only the weights learn.
        temperature: Temperature of `gdas` in the first epoch; it falls by equal amounts.
        temperature_end: Its temperature in the last epoch.
        cost: Exact cost whose expectation is held down while logits learn, such as `macs`, or `latency_ms` by
            `latency.table`; `null` for none. The space must be made of blocks.
        cost_limit: Limit of the expected cost, in its unit. The loss grows with the logarithm of what is above it.
        cost_weight: Weight of this part of the loss.
    """

    method: Method = "drnas"
    hypergradient: Mode = "first"
    exact: bool = False
    eta: float | None = None
    terms: int = 3
    largest_correction: float | None = None
    lr: float = 3e-4
    decay: float = 1e-3
    share: float = 0.5
    warmup_epochs: float = 0.0
    temperature: float = 10.0
    temperature_end: float = 0.1
    cost: str | None = None
    cost_limit: float | None = None
    cost_weight: float = 1.0

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        limits: list[tuple[str, bool, str]] = [
            ("method", self.method in METHODS, f"one of {', '.join(METHODS)}"),
            ("hypergradient", self.hypergradient in MODES, f"one of {', '.join(MODES)}"),
            ("eta", self.eta is None or self.eta >= 0, "0 or more, or null"),
            ("terms", self.terms >= 0, "0 or more"),
            ("largest_correction", self.largest_correction is None or self.largest_correction > 0, "above 0, or null"),
            ("lr", self.lr > 0, "more than 0"),
            ("decay", self.decay >= 0, "0 or more"),
            ("share", 0 < self.share < 1, "between 0 and 1"),
            ("warmup_epochs", self.warmup_epochs >= 0, "0 or more"),
            ("temperature", self.temperature > 0, "more than 0"),
            ("temperature_end", 0 < self.temperature_end <= self.temperature, "above 0 and up to temperature"),
            ("cost_limit", self.cost_limit is None or self.cost_limit > 0, "above 0, or null"),
            ("cost_limit", (self.cost is None) == (self.cost_limit is None), "given with cost, and only with it"),
            ("cost_weight", self.cost_weight > 0, "above 0"),
        ]
        check_fields(self, limits)
        if self.method == "one_hot" and self.cost is not None:
            raise FieldError("method", f"must be one that learns logits where cost limits {self.cost}, got 'one_hot'")
        if self.method == "one_hot" and self.hypergradient != "first":
            raise FieldError(
                "hypergradient", f"must be first with one_hot, which learns no logits, got {self.hypergradient!r}"
            )

    @property
    def learns(self) -> bool:
        """Whether there are logits that learn."""
        return self.method != "one_hot"

    @property
    def batches_of_step(self) -> float:
        """How many whole batches a step runs forward and backward, for the weights and for the logits."""
        if not self.learns:
            return 1 - self.share
        passes = {"first": 1, "unrolled": 4, "amended": 5, "neumann": 3 + 2 * self.terms}  # over those for the weights
        return self.share + (1 - self.share) * passes[self.hypergradient]

    def factor(self, lr: float) -> float:
        """Return the factor of the second part of the gradient.

        Args:
            lr: Learning rate of the weights at this moment.
        """
        if self.eta is not None:
            return self.eta
        return AMENDED_ETA if self.hypergradient == "amended" else lr


def cost_mistake(space: "Space", cost: str, *, has_table: bool) -> str | None:
    """Return why the expectation of a cost is not known in a space, None where it is.

    Args:
        space: Space that is relaxed.
        cost: Name of the cost.
        has_table: Whether there is a latency table.
    """
    if space.vectors is not None or space.places is None:
        return f"must be null: costs of {space.name} are not sums over its decisions, got {cost!r}"
    names = [*space.blocks.cost_names, LATENCY]
    if cost not in names:
        return f"must be one of {', '.join(names)}, got {cost!r}"
    if cost == LATENCY and not has_table:
        return f"must be one of {', '.join(names[:-1])} where there is no latency.table, got {cost!r}"
    return None
