"""Objectives and limits of a search problem, read from text."""

import re
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from nas.objectives import Bound, parse_bound


@dataclass(frozen=True)
class Goal:
    """One objective of a problem: its name, its source and its direction."""

    name: str
    column: str
    maximise: bool


def parse_goals(text: str) -> tuple[Goal, ...]:
    """Return objectives written `accuracy:max,latency:min`, each a column of the table, or an exact cost.

    Raises:
        ValueError: The text is not of that form.
    """
    goals = []
    for part in text.split(","):
        name, _, direction = part.strip().rpartition(":")
        if not name or direction not in ("max", "min"):
            raise ValueError(f"objectives are written name:max or name:min with commas between, got {text!r}")
        goals.append(Goal(name, name, direction == "max"))
    if len({goal.name for goal in goals}) < len(goals):
        raise ValueError(f"objectives must be distinct, got {text!r}")
    return tuple(goals)


@dataclass(frozen=True)
class Limit:
    """A hard limit as written: `latency<=5`, or `latency<=q25` for the value that 25 % of the table keep."""

    name: str
    operator: Literal["<=", ">="]
    number: float
    is_quantile: bool

    def bound(self, values: np.ndarray) -> Bound:
        """Return the limit on a quantity that has these values [N] in the table."""
        number = self.number
        if self.is_quantile:
            share = number / 100
            at = share if self.operator == "<=" else 1 - share
            number = float(np.quantile(values, at, method="lower" if self.operator == "<=" else "higher"))
        return parse_bound(f"{self.operator} {number!r}")


def parse_limit(text: str) -> Limit:
    """Return the limit that a text such as `latency<=5` states.

    Raises:
        ValueError: The text is not of that form.
    """
    match = re.fullmatch(r"\s*([^<>=]+?)\s*(<=|>=)\s*(q?)([-+.\deE]+)\s*", text)
    try:
        number = float(match[4]) if match else None
    except ValueError:
        number = None
    if match is None or number is None or (match[3] and not 0 < number < 100):
        raise ValueError(f"a limit is written name<=number or name>=number, or with q and a percentage, got {text!r}")
    return Limit(match[1], cast(Literal["<=", ">="], match[2]), number, bool(match[3]))
