"""Balanced assignment of architectures to supernets."""

import numpy as np
import pytest

from supernets.assignment import Assignment

# Four architectures in two supernets at temperature .2, worked out with float64 by alternating row and column sums.
ACCURACIES = np.array([[0.9, 0.5], [0.8, 0.4], [0.6, 0.7], [0.5, 0.5]])
BALANCED = np.array([[0.7534, 0.2466], [0.7534, 0.2466], [0.2005, 0.7995], [0.2926, 0.7074]])


def balanced(accuracies: np.ndarray, sharpness: float) -> np.ndarray:
    return Assignment(accuracies.copy(), sharpness).probabilities()


def test_probabilities_of_the_example_to_four_digits():
    found = balanced(ACCURACIES, 5.0)
    np.testing.assert_allclose(found, BALANCED, atol=5e-5)
    np.testing.assert_allclose(found.sum(0), 2.0, atol=1e-3)
    np.testing.assert_allclose(found.sum(1), 1.0)


def test_alternating_sums_give_the_same():
    joint = np.exp(5 * ACCURACIES)
    for _ in range(1000):
        joint /= joint.sum(0) * 2
        joint /= joint.sum(1, keepdims=True) * 4
    np.testing.assert_allclose(balanced(ACCURACIES, 5.0), joint / joint.sum(1, keepdims=True), atol=1e-4)


@pytest.mark.parametrize("axis", [0, 1])
def test_what_is_equally_better_everywhere_changes_nothing(axis):
    shift = np.array([0.3, -0.1, 0.2, 0.0])[: ACCURACIES.shape[axis]]
    moved = ACCURACIES + (shift[:, None] if axis == 0 else shift)
    np.testing.assert_allclose(balanced(moved, 5.0), balanced(ACCURACIES, 5.0), atol=1e-4)


def test_one_supernet_has_everything():
    np.testing.assert_array_equal(balanced(np.random.default_rng(0).random((7, 1)), 100.0), np.ones((7, 1)))


def test_without_sharpness_all_supernets_are_alike():
    np.testing.assert_allclose(balanced(np.random.default_rng(0).random((9, 3)), 0.0), 1 / 3)


def test_sharp_assignments_are_decided_and_balanced():
    found = balanced(np.random.default_rng(0).random((40, 4)), 1000.0)
    assert np.median(found.max(1)) > 0.999
    counts = np.bincount(found.argmax(1), minlength=4)
    assert counts.sum() == 40
    np.testing.assert_allclose(found.sum(0), 10.0, atol=0.05)
    assert counts.min() >= 8


def test_a_planted_preference_is_found_again_from_noisy_accuracies():
    generator, assignment = np.random.default_rng(0), Assignment.fresh(36, 3)
    planted = np.arange(36) % 3
    for step in range(36 * 3 * 30):
        assignment.sharpness = 1 + 99 * step / (36 * 3 * 30)
        row = int(generator.integers(36))
        member = int(generator.choice(3, p=assignment.probabilities()[row]))
        seen = 0.6 + 0.2 * (planted[row] == member) + generator.normal(0, 0.05)
        assignment.observe(row, member, seen, memory=0.9)
    assert (assignment.best() == planted).mean() > 0.9
    assert np.bincount(assignment.best(), minlength=3).tolist() == pytest.approx([12] * 3, abs=2)


def test_accuracies_are_running_averages():
    assignment = Assignment.fresh(2, 2)
    assignment.observe(1, 0, 0.5, memory=0.9)
    assignment.observe(1, 0, 0.0, memory=0.9)
    np.testing.assert_allclose(assignment.accuracies, [[1, 1], [0.9 * 0.95, 1]])
