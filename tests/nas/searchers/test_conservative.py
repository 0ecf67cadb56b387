"""Conservative search: which class changes, which encoder learns, and what it finds."""

import numpy as np
import pytest
import torch

from nas.searchers.class_encoders import ClassEncoders, ControllerConfig, classes_of, decision_entropy
from nas.searchers.conservative import Conservative
from search_spaces import Decision, Space
from search_spaces.errors import FieldError
from search_spaces.families.gnn import gnn

KINDS = ("attention", "heads", "width")
CONFIG = ControllerConfig(lr=0.01, temperature=5.0, tanh_constant=2.5, entropy_weight=1e-4)


def layers(choices: int = 4) -> Space:
    names = [f"layer{layer}.{kind}" for layer in (1, 2) for kind in KINDS]
    return Space(name="layers", decisions=tuple(Decision(name, tuple(range(choices))) for name in names))


def made(space: Space, *, seed: int = 0, **options) -> Conservative:
    return Conservative(space, objectives=1, seed=seed, violation=lambda rows: np.zeros(len(rows)), **options)


def changed(space: Space, one, other) -> set[str]:
    names = [decision.name for decision in space.decisions]
    return {names[i].split(".")[1] for i in np.flatnonzero(space.encode(one) != space.encode(other))}


def weights(encoders: ClassEncoders) -> dict[str, torch.Tensor]:
    return {
        name: torch.cat([parameter.detach().flatten() for parameter in encoder.parameters()])
        for name, encoder in encoders.encoders.items()
    }


def test_classes_are_kinds_of_decisions():
    assert classes_of(["layer1.heads", "layer1.width", "layer2.heads"]) == {"heads": [0, 2], "width": [1]}
    assert list(classes_of(["edge0_1", "edge1_2"])) == ["edge"]
    assert set(classes_of([decision.name for decision in gnn().decisions])) == {
        *("attention", "aggregate", "activation", "heads", "width")
    }


def test_an_encoder_reads_all_decisions_but_those_of_its_class():
    space = layers()
    names = [decision.name for decision in space.decisions]
    encoders = ClassEncoders(names, space.choice_counts, CONFIG, seed=0)
    before = encoders.probabilities(np.zeros(6, np.int64))
    other = encoders.probabilities(np.array([0, 3, 0, 0, 1, 0]))  # both numbers of heads
    assert all(np.array_equal(*pair) for pair in zip(before["heads"], other["heads"]))
    assert not np.array_equal(before["width"][0], other["width"][0])


def test_the_class_of_the_highest_entropy_has_its_turn_first():
    space = layers()
    names = [decision.name for decision in space.decisions]
    encoders = ClassEncoders(names, space.choice_counts, CONFIG, seed=0)
    row = np.zeros(6, np.int64)
    for _ in range(40):
        encoders.encoders["heads"].learn(row, [2, 2], reward=1.0)
    order = [name for name, _ in encoders.by_entropy(row)]
    assert order[-1] == "heads"
    found = encoders.probabilities(row)
    by_hand = {name: -sum(p * np.log(p) for one in rows for p in one) for name, rows in found.items()}
    assert {name: pytest.approx(decision_entropy(rows)) for name, rows in found.items()} == by_hand
    assert by_hand["heads"] < by_hand["width"] <= 2 * np.log(4)


def test_an_offspring_differs_from_the_best_in_one_class_and_only_its_encoder_learns():
    space, losses = layers(), {}
    searcher = made(space)
    (best,) = searcher.ask()
    losses[best] = 0.0
    searcher.tell([best], np.array([[0.0]]), np.zeros(1))
    for step in range(12):
        before = weights(searcher.encoders)
        entropies = {
            n: decision_entropy(rows) for n, rows in searcher.encoders.probabilities(space.encode(best)).items()
        }
        (offspring,) = searcher.ask()
        (kind,) = changed(space, best, offspring)
        assert kind == max(entropies, key=entropies.get)
        loss = float(np.random.default_rng(step).normal())
        searcher.tell([offspring], np.array([[loss]]), np.zeros(1))
        after = weights(searcher.encoders)
        assert [name for name in before if not torch.equal(before[name], after[name])] == [kind]
        if loss < losses[best]:
            best = offspring
            losses[best] = loss


def test_several_classes_may_change_at_once():
    space = layers()
    searcher = made(space, classes=2)
    (best,) = searcher.ask()
    searcher.tell([best], np.array([[0.0]]), np.zeros(1))
    seen = {frozenset(changed(space, best, searcher.ask()[0])) for _ in range(8)}
    assert max(map(len, seen)) == 2


@pytest.mark.parametrize("seed", range(2))
def test_a_planted_architecture_is_found(seed):
    """The loss is the number of decisions that differ from those of one architecture."""
    space = gnn()
    target = space.encode(space.sample(np.random.default_rng(100 + seed)))
    searcher, found = made(space, seed=seed), []
    for _ in range(500):
        asked = searcher.ask()
        losses = np.array([[float((space.encode(one) != target).sum())] for one in asked])
        searcher.tell(asked, losses, np.zeros(len(asked)))
        found += losses[:, 0].tolist()
        if found[-1] == 0:
            break
    assert min(found) == 0


@pytest.mark.parametrize("option", [{"classes": 0}, {"lr": 0.0}, {"temperature": -1.0}, {"baseline_decay": 1.0}])
def test_wrong_options_are_named(option):
    with pytest.raises(FieldError) as caught:
        made(layers(), **option)
    assert caught.value.field == next(iter(option))
