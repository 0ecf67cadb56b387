"""The certainty of the numbers of a front, and which of its members can be told apart.

Quality on a split has an interval that follows from the number of its examples. Two members are compared by their
outcomes on the same examples, where these are kept. Otherwise they are compared by their intervals, as if on different
examples, which finds fewer differences. Measured costs are compared by their intervals. Many comparisons are made at
once, so each of them has to be more certain than a single one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas import intervals
from service.job.certainty_keys import CERTAINTY, LETTERS, ORIGINAL, SHARES, TEST, TEST_INTERVAL
from service.job.folder import finite

Scores = Callable[[str, str], np.ndarray | None]
"""Key of a member and name of a split -> what each example adds to the metric [N]; None where that is not kept."""
Member = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The facts that the certainty of a front depends on.

    Attributes:
        metric: Name of the metric that networks are judged by.
        maximise: Whether more of it is better.
        measured: Names of the costs that were measured.
        described: Whether the search knew the metric, so that its values are those of the validation split.
    """

    metric: str
    maximise: bool
    measured: Sequence[str]
    described: bool


def nothing_kept(key: str, split: str) -> None:
    """Return that no scores are kept."""
    return


def with_certainty(front: Mapping[str, Any], judged: Judged, scores: Scores = nothing_kept) -> dict[str, Any]:
    """Return a front whose members have intervals of quality, and letters that say which of them differ.

    Args:
        front: Content of `front.json` in the terms of this version.
        judged: Facts about its numbers.
        scores: Scores of members for single examples.
    """
    members = [{**member, "intervals": dict(member.get("intervals") or {}), LETTERS: {}} for member in front["members"]]
    examples, how = front.get("examples") or {}, {}
    if judged.described:
        how[judged.metric] = _judge(members, "validation", judged, scores, examples.get("validation"))
    how[TEST] = _judge(members, "test", judged, scores, examples.get("test"))
    for name in judged.measured:
        values = np.array([_number(member["values"].get(name)) for member in members])
        ends = [_pair(member["intervals"].get(name)) for member in members]
        if any(pair is not None for pair in ends):
            _mark(members, name, values, intervals.independent_p_values([*ends], [*ends], _twice(values)), False)
            how[name] = "intervals"
    known = {name: by for name, by in how.items() if by}
    original = _with_intervals(front.get(ORIGINAL), judged, scores, examples)
    return {**front, **original, "members": members, CERTAINTY: {"level": 1 - intervals.ERROR, "compared_by": known}}


def _with_intervals(
    original: Mapping[str, Any] | None, judged: Judged, scores: Scores, examples: Mapping[str, int]
) -> dict[str, Any]:
    """Return the entry of the original network with intervals of its quality; empty where a front has none.

    It is compared with no member, so its letters say nothing.
    """
    if not original:
        return {}
    alone = {**original, "intervals": dict(original.get("intervals") or {}), LETTERS: {}}
    named = [{**alone, "key": ORIGINAL}]  # its files are not those of a member with the same architecture
    for split in ("validation", "test"):
        if split == "test" or judged.described:
            _judge(named, split, judged, scores, examples.get(split))
    return {ORIGINAL: {**named[0], "key": original["key"], LETTERS: {}}}


def _judge(members: Sequence[Member], split: str, judged: Judged, scores: Scores, count: int | None) -> str:
    """Add intervals and letters of the quality on a split; return by what members were compared, or nothing."""
    name = judged.metric if split == "validation" else TEST
    values = np.array([_number(m["values"].get(name) if split == "validation" else m.get(TEST)) for m in members])
    kept = [scores(str(member["key"]), split) for member in members]
    ends = [_ends(value, own, judged.metric, count) for value, own in zip(values, kept)]
    for member, pair in zip(members, ends):
        if pair is not None and split == "validation":
            member["intervals"][name] = list(pair)
        elif pair is not None:
            member[TEST_INTERVAL] = list(pair)
    there = [own for own in kept if own is not None]
    if members and len(there) == len(members) and len({len(own) for own in there}) == 1:
        together = np.stack(there)
        _mark(members, name, values, intervals.paired_p_values(together, together), judged.maximise)
        return "same examples"
    if any(pair is not None for pair in ends):
        p_values = intervals.independent_p_values(ends, ends, _twice(values))
        _mark(members, name, values, p_values, judged.maximise)
        return "intervals"
    return ""


def _ends(value: float, own: np.ndarray | None, metric: str, count: int | None) -> intervals.Ends | None:
    """Return the interval of a quality, None where nothing says how sure it is."""
    if not np.isfinite(value):
        return None
    if own is not None and not intervals.is_share(own):
        found = intervals.interval_of_mean(own)
        shift = value - float(own.mean())
        return None if found is None else (found[0] + shift, found[1] + shift)
    count = len(own) if own is not None else count if metric in SHARES else None
    return intervals.interval_of_share(min(100.0, max(0.0, value)), count) if count else None


def _mark(members: Sequence[Member], name: str, values: np.ndarray, p_values: np.ndarray, maximise: bool) -> None:
    """Give members their letters; those without a value have none."""
    there = np.flatnonzero(np.isfinite(values))
    letters = intervals.equals(values[there], p_values[np.ix_(there, there)], maximise=maximise)
    for place, letter in zip(there.tolist(), letters):
        if letter:
            members[place][LETTERS][name] = letter


def _twice(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, values])


def _number(value: Any) -> float:
    number = finite(value)
    return float("nan") if number is None else number


def _pair(ends: Any) -> intervals.Ends | None:
    low, high = (finite(end) for end in ends or (None, None))
    return None if low is None or high is None else (low, high)
