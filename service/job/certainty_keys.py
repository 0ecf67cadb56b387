"""The key of the certainty of numbers in `front.json`, readable without numpy."""

CERTAINTY = "certainty"
"""Key of what `front.json` says of this, beside its members."""
LETTERS = "letters"
"""Key of the letters of a member, by the name of the number: members with no letter in common differ in it."""
ORIGINAL = "original"
"""Entry of `front.json`: the largest network as it was when it alone had been trained, described as members are. It is
also what its files are called."""
TEST, TEST_INTERVAL = "test_quality", "test_interval"
SHARES = {"accuracy"}
"""Metrics that are shares of the examples in percent, where nothing is kept of single examples that says it."""
