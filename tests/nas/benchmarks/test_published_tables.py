"""Published tables and the objective that looks accuracies up."""

import gzip

import numpy as np
import pytest

from nas.benchmarks.provenance import Provenance
from nas.benchmarks.published_tables import Table
from nas.objectives import Tabular
from nas.searchers import Random
from search_spaces import Decision, InvalidArchitecture, Space
from search_spaces.families.nasbench101 import nasbench101
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.nasbench201_cell import to_cell
from search_spaces.families.nasbench_macro import nasbench_macro

OURS = Provenance(dataset="ours", epochs=5, split="validation", seeds=(2, 2))
TINY = Space(
    name="tiny",
    decisions=(Decision("a", (0, 1)), Decision("b", (0, 1))),
    formats={("ab",): lambda text: {"a": int(text[0]), "b": int(text[1])}},
)


def written(tmp_path, text: str, name: str = "table.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def table(tmp_path, text: str, space: Space = TINY, name: str = "table.csv") -> Table:
    return Table.read(written(tmp_path, text, name), space)


def test_a_table_of_the_users_own_is_looked_up(tmp_path):
    mine = table(tmp_path, "ab,accuracy,first,second\n00,50,40,60\n11,70,70,70\n")
    objective = Tabular(mine, "accuracy", provenance=OURS, seeds=["first", "second"])
    assert (objective.name, objective.unit, objective.maximise) == ("accuracy", "%", True)
    low = objective.evaluate(TINY.architecture({"a": 0, "b": 0}))
    assert low.value == 50
    assert low.high - low.value == pytest.approx(12.7062 * 10)  # t(1, .975) times the standard error of 40 and 60
    assert low.value - low.low == pytest.approx(low.high - low.value)
    high = objective.evaluate(TINY.architecture({"a": 1, "b": 1}))
    assert (high.low, high.value, high.high) == (70, 70, 70)
    with pytest.raises(LookupError, match=r"table.csv has no architecture \{'a': 0, 'b': 1\}"):
        objective.evaluate(TINY.architecture({"a": 0, "b": 1}))


def test_json_and_gzip_and_blank_lines_are_read(tmp_path):
    path = tmp_path / "t.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write('x,architecture\n1,"{""a"": 1, ""b"": 0}"\n\n2,"{""a"": 1, ""b"": 1}"\n')
    mine = Table.read(path, TINY)
    assert [dict(a) for a in mine.architectures] == [{"a": 1, "b": 0}, {"a": 1, "b": 1}]
    assert mine.numbers("x").tolist() == [1, 2]


@pytest.mark.parametrize("name", ["t.csv", "T.CSV", "t.csv.gz", "T.CSV.GZ"])
def test_a_spreadsheets_mark_and_names_in_capitals_do_not_matter(tmp_path, name):
    content = "\ufeffab,accuracy\r\n00,50\r\n11,70\r\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.lower().endswith(".gz") else content)
    assert Table.read(tmp_path / name, TINY).numbers("accuracy").tolist() == [50, 70]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table.csv has no rows"),
        ("ab,x\n", "table.csv has no rows"),
        ("a,x\n1,2\n", "line 2: space 'tiny' needs the columns ab or architecture; there are a, x"),
        ("ab,x\n00,1\n02,1\n", r"table.csv, line 3: b = 2 is not one of \(0, 1\)"),
        ("ab,x\n00,1\n01\n", "table.csv: line 3: 1 cells, the header has 2"),
        ("ab,x,x\n00,1,2\n", "column 'x' stands twice"),
        ("ab,x\n00,1\n01,\n", "table.csv, line 3: x = '' must be a finite number"),
        ("ab,x\n00,nan\n", "line 2: x = 'nan' must be a finite number"),
        ("ab,x\n00,inf\n", "line 2: x = 'inf' must be a finite number"),
        ("ab,x\n00,1\n01,high\n", "line 3: x = 'high' must be a finite number"),
        ("ab,y\n00,1\n", "has no column 'x'; it has ab, y"),
        ("ab,x\n00,101\n", r"line 2: x = '101' is not an accuracy, which is 0 to 100 \(%\)"),
        ("ab,x\n00,1\n01,3\n00,2\n", "line 4: x = '2' is of the same architecture as line 2, where it is '1'"),
    ],
)
def test_a_bad_table_is_one_clear_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        table(tmp_path, text).accuracies("x", OURS)


def test_a_damaged_archive_and_a_file_that_is_no_text_are_refused(tmp_path):
    half = gzip.compress(b"ab,x\n00,1\n")[:-9]
    for name, content in {"a.csv.gz": b"no archive", "b.csv.gz": half, "c.csv": b"\xff\xfe\x00"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            Table.read(tmp_path / name, TINY)
    with pytest.raises(FileNotFoundError):
        Table.read(tmp_path / "none.csv", TINY)


def test_equal_values_of_one_architecture_are_one(tmp_path):
    found = table(tmp_path, "ab,x\n00,1\n01,3\n00,1.0\n").accuracies("x", OURS)
    assert sorted(found.percent.values()) == [1, 3]


def test_scores_may_be_infinite_or_missing_but_no_text(tmp_path):
    mine = table(tmp_path, "ab,x\n00,-inf\n01,nan\n10,\n11,2e3\n")
    np.testing.assert_array_equal(mine.scores("x"), [-np.inf, np.nan, np.nan, 2000])
    with pytest.raises(ValueError, match=r"line 3: x = 'big' must be a number or nothing"):
        table(tmp_path, "ab,x\n00,1\n01,big\n").scores("x")


def test_unknown_provenance_is_asked_for_and_the_test_split_is_not_searched(tmp_path):
    with pytest.raises(ValueError, match=r"say of what provenance 'x' is: dataset, epochs, split and seeds$"):
        table(tmp_path, "ab,x\n00,1\n").accuracies("x")
    cells = table(tmp_path, "cell,c10_test_200,c10_val_12\nx333333,93,80\n", nasbench201(), "cells.csv")
    with pytest.raises(ValueError, match="known are c10_test_200, c10_val_12"):
        cells.accuracies("cell")
    with pytest.raises(ValueError, match="'c10_test_200' is of the test split, which no search may see"):
        Tabular(cells, "c10_test_200")
    assert Tabular(cells, "c10_test_200", allow_test=True).evaluate(cells.architectures[0]).value == 93
    assert Tabular(cells, "c10_val_12").provenance.epochs == 12
    with pytest.raises(ValueError, match="differ in dataset, epochs, seeds"):
        cells.accuracies("c10_val_12", OURS)


def test_values_of_different_provenance_are_neither_merged_nor_compared(tmp_path):
    cells = table(tmp_path, "cell,c10_test_200,c10_test_12\nx333333,93,80\n", nasbench201())
    long, short = cells.accuracies("c10_test_200"), cells.accuracies("c10_test_12")
    for put_together in (long.merged, long.differences):
        with pytest.raises(ValueError, match="not comparable, they differ in epochs, seeds: cifar10 test, 200 epochs"):
            put_together(short)
    other = table(tmp_path, "cell,c10_test_200\nx333333,93\nx000000,10\n", nasbench201()).accuracies("c10_test_200")
    assert sorted(long.merged(other).percent.values()) == [10, 93]
    assert list(other.differences(long).values()) == [0]
    wrong = table(tmp_path, "cell,c10_test_200\nx333333,94\n", nasbench201()).accuracies("c10_test_200")
    with pytest.raises(ValueError, match=r"differ for \{.*: 93 and 94"):
        long.merged(wrong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"split": "train"}, "split must be validation or test, got 'train'"),
        ({"seeds": (3, 1)}, r"seeds must be the fewest and the most, such as \(1, 3\)"),
        ({"unit": "percent"}, "unit must be one of %, fraction, got 'percent'"),
    ],
)
def test_bad_provenance_names_field_and_value(change, message):
    with pytest.raises(ValueError, match=message):
        Provenance(**{"dataset": "d", "epochs": 1, "split": "test", "seeds": (1, 1), **change})


def test_fractions_become_percent(tmp_path):
    fraction = Provenance(dataset="d", epochs=1, split="validation", seeds=(1, 1), unit="fraction")
    mine = table(tmp_path, "ab,x\n00,0.5\n")
    assert Tabular(mine, "x", provenance=fraction).evaluate(mine.architectures[0]).value == 50
    with pytest.raises(ValueError, match=r"x = '93.0' is not an accuracy, which is 0 to 1 \(fraction\)"):
        table(tmp_path, "ab,x\n00,93.0\n").accuracies("x", fraction)


def test_columns_of_seeds_must_be_what_the_mean_is_of(tmp_path):
    mine = table(tmp_path, "ab,x,y,z\n00,1,1,1\n01,2,1,2\n")
    with pytest.raises(ValueError, match="line 3: x is not the mean of y, z"):
        Tabular(mine, "x", provenance=OURS, seeds=["y", "z"])
    with pytest.raises(ValueError, match="at least two columns of seeds, got y"):
        Tabular(mine, "x", provenance=OURS, seeds=["y"])


def test_another_file_is_joined_by_a_key(tmp_path):
    mine = table(tmp_path, "idx,ab,x\n5,00,1\n6,01,2\n7,10,3\n")
    joined = mine.joined(written(tmp_path, "score,idx\n.3,7\n.1,5\n.9,8\n", "scores.csv"), on="idx")
    assert joined.numbers("x").tolist() == [1, 3]
    assert joined.scores("score").tolist() == [0.1, 0.3]
    assert joined.architectures == [mine.architectures[0], mine.architectures[2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("score\n1\n", "scores.csv has no column 'idx' to join on; it has score"),
        ("idx,score\n1,1\n", "no idx stands in both"),
        ("idx,score\n5,1\n5,2\n", "scores.csv, line 3: idx = '5' stands in line 2 too"),
        ("idx,x\n5,2\n", "column 'x' differs between"),
    ],
)
def test_a_bad_join_is_refused(tmp_path, text, message):
    mine = table(tmp_path, "idx,ab,x\n5,00,1\n")
    with pytest.raises(ValueError, match=message):
        mine.joined(written(tmp_path, text, "scores.csv"), on="idx")


def test_the_covered_space_holds_the_rows_and_nothing_else(tmp_path):
    mine = table(tmp_path, "ab,x\n00,1\n01,3\n11,4\n")
    space = mine.covered_space()
    assert space.count() == 3
    assert TINY.count() == 4
    with pytest.raises(InvalidArchitecture, match=r"is not among the 3 architectures of .*table.csv"):
        space.architecture({"a": 1, "b": 0})
    generator = np.random.default_rng(0)
    assert {space.sample(generator) for _ in range(60)} == set(mine.architectures)
    corner = space.architecture({"a": 0, "b": 0})
    assert {space.mutate(corner, generator, rate=0.0)["b"] for _ in range(20)} == {1}
    asked = Random(space, objectives=1, population=3, seed=0, violation=lambda e: np.zeros(len(e))).ask()
    assert set(asked) <= set(mine.architectures)


def test_published_tables_are_read_with_their_facts(shared_data):
    cells = Table.read(shared_data / "nasbench201/nb201_cifar10.csv.gz", nasbench201())
    assert len(cells.row_of) == len(cells) == 10_000
    accuracies = cells.accuracies("c10_test_200")
    assert str(accuracies.provenance) == "cifar10 test, 200 epochs, mean of 1 to 3 seeds, last epoch"
    best = max(accuracies.percent, key=accuracies.percent.__getitem__)
    assert cells.cells["idx"][cells.row_of[best]] == "6111"
    assert accuracies.percent[best] == pytest.approx(94.3733, abs=1e-4)
    scored = cells.joined(shared_data / "nasbench201/nb201_zerocost_freerea.csv.gz", on="idx")
    assert len(scored) == 10_000
    assert np.isneginf(scored.scores("naswot_c10")).any()
    published = Table.read(shared_data / "nasbench201/nb201_naslib_zerocost_725.csv.gz", nasbench201())
    assert published.accuracies("val_accuracy").provenance.split == "validation"


def test_the_macro_table_has_intervals_over_its_seeds(shared_data):
    macro = Table.read(shared_data / "nasbench_macro/nb_macro_cifar10.csv.gz", nasbench_macro())
    objective = Tabular(macro, "mean_acc", allow_test=True)
    assert objective.provenance.selection == "maximum over epochs of each seed"
    first = objective.evaluate(macro.architectures[0])  # 45.32, 45.33, 45.44
    assert first.value == pytest.approx(45.36333)
    assert first.high - first.value == pytest.approx(4.302653 * 0.066583 / 3**0.5, abs=1e-4)
    with pytest.raises(ValueError, match="differ in seeds"):
        objective.accuracies.merged(macro.accuracies("test_acc_1"))


def test_the_sample_of_nasbench101_is_read_in_percent(shared_data):
    graphs = Table.read(shared_data / "nasbench101/nb101_sample_10000.csv.gz", nasbench101())
    assert len(graphs.row_of) == len(graphs) == 10_000
    accuracies = graphs.accuracies("test_acc_108")
    assert max(accuracies.percent.values()) == pytest.approx(93.9637, abs=1e-4)
    assert str(accuracies.provenance) == "cifar10 test, 108 epochs, mean of 3 seeds, last epoch"


def test_rows_that_the_space_leaves_out_are_passed_over(tmp_path):
    text = "cell,acc\nx000000,10\nx333333,90\nx300000,10\nx000100,60\n"
    space = nasbench201(connected=True)
    read = table(tmp_path, text, space)
    assert [to_cell(a) for a in read.architectures] == ["x333333", "x000100"]
    assert (read.cells["acc"], read.lines) == (["90", "60"], [3, 5])
    assert len(table(tmp_path, text, nasbench201())) == 4
    with pytest.raises(ValueError, match="has no row of the space nasbench201 with these options"):
        table(tmp_path, "cell,acc\nx000000,10\n", space)
    with pytest.raises(ValueError, match=r"line 3: cell '12' must be six digits"):
        table(tmp_path, "cell,acc\nx333333,90\n12,10\n", space)
