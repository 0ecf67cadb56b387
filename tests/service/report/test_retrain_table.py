"""The table of fine-tuned members."""

import pytest

from service.report.terminal import retrain_table


@pytest.mark.parametrize(("maximise", "gain"), [(True, "-0.25"), (False, "+0.25")])
def test_a_gain_is_above_zero_where_the_quality_became_better(maximise, gain):
    row = {"key": "k", "epochs": 1.0, "inherited_quality": 2.0, "retrained_quality": 1.75}
    table = retrain_table([row], "kg", maximise=maximise)
    assert list(table.columns[-1].cells) == [gain]
