"""Limits mean what people write, in the unit of their objective."""

import pytest

from nas.objectives import Bound, parse_bound
from nas.objectives.limits import check_form, looks_like_a_share

MS = {"unit": "ms", "maximise": False}
MACS = {"unit": "MACs", "maximise": False}
PERCENT = {"unit": "%", "maximise": True}


@pytest.mark.parametrize(
    "text", [3, 3.0, "3", "3 ms", "3ms", "<= 3", "<=3", "<=3 ms", "≤ 3", "<= 3000 us", "0.003 s", "3e6 ns"]
)
def test_three_milliseconds_in_every_writing(text: str | float) -> None:
    assert parse_bound(text, **MS).high == pytest.approx(3)
    assert parse_bound(text, **MS).low is None


@pytest.mark.parametrize(
    ("text", "of", "low", "high"),
    [
        ("2 s", MS, None, 2000),
        ("90 %", PERCENT, 90, None),
        ("90%", PERCENT, 90, None),
        ("90 percent", PERCENT, 90, None),
        (">= 60, <= 90 %", PERCENT, 60, 90),
        ("1.5 M", MACS, None, 1.5e6),
        ("1.5M MACs", MACS, None, 1.5e6),
        ("5 MMACs", MACS, None, 5e6),
        ("2 million", MACS, None, 2e6),
        ("1_000_000", MACS, None, 1e6),
        (">= 1 k, <= 2 k", MACS, 1000, 2000),
        ("300 k params", {"unit": "weights", "maximise": False}, None, 3e5),
        ("2 MB", {"unit": "bytes", "maximise": False}, None, 2e6),
        ("3 ms", {"unit": "ms (analytic)", "maximise": False}, None, 3),
        ("0.5", {"unit": "", "maximise": True}, 0.5, None),
    ],
)
def test_units_and_directions(text: str, of: dict, low: float | None, high: float | None) -> None:
    assert parse_bound(text, **of) == Bound(low, high)


@pytest.mark.parametrize(
    ("text", "of", "told"),
    [
        ("3 M", MS, "'M' is not a unit of this objective; allowed: ns, us"),
        ("3 %", MS, "'%' is not a unit"),
        ("3 ms", PERCENT, "allowed: %, percent"),
        ("3 apples", MACS, "allowed: MACs, k, M, G"),
        ("< 3", MS, "did you mean '<= 3'?"),
        ("> 3", MS, "did you mean '>= 3'?"),
        ("=> 3", MS, "did you mean '>= 3'?"),
        ("= 3", MS, "did you mean '<= 3'?"),
        ("<= nan", MS, "is written"),
        ("inf", MS, "is written"),
        ("<= 1e999", MS, "is written"),
        ("", MS, "is written"),
        ("3, 4", MS, "is written"),
        ("fast", MS, "is written"),
        ("3", {}, "is written '<= number'"),
        ("<= 3 ms", {}, "unit of this objective is not known"),
    ],
)
def test_what_is_no_limit_says_what_is(text: str, of: dict, told: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).*") as refused:
        parse_bound(text, **of)
    assert told in str(refused.value)


def test_the_form_is_checked_without_the_objective() -> None:
    check_form("3 apples")
    with pytest.raises(ValueError, match="did you mean '<= 3 apples'"):
        check_form("< 3 apples")


@pytest.mark.parametrize(
    ("text", "unit", "share"),
    [(">= 0.9", "%", True), (0.9, "%", True), (">= 0.9 %", "%", False), (">= 90", "%", False), (">= 0.9", "", False)],
)
def test_a_share_is_told_from_percent(text: str | float, unit: str, share: bool) -> None:
    assert looks_like_a_share(text, unit) is share
