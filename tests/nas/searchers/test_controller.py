"""The controller of NASAIC."""

from fnmatch import fnmatchcase

import numpy as np
import pytest

from nas.objectives import Bound
from nas.searchers.controller import Controller
from nas.searchers.decision_policy import DecisionPolicy
from search_spaces import Decision, Space
from search_spaces.errors import FieldError

NETWORKS, HARDWARE = 3, 3


def space() -> Space:
    names = [*(f"net.d{i}" for i in range(NETWORKS)), *(f"accelerator.d{i}" for i in range(HARDWARE))]
    return Space(name="pairs", decisions=tuple(Decision(name, (0, 1, 2)) for name in names))


def made(violation=lambda encodings: np.zeros(len(encodings)), **options) -> Controller:
    return Controller(space(), objectives=1, seed=0, violation=violation, **options)


def test_the_violation_of_a_limit_is_the_published_penalty_where_the_upper_bound_is_twice_the_limit():
    """W1 of the paper: accuracies 92.85 and 83.74 %, latency 9.45e5 for a limit of 8e5 and a bound of 1.6e6."""
    spec, bound, latency = 8e5, 1.6e6, 9.45e5
    published = max(0.0, (latency - spec) / (bound - spec))
    assert Bound(None, spec).violation(latency) == pytest.approx(published) == pytest.approx(0.18125)
    assert 10 * published == pytest.approx(1.8125)
    assert 0.5 * 0.9285 + 0.5 * 0.8374 - 10 * Bound(None, spec).violation(7.77e5) == pytest.approx(0.88295)


def test_a_policy_learns_what_is_rewarded():
    policy, generator = DecisionPolicy(np.array([3, 3, 3]), 0.05, seed=1), np.random.default_rng(0)
    everything = np.full(3, -1)
    before = np.mean([policy.drawn(everything, generator) == 2 for _ in range(50)])
    for _ in range(120):
        drawn = policy.drawn(everything, generator)
        policy.learn(drawn, float((drawn == 2).sum()) - 1.5)
    assert np.mean([policy.drawn(everything, generator) == 2 for _ in range(50)]) > before + 0.25
    assert policy.drawn(np.array([0, -1, 1]), generator)[[0, 2]].tolist() == [0, 1]


def test_designs_outside_limits_are_learned_from_but_not_asked_for():
    seen: list[np.ndarray] = []

    def violation(encodings: np.ndarray) -> np.ndarray:
        seen.extend(encodings)
        return np.maximum(0, encodings[:, NETWORKS:].sum(axis=1) - 1.0)

    controller = made(violation, lr=0.05)
    for _ in range(15):
        (asked,) = controller.ask()
        row = controller.space.encode(asked)
        assert row[NETWORKS:].sum() <= 1
        controller.tell([asked], np.array([[float(row.sum())]]), np.zeros(1))
    many = np.array(seen)
    assert (many[:, NETWORKS:].sum(axis=1) > 1).any()
    draws = [controller.policy.drawn(np.full(6, -1), controller.generator)[NETWORKS:].sum() for _ in range(40)]
    assert np.mean(draws) < 2.5  # 3 where nothing was learned


def test_after_a_joint_step_hardware_alone_is_drawn_again():
    seen: list[list[int]] = []

    def violation(encodings: np.ndarray) -> np.ndarray:
        seen.extend(encodings.tolist())
        return np.ones(len(encodings))

    controller = made(violation, hardware_steps=4)
    assert controller._episode() is None
    assert len(seen) == 5
    assert len({tuple(row[:NETWORKS]) for row in seen}) == 1
    assert len({tuple(row[NETWORKS:]) for row in seen}) > 1
    assert controller.hardware.tolist() == [fnmatchcase(d.name, "accel*") for d in controller.space.decisions]


def test_wrong_settings_are_refused():
    with pytest.raises(FieldError, match="hardware_steps must be 0 or more, got -1"):
        made(hardware_steps=-1)
    with pytest.raises(FieldError, match="lr must be more than 0, got 0"):
        made(lr=0)
