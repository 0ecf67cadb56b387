"""Train, validation and test splits: a split that a source does not provide is taken out of its training examples."""

import numpy as np

from supernets.streams import DATA_SPLIT

# Draws of one seed must differ between the two splits and the order in which the examples are kept.
_TEST, _VALIDATION, _SHUFFLE = range(3)
Positions = dict[str, np.ndarray]
"""Name of a split -> positions int64 [n] in its own part where that is published, else in the training part."""


def stratified(labels: np.ndarray, fraction: float, seed: int, purpose: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions that are kept, and those that are held out: `fraction` of each class, at least one."""
    rng = DATA_SPLIT.generator(seed, purpose)
    held = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        held.append(members[: min(len(members) - 1, max(1, round(fraction * len(members))))])
    out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), out), out


def split_positions(
    labels: np.ndarray,
    *,
    validation: int | None = None,
    test: int | None = None,
    fractions: tuple[float, float],
    seed: int = 0,
) -> Positions:
    """Return which examples make up the three splits, each in random order; the same for the same seed.

    Args:
        labels: Class of each training example [N], of which every split gets its share; all alike for none.
        validation: Number of examples of the published validation part; None where it is held out.
        test: Number of examples of the published test part; None where it is held out.
        fractions: Parts to hold out for validation (of the training examples) and test (of all).
        seed: Seed of the split.
    """
    train = np.arange(len(labels))
    out = {}
    for name, given, fraction, purpose in (
        ("test", test, fractions[1], _TEST),
        ("validation", validation, fractions[0], _VALIDATION),
    ):
        if given is not None:
            out[name] = np.arange(given)
            continue
        kept, held = stratified(labels[train], fraction, seed, purpose)
        train, out[name] = train[kept], train[held]
    rng = DATA_SPLIT.generator(seed, _SHUFFLE)
    return {
        name: rng.permutation(positions)
        for name, positions in (("train", train), ("validation", out["validation"]), ("test", out["test"]))
    }
