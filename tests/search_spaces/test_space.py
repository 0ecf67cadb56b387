"""Spaces as data: canonical form, encodings, counts, restriction."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import Architecture, Decision, Input, InvalidArchitecture, Relaxation, Space
from search_spaces.places import Block, Place


@pytest.fixture
def space() -> Space:
    """Two depths, three blocks, the last of which is nested below the second."""
    return Space(
        name="tiny",
        decisions=(
            Decision("depth", (1, 2, 3)),
            Decision("block1.kernel", (3, 5)),
            Decision("block2.kernel", (3, 5, 7), "depth", (2, 3)),
            Decision("block3.kernel", (3, 5), "depth", (3,)),
            Decision("block3.gate", ("none", "sigmoid"), "block3.kernel", (5,)),
        ),
    )


def all_values(space: Space):
    names = [decision.name for decision in space.decisions]
    for values in itertools.product(*(decision.choices for decision in space.decisions)):
        yield dict(zip(names, values))


def test_count_equals_enumeration(space):
    assert space.count() == len({space.architecture(values) for values in all_values(space)})


def test_inactive_decisions_are_dropped(space):
    values = {"depth": 1, "block1.kernel": 3, "block2.kernel": 7, "block3.kernel": 5, "block3.gate": "none"}
    assert dict(space.architecture(values)) == {"depth": 1, "block1.kernel": 3}


def test_canonical_form_is_idempotent(space):
    for values in all_values(space):
        architecture = space.architecture(values)
        assert space.architecture(architecture) == architecture
        assert architecture in space


def test_encoding_round_trip(space):
    for values in all_values(space):
        architecture = space.architecture(values)
        assert space.decode(space.encode(architecture)) == architecture


def test_canonical_encodings_are_equal_exactly_where_architectures_are(space):
    encodings = np.array(list(itertools.product(*(range(n) for n in space.choice_counts))))
    rows = [tuple(row) for row in space.canonical(encodings)]
    architectures = [space.decode(row) for row in encodings]
    assert len(set(rows)) == len(set(architectures)) == len(set(zip(rows, architectures)))


def test_features_are_one_hot_over_active_decisions(space):
    encodings = space.sample_encodings(50, np.random.default_rng(0))
    features = space.features(encodings)
    assert features.shape == (50, sum(space.choice_counts))
    assert features.sum(axis=1).tolist() == [len(space.decode(row)) for row in encodings]
    inactive = {"depth": 1, "block1.kernel": 3}
    a, b = (space.encode(inactive) for _ in range(2))
    b[2] = 2  # a gene that is inactive
    assert np.array_equal(space.features(a[None]), space.features(b[None]))


def test_json_round_trip_and_key_do_not_depend_on_order(space):
    architecture = space.largest()
    restored = Architecture.from_json(json.loads(json.dumps(architecture.to_json())))
    shuffled = Architecture(dict(reversed(list(architecture.items()))))
    assert restored == architecture == shuffled
    assert restored.key == shuffled.key
    assert len({restored, shuffled, architecture}) == 1


def test_mutation_changes_an_active_decision(space):
    generator = np.random.default_rng(0)
    for _ in range(200):
        architecture = space.sample(generator)
        mutant = space.mutate(architecture, generator, rate=0.01)
        assert mutant in space
        assert mutant != architecture


def test_sampling_is_uniform_over_each_decision(space):
    encodings = np.random.default_rng(0).integers(0, space.choice_counts, (9000, 5))
    drawn = [space.sample(np.random.default_rng(i))["depth"] for i in range(3000)]
    assert encodings.shape == (9000, 5)
    for depth in (1, 2, 3):
        assert drawn.count(depth) / 3000 == pytest.approx(1 / 3, abs=0.035)


def test_restriction_keeps_architectures_of_the_whole_space(space):
    part = space.restrict({"*.kernel": (5, 7), "depth": (3,)})
    assert part.count() == 1 * 1 * 2 * 1 * 2
    assert part.largest() == space.largest()
    assert all(part.sample(np.random.default_rng(i)) in space for i in range(20))


def test_restriction_says_what_matches_nothing(space):
    with pytest.raises(ValueError, match=r"no decision of 'tiny' matches 'width'"):
        space.restrict({"width": (3,)})
    with pytest.raises(ValueError, match=r"depth allows \(1, 2, 3\), none of \(9,\)"):
        space.restrict({"depth": (9,)})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 1}, "'block1.kernel' has no value; choose one of"),
        ({"depth": 4, "block1.kernel": 3}, r"depth = 4 is not one of \(1, 2, 3\)"),
        ({"dept": 1}, "space 'tiny' has no decision 'dept'"),
    ],
)
def test_invalid_architecture_names_decision_value_and_choices(space, values, message):
    with pytest.raises(InvalidArchitecture, match=message):
        space.architecture(values)


def test_invalid_encodings_are_refused(space):
    with pytest.raises(InvalidArchitecture, match="has 5 entries, got 2"):
        space.decode([0, 0])
    with pytest.raises(InvalidArchitecture, match=r"depth: index 3 is outside 0\.\.2"):
        space.decode([3, 0, 0, 0, 0])


def test_decisions_are_checked():
    with pytest.raises(ValueError, match="distinct"):
        Decision("kernel", (3, 3))
    with pytest.raises(ValueError, match="go together"):
        Decision("kernel", (3,), parent="depth")
    with pytest.raises(ValueError, match="before its parent"):
        Space(name="s", decisions=(Decision("kernel", (3,), "depth", (1,)), Decision("depth", (1,))))


# ---- mixtures of architectures --------------------------------------------------------------------------------------


@pytest.fixture
def layers() -> Space:
    """Two decisions that do not depend on each other, one of numbers and one of names."""
    return Space(name="layers", decisions=(Decision("kernel", (3, 5)), Decision("op", ("skip", "conv", "pool"))))


def test_a_relaxation_holds_a_choice_or_weights_for_every_decision(layers):
    weights = {"conv": torch.tensor(0.25), "skip": 0.75}
    relaxation = layers.relaxation({"op": weights, "kernel": 5.0})
    assert list(relaxation) == ["kernel", "op"]
    assert relaxation["kernel"] == 5
    assert isinstance(relaxation["kernel"], int)
    assert relaxation["op"] == weights
    assert relaxation["op"]["conv"] is weights["conv"]  # so that gradients reach it
    assert isinstance(relaxation, Relaxation)
    assert not isinstance(relaxation, Architecture)


def test_every_architecture_is_a_relaxation_too(layers):
    for values in all_values(layers):
        architecture = layers.architecture(values)
        assert dict(layers.relaxation(architecture)) == dict(architecture)
        one_hot = layers.relaxation({decision: {choice: 1.0} for decision, choice in values.items()})
        assert {decision: next(iter(weights)) for decision, weights in one_hot.items()} == values


def test_changing_the_given_weights_does_not_change_the_relaxation(layers):
    weights = {"conv": 1.0}
    relaxation = layers.relaxation({"kernel": 3, "op": weights})
    weights["skip"] = 0.5
    assert dict(relaxation["op"]) == {"conv": 1.0}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kernel": 3}, r"'op' has no value; choose one of \('skip', 'conv', 'pool'\), or weights of them"),
        ({"kernel": 3, "op": {}}, "'op' has no value; choose one of"),
        ({"kernel": 3, "op": None}, "'op' has no value; choose one of"),
        ({}, r"'kernel' has no value; choose one of \(3, 5\), or weights of them"),
        ({"kernel": 3, "op": {"conv": 0.5, "identity": 0.5}}, "op = 'identity' is not one of"),
        ({"kernel": {7: 1.0}, "op": "conv"}, r"kernel = 7 is not one of \(3, 5\)"),
        ({"kernel": 7, "op": "conv"}, r"kernel = 7 is not one of \(3, 5\)"),
        ({"kernel": 3, "op": "conv", "stride": 2}, "space 'layers' has no decision 'stride'; it has kernel, op"),
    ],
)
def test_invalid_relaxations_name_decision_value_and_choices(layers, values, message):
    with pytest.raises(InvalidArchitecture, match=message) as caught:
        layers.relaxation(values)
    assert "\n" not in str(caught.value)


def test_weights_of_choices_that_a_restriction_left_out_are_refused(layers):
    part = layers.restrict({"op": ("conv", "pool")})
    with pytest.raises(InvalidArchitecture, match=r"op = 'skip' is not one of \('conv', 'pool'\)"):
        part.relaxation({"kernel": 3, "op": {"skip": 0.5, "conv": 0.5}})


def test_spaces_whose_decisions_depend_on_each_other_cannot_be_relaxed(space, pairs):
    for dependent in (space, pairs):
        with pytest.raises(ValueError, match=f"space '{dependent.name}' has decisions that depend on others"):
            dependent.relaxation(dependent.largest())


# ---- spaces with a fold: unordered pairs of digits whose sum is even ------------------------------------------------


def sorted_even(values):
    low, high = sorted((values["a"], values["b"]))
    if (low + high) % 2:
        raise InvalidArchitecture(f"a + b = {low + high} is odd")
    return {"a": low, "b": high} if low else {"b": high}


@pytest.fixture
def pairs() -> Space:
    return Space(
        name="pairs",
        decisions=(Decision("a", tuple(range(6))), Decision("b", tuple(range(6)))),
        fold=lambda values: sorted_even({"a": 0} | values),
        size=12,
        extremes=({"b": 0}, {"a": 5, "b": 5}),
        cost=lambda columns: {"params": columns["a"] + columns["b"], "macs": columns["a"] * columns["b"]},
    )


def test_folded_encodings_are_equal_exactly_where_architectures_are(pairs):
    encodings = np.array(list(itertools.product(range(6), range(6))))
    valid = pairs.valid(encodings)
    assert valid.tolist() == [(a + b) % 2 == 0 for a, b in encodings]
    rows = [tuple(row) for row in pairs.canonical(encodings[valid])]
    architectures = [pairs.decode(row) for row in encodings[valid]]
    assert len(set(rows)) == len(set(architectures)) == len(set(zip(rows, architectures))) == pairs.count()
    assert pairs.canonical(encodings[~valid]).tolist() == encodings[~valid].tolist()


def test_valid_says_false_outside_the_choices(space, pairs):
    assert pairs.valid(np.array([[6, 0], [-1, 1], [0, 0]])).tolist() == [False, False, True]
    assert space.valid(np.array([[3, 0, 0, 0, 0], [2, 0, 0, 0, 0]])).tolist() == [False, True]


def test_everything_drawn_from_a_folded_space_is_a_member(pairs):
    generator = np.random.default_rng(0)
    drawn = pairs.sample_encodings(300, generator)
    assert pairs.valid(drawn).all()
    assert drawn.tolist() == pairs.canonical(drawn).tolist()
    for encoding in drawn[:50]:
        architecture = pairs.decode(encoding)
        mutant = pairs.mutate(architecture, generator)
        assert architecture in pairs
        assert mutant in pairs
        assert mutant != architecture
        assert pairs.encode(architecture).tolist() == encoding.tolist()


def test_folded_features_and_costs_do_not_depend_on_the_form(pairs):
    forms = np.array([[1, 3], [3, 1]])
    assert np.array_equal(*pairs.features(forms))
    assert pairs.features(np.array([[0, 2]]))[0, :6].tolist() == [0] * 6
    assert pairs.costs(forms)["macs"].tolist() == [3, 3]
    with pytest.raises(InvalidArchitecture, match="a \\+ b = 1 is odd"):
        pairs.costs(np.array([[0, 1]]))


def test_extremes_of_a_folded_space_are_members_also_of_its_parts(pairs):
    assert dict(pairs.largest()) == {"a": 5, "b": 5}
    assert dict(pairs.smallest()) == {"b": 0}
    part = pairs.restrict({"*": (1, 2, 3, 4)})
    assert dict(part.largest()) == {"a": 4, "b": 4}
    assert dict(part.smallest()) == {"a": 1, "b": 1}
    with pytest.raises(ValueError, match="is not known"):
        part.count()


def test_a_space_without_members_says_so():
    empty = Space(name="none", decisions=(Decision("a", (1, 3)), Decision("b", (2, 4))), fold=sorted_even)
    with pytest.raises(InvalidArchitecture, match="'none': 0 of 1000 random draws are members"):
        empty.sample(np.random.default_rng(0))


# ---- rows of tables -----------------------------------------------------------------------------------------------


def test_rows_are_read_in_the_formats_of_the_space_or_as_json(pairs):
    space = dataclasses.replace(pairs, formats={("pair",): lambda text: dict(zip("ab", map(int, text.split("+"))))})
    assert dict(space.read_row({"pair": "3+1", "accuracy": "1.0"})) == {"a": 1, "b": 3}
    assert dict(space.read_row({"architecture": '{"a": 3, "b": 5}'})) == {"a": 3, "b": 5}
    with pytest.raises(ValueError, match="needs the columns pair or architecture; there are accuracy"):
        space.read_row({"accuracy": "1.0"})
    with pytest.raises(ValueError, match="is not JSON"):
        space.read_row({"architecture": "{"})
    with pytest.raises(ValueError, match="must be a JSON object"):
        space.read_row({"architecture": "[1]"})


def test_subnet_without_a_network_says_so(pairs):
    with pytest.raises(TypeError, match="no elastic network"):
        pairs.subnet(pairs.largest())


def test_subnet_names_a_layer_that_cannot_be_initialised():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1))

    space = Space(name="scales", decisions=(Decision("a", (1,)),), build=lambda: nn.Sequential(Scale()))
    with pytest.raises(TypeError, match="0: Scale has weights but no reset_parameters"):
        space.subnet(space.largest())


# ---- costs and examples of one's own ------------------------------------------------------------------------------


def test_costs_may_have_any_names_and_units():
    decisions = (Decision("width", (1, 2, 4)), Decision("bits", (4, 8)))

    def cost(columns):
        return {"params": columns["width"] * 10, "bytes": columns["width"] * columns["bits"], "steps": columns["bits"]}

    space = Space(name="own", decisions=decisions, cost=cost, units={"bytes": "B"})
    assert space.cost_names == ("params", "bytes", "steps")
    costs = space.costs([{"width": 2, "bits": 8}, {"width": 4, "bits": 4}])
    assert costs["bytes"].tolist() == [16, 16]
    assert costs.units == {"params": "weights", "bytes": "B", "steps": "steps"}
    assert space.costs([]).keys() == costs.keys()


def test_blocks_may_have_costs_of_any_names():
    blocks = {kind: Block(kind, (1,), nn.Identity, lambda kind=kind: {"energy": len(kind)}) for kind in ("a", "bb")}
    place = Place(("kind",), blocks.__getitem__, repeats=3)
    space = Space(name="own", decisions=(Decision("kind", ("a", "bb")),), places=lambda: [place])
    assert space.costs([{"kind": "bb"}, {"kind": "a"}])["energy"].tolist() == [6, 3]


def test_a_space_without_costs_says_so():
    space = Space(name="none", decisions=(Decision("a", (1, 2)),))
    assert space.cost_names == ()
    with pytest.raises(TypeError, match="'none' has no exact cost"):
        space.costs([space.smallest()])


def test_inputs_follow_decisions_and_have_types_of_their_own():
    space = Space(
        name="text",
        decisions=(Decision("length", (4, 8)), Decision("other", (1, 2))),
        inputs=(Input((8,), "int64", follows={"length": (0,)}, values=11), Input((8, 3), follows={"length": (0,)})),
    )
    tokens, vectors = space.example(batch=5)
    assert (tokens.shape, tokens.dtype) == ((5, 8), torch.int64)
    assert 0 <= tokens.min() < tokens.max() <= 10
    assert (vectors.shape, vectors.dtype) == ((5, 8, 3), torch.float32)
    assert [one.shape for one in space.example(space.smallest())] == [(1, 4), (1, 4, 3)]
    assert space.shared_decisions == ("length",)


def test_a_space_without_inputs_has_no_example():
    with pytest.raises(TypeError, match="'none' does not say what its networks take"):
        Space(name="none", decisions=(Decision("a", (1,)),)).example()
