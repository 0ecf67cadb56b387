"""Numbers with a source, one at least for every proxy and aggregate; a catalogue entry without one fails."""

import pytest

from service import catalogue
from tests.golden import proxy_gradients, proxy_statistics

GOLDEN = proxy_gradients.GOLDEN | proxy_statistics.GOLDEN


@pytest.mark.parametrize("name", [*catalogue.PROXIES, *catalogue.AGGREGATES])
def test_proxy_has_a_golden_number(name: str) -> None:
    assert name in GOLDEN, f"{name} has no golden number: add one with its source"
    compute, expected, tolerance, source = GOLDEN[name]
    assert len(source) > 10
    assert compute() == pytest.approx(expected, rel=tolerance, abs=tolerance)


def test_there_is_no_number_of_what_is_not_listed() -> None:
    assert set(GOLDEN) == {*catalogue.PROXIES, *catalogue.AGGREGATES}
    assert not proxy_gradients.GOLDEN.keys() & proxy_statistics.GOLDEN.keys()
