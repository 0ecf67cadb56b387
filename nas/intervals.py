"""The certainty of numbers, and which of them differ: intervals of means and shares, differences, groups of equals.

Paper: intervals of shares by Wilson, "Probable inference, the law of succession, and statistical inference" (1927);
differences of shares on the same examples by the exact test of McNemar (1947), with the interval of Bonett and Price,
"Adjusted Wald confidence interval for a difference of binomial proportions based on paired data" (2012); differences of
independent estimates by Zou and Donner, "Construction of confidence limits about effect measures" (2008); many tests at
once by Holm, "A simple sequentially rejective multiple test procedure" (1979).
Differs: nothing known.
"""

from collections.abc import Sequence
from string import ascii_letters
from typing import NamedTuple

import numpy as np

ERROR = 0.05
"""How often a claim that two numbers differ may be wrong; intervals are those of 95 %."""
_Z = 1.959964
_PERCENT = (0.0, 100.0)

Ends = tuple[float, float]


class Difference(NamedTuple):
    """The distance of a number above another one.

    Attributes:
        value: The difference.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Probability of a difference at least as large where there is none.
    """

    value: float
    low: float
    high: float
    p: float


# ---- one number -----------------------------------------------------------------------------------------------------


def interval_of_share(percent: float, count: int) -> Ends:
    """Return Wilson's 95 % interval of a share of so many examples, in percent."""
    share, spread = percent / 100, _Z**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * np.sqrt(share * (1 - share) / count + spread / (4 * count))
    return 100 * max(0.0, round(float(middle - half), 12)), 100 * min(1.0, float(middle + half))


def interval_of_mean(scores: np.ndarray) -> Ends | None:
    """Return the 95 % interval of the mean of scores [N]: Wilson's where they are 0 and 100 only, else Student's.

    It is None for a single score, from which nothing follows.
    """
    if is_share(scores):
        return interval_of_share(float(scores.mean()), len(scores))
    if len(scores) < 2:
        return None
    from nas.student_interval import student_half

    half = float(student_half(scores))
    return float(scores.mean()) - half, float(scores.mean()) + half


def is_share(scores: np.ndarray) -> bool:
    """Return whether scores are those of a share in percent: 100 for a hit, 0 for none."""
    return bool(np.isin(scores, _PERCENT).all())


# ---- two numbers ----------------------------------------------------------------------------------------------------


def paired_difference(ours: np.ndarray, theirs: np.ndarray) -> Difference:
    """Return how far the mean of scores [N] lies above that of other scores of the same examples [N]."""
    value = float((ours - theirs).mean())
    p = float(paired_p_values(ours[None], theirs[None])[0, 0])
    if is_share(ours) and is_share(theirs):
        more, less, count = (ours > theirs).sum() + 1, (ours < theirs).sum() + 1, len(ours) + 2
        middle = (more - less) / count
        half = _Z * np.sqrt(((more + less) / count - middle**2) / count)
        return Difference(value, 100 * float(max(-1, middle - half)), 100 * float(min(1, middle + half)), p)
    if len(ours) < 2:
        return Difference(value, -np.inf, np.inf, p)
    from nas.student_interval import student_half

    half = float(student_half(ours - theirs))
    return Difference(value, value - half, value + half, p)


def paired_p_values(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the p values [A, B] of differences of means, for rows of scores [A, N] and [B, N] of the same examples.

    They are probabilities of such differences, of both signs, where the means do not differ.
    """
    from scipy.special import bdtr, stdtr

    count = ours.shape[1]
    if is_share(ours) and is_share(theirs):
        hits, others = (ours > 0).astype(float), (theirs > 0).astype(float)
        more, less = hits @ (1 - others).T, (1 - hits) @ others.T
        fewer = np.minimum(more, less)
        return np.minimum(1.0, 2 * bdtr(fewer, (more + less).astype(int), 0.5))
    if count < 2:
        return np.ones((len(ours), len(theirs)))
    deviations, others = (scores - scores.mean(axis=1, keepdims=True) for scores in (ours, theirs))
    squares = (deviations**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * deviations @ others.T
    error = np.sqrt(np.maximum(squares, 0) / (count - 1) / count)
    means = ours.mean(axis=1)[:, None] - theirs.mean(axis=1)[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(means == 0, 0.0, np.abs(means) / error)
    return np.where(np.isinf(t), 0.0, 2 * stdtr(count - 1, -np.where(np.isinf(t), 0.0, t)))


def independent_p_values(ours: Sequence[Ends | None], theirs: Sequence[Ends | None], values: np.ndarray) -> np.ndarray:
    """Return the same for values that were measured apart from each other.

    Args:
        ours: 95 % intervals of A values; None where the error of a value is not known. Such a value differs from no
            other.
        theirs: 95 % intervals of B other values.
        values: The values of both groups, A + B of them.
    """
    from scipy.special import ndtr

    (low, high), (other_low, other_high) = _ends(ours), _ends(theirs)
    value, other = values[: len(ours), None], values[None, len(ours) :]
    above = np.sqrt((value - low[:, None]) ** 2 + (other_high[None] - other) ** 2)
    below = np.sqrt((high[:, None] - value) ** 2 + (other - other_low[None]) ** 2)
    facing = np.where(value >= other, above, below)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(value == other, 0.0, _Z * np.abs(value - other) / facing)
    return np.where(np.isnan(z), 1.0, 2 * ndtr(-np.nan_to_num(z, nan=0.0, posinf=40.0)))


def _ends(intervals: Sequence[Ends | None]) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.array([(np.nan, np.nan) if ends is None else ends for ends in intervals], dtype=float).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


# ---- many numbers ---------------------------------------------------------------------------------------------------


def differing(p_values: np.ndarray) -> np.ndarray:
    """Return which of many tests [...] hold together: any claim among them is false in 5 % of cases (Holm)."""
    flat = p_values.ravel()
    order = np.argsort(flat, kind="stable")
    holds = np.logical_and.accumulate(flat[order] <= ERROR / np.arange(len(flat), 0, -1))
    found = np.zeros(len(flat), dtype=bool)
    found[order] = holds
    return found.reshape(p_values.shape)


def equals(values: np.ndarray, p_values: np.ndarray, *, maximise: bool) -> list[str]:
    """Return letters of values [M]: two values that have no letter in common differ.

    Values that share a letter may be equal; `a` is for those that may be the best. A value that differs from all others
    has no letter.

    Args:
        values: Finite numbers.
        p_values: P values of the differences of each two [M, M], see `paired_p_values`.
        maximise: Whether more is better.
    """
    count = len(values)
    order = np.argsort(-values if maximise else values, kind="stable")
    apart = np.zeros((count, count), dtype=bool)
    upper = np.triu_indices(count, 1)
    apart[upper] = differing(p_values[np.ix_(order, order)][upper])
    letters, reached, groups = [""] * count, 0, 0
    for first in range(count):
        last = int(np.flatnonzero(~apart[first]).max())  # the furthest value that may be equal; those between are near
        if last > first and last > reached:
            name = ascii_letters[groups] if groups < len(ascii_letters) else f"({groups + 1})"
            for place in order[first : last + 1]:
                letters[place] += name
            groups, reached = groups + 1, last
    return letters
