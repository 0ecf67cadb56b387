"""Limits on objectives as people write them: ``<= 3``, ``3 ms``, ``>= 90 %``, ``1.5 M``, or two with a comma."""

import math
import re

from nas.objectives.objective import Bound

_PART = re.compile(
    r"(?P<operator><=|>=|≤|≥)?\s*(?P<number>[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][-+]?\d+)?)\s*(?P<unit>\D.*)?"
)
_THOUSANDS = {"k": 1e3, "M": 1e6, "G": 1e9, "thousand": 1e3, "million": 1e6, "billion": 1e9}
_DIMENSIONS: tuple[dict[str, float], ...] = (
    {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0},
    {"bytes": 1.0, "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30},
    {"nJ": 1e-9, "uJ": 1e-6, "µJ": 1e-6, "mJ": 1e-3, "J": 1.0},
)
_SAME = {"weights": ("params", "parameters"), "%": ("percent",)}
_FORM = "a constraint is written '<= number' or '>= number' (or both with a comma), or as a number alone"


def parse_bound(text: str | float, *, unit: str | None = None, maximise: bool | None = None) -> Bound:
    """Return the bound of a limit such as ``<= 5e6`` or ``>= 60``, of both joined by a comma, or of a number alone.

    Args:
        text: The limit as written; units may follow numbers.
        unit: Unit of the objective, to which other units of the same kind are converted; None where it is not known,
            which refuses units.
        maximise: Whether more is better: a number alone is then the least value, else the largest; None where it is
            not known, which refuses numbers alone.

    Raises:
        ValueError: The text is not of that form, or its unit is another one.
    """
    low = high = None
    for operator, number, written in _parts(text):
        if written and unit is None:
            raise ValueError(
                f"the unit of this objective is not known, so {written!r} can't be converted, got {text!r}"
            )
        value = number * _factor(written, unit or "", text)
        if not operator and maximise is None:
            raise ValueError(f"{_FORM.partition(', or')[0]}, got {text!r}")
        if (operator or (">=" if maximise else "<=")) == "<=" and high is None:
            high = value
        elif (operator or (">=" if maximise else "<=")) == ">=" and low is None:
            low = value
        else:
            raise ValueError(f"{_FORM}, got {text!r}")
    if low is not None and high is not None and low > high:
        raise ValueError(f"no value is both >= {low:g} and <= {high:g}")
    return Bound(low, high)


def check_form(text: str | float) -> None:
    """Refuse a text that is not a limit, whatever the unit and the direction of its objective are.

    Raises:
        ValueError: It is not of the form that `parse_bound` reads.
    """
    _parts(text)


def looks_like_a_share(text: str | float, unit: str) -> bool:
    """Return whether a limit in percent is written as a share may be: without a unit, more than 0 and at most 1."""
    return unit == "%" and any(0 < value <= 1 and not written for _, value, written in _parts(text))


def _parts(text: str | float) -> list[tuple[str, float, str]]:
    """Return operator, number and unit of each part; operator and unit may be empty."""
    found = []
    for part in str(text).split(","):
        match = _PART.fullmatch(part.strip())
        value = float(match["number"].replace("_", "")) if match else math.nan
        if match is None or not math.isfinite(value):
            raise ValueError(f"{_FORM}, got {text!r}{_meant(part.strip())}")
        operator = {"≤": "<=", "≥": ">="}.get(match["operator"] or "", match["operator"] or "")
        found.append((operator, value, (match["unit"] or "").strip()))
    return found


def _meant(part: str) -> str:
    """Return what a part with another comparison is probably meant to be."""
    match = re.fullmatch(r"(<|>|=<|=>|==?)\s*([^<>=\s].*)", part)
    if match is None or _PART.fullmatch(match[2]) is None:
        return ""
    return f"; did you mean '{'>=' if '>' in match[1] else '<='} {match[2]}'?"


def _factor(written: str, unit: str, text: str | float) -> float:
    """Return what a number in the written unit is multiplied by to be one in the unit of the objective."""
    if not written:
        return 1.0
    own = unit.split(" ", maxsplit=1)[0]  # such as ms of "ms (analytic)"
    dimension: dict[str, float] = next((one for one in _DIMENSIONS if own in one), {})
    if dimension:
        if written in dimension:
            return dimension[written] / dimension[own]
        allowed = ", ".join(dimension)
    else:
        words = [own, *_SAME.get(own, ())] if own else []
        counts = {} if own == "%" else _THOUSANDS
        if any(written.lower() == word.lower() for word in words):
            return 1.0
        prefix, _, rest = written.partition(" ")
        if prefix in counts and (not rest or rest.lower() in [word.lower() for word in words]):
            return counts[prefix]
        joined = {f"{p}{word}": factor for p, factor in counts.items() if len(p) == 1 for word in words}
        if written in joined:
            return joined[written]
        allowed = ", ".join([*words, *counts])
    raise ValueError(f"{written!r} is not a unit of this objective; allowed: {allowed}, got {text!r}")
