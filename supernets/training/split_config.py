"""The settings of splits of a supernet during training, as one validated value."""

from dataclasses import dataclass, field
from typing import Literal

from search_spaces.errors import FieldError
from search_spaces.limits import check_most

_MOST = {"rounds": 16, "groups": 1000, "repeats": 10**6}


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """Settings of the splits of one supernet training; the defaults are those published for NAS-Bench-201.

    Args:
        rounds: Number of times that every part is split; the training has one more stage.
        groups: Parts of each split, by gradient matching; `null` gives every choice of the decision a part of its own.
        shares: Part of the passes of the training for each stage, spread evenly over its parts. With `null`, parts that
            restart get the published 20, 20 and 50 epochs: the last stage trains a part 2.5 times as long as the
            others. Where parts inherit, the whole gets 0.7, and later stages get equal shares of the rest.
        distance: Distance between gradients: `cosine`, `filter_cosine` or `mse`.
        others: Setting of the other decisions while the choices of one are compared: `random`, or all `relaxed`.
        repeats: Batches over which distances are averaged. Their passes are taken from the training. `null` is 100, as
            published, or fewer where these would cost more than a tenth of all passes.
        restart: Whether the last stage begins with fresh weights and a fresh learning rate instead of going on.
        restart_anneals: Whether the rate of parts that restart falls to its end. As released, it does not: their
            cosine is as long as all stages together, and the last stage runs a part of it (50 of 90 epochs).
        decisions: Decisions that may be split, by names or patterns such as `*.kernel`.
        choose: Rule for the decision that is split: `largest_cut`, or groups with the `least_within`.
    """

    rounds: int = 2
    groups: int | None = 2
    shares: list[float] | None = None
    distance: Literal["cosine", "filter_cosine", "mse"] = "cosine"
    others: Literal["random", "relaxed"] = "random"
    repeats: int | None = None
    restart: bool = True
    restart_anneals: bool = False
    decisions: list[str] = field(default_factory=lambda: ["*"])
    choose: Literal["largest_cut", "least_within"] = "largest_cut"

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        limits: list[tuple[str, bool, str]] = [
            ("rounds", self.rounds >= 1, "at least 1"),
            ("groups", self.groups is None or self.groups >= 2, "at least 2, or null"),
            ("distance", self.distance in ("cosine", "filter_cosine", "mse"), "cosine, filter_cosine or mse"),
            ("others", self.others in ("random", "relaxed"), "random or relaxed"),
            ("repeats", self.repeats is None or self.repeats >= 1, "at least 1, or null"),
            ("decisions", bool(self.decisions), "one or more names or patterns"),
            ("choose", self.choose in ("largest_cut", "least_within"), "largest_cut or least_within"),
        ]
        if self.shares is not None:
            fit = len(self.shares) == self.rounds + 1 and all(share > 0 for share in self.shares)
            adds_up = abs(sum(self.shares) - 1) < 1e-6
            allowed = f"{self.rounds + 1} numbers above 0 (rounds + 1) that add up to 1, or null"
            limits.append(("shares", fit and adds_up, allowed))
        for name, holds, allowed in limits:
            if not holds:
                raise FieldError(name, f"must be {allowed}, got {getattr(self, name)}")
