"""Classes of labels against a slow version, and blocks of reshapes by hand."""

import numpy as np

from search_spaces.tracing.labels import LabelTable
from search_spaces.tracing.rules.reshaping import blocks_of


def test_classes_and_pins_equal_those_of_a_slow_version():
    random = np.random.default_rng(0)
    for _ in range(20):
        table, classes, pinned = LabelTable(), [{label} for label in range(30)], set()
        table.fresh(30)
        for _ in range(8):
            left, right = random.integers(0, 30, (2, 3))
            table.merge(left, right)
            for a, b in zip(left.tolist(), right.tolist()):
                joined = classes[a] | classes[b]
                for label in joined:
                    classes[label] = joined
            if random.random() < 0.4:
                label = int(random.integers(30))
                table.pin([label], "said so")
                pinned.add(label)
        fixed = {other for label in pinned for other in classes[label]}
        assert {int(label) for label in np.flatnonzero(~table.is_free(np.arange(30)))} == fixed
        for label in set(range(30)) - fixed:
            same = np.flatnonzero(table.roots(np.arange(30)) == table.roots([label])[0])
            assert set(same.tolist()) == classes[label]


def test_the_first_reason_of_a_class_counts():
    table = LabelTable()
    labels = table.fresh(4)
    table.merge(labels[:2], labels[2:])
    table.pin(labels[0], "first")
    table.pin(labels[2], "second")
    assert table.reason(int(labels[2])) == "first"
    assert table.reason(int(labels[1])) == ""


def test_blocks_of_a_reshape_are_as_small_as_can_be():
    assert list(blocks_of([4, 6, 5], [2, 2, 30])) == [([0], [0, 1]), ([1, 2], [2])]
    assert list(blocks_of([1, 8, 3], [8, 1, 3])) == [([1], [0]), ([2], [2])]
