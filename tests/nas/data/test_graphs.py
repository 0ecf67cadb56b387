"""Graphs as data: npz files and tables with edges, what is known of them, and what is refused."""

import gzip

import numpy as np
import pytest
import torch

from nas.data import DataConfig, InvalidData
from nas.data.sources.planetoid import open_planetoid
from search_spaces.errors import FieldError

CPU = torch.device("cpu")


def arrays(**changed):
    """Six nodes on a ring with two features each, three classes."""
    made = {
        "x": np.arange(12.0).reshape(6, 2),
        "edges": np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 0]]),
        "labels": np.array([0, 1, 2, 0, 1, -1]),
        "train_idx": np.array([0, 1, 2]),
        "val_idx": np.array([3]),
        "test_idx": np.array([4]),
    }
    return {name: value for name, value in {**made, **changed}.items() if value is not None}


def opened(folder, *, normalise=False, config=None, **changed):
    path = folder / "ring.npz"
    np.savez(path, **arrays(**changed))
    return open_planetoid(DataConfig(source="planetoid", path=str(path), **(config or {})), normalise=normalise)


TABLE = """node,label,split,red,green
a,cat,train,1,0
b,dog,train,0.5,0.5
c,cat,validation,0,1
d,,,2,2
e,dog,test,1,1
"""
EDGES = "# who knows whom\na b\nb,c\nc\td\n\nd e\n"


def tabled(folder, table=TABLE, edges=EDGES, **options):
    (folder / "people.csv").write_text(table)
    with gzip.open(folder / "edges.txt.gz", "wt") as file:
        file.write(edges)
    config = DataConfig(source="planetoid", path=str(folder / "people.csv"))
    return open_planetoid(config, **{"edges": str(folder / "edges.txt.gz"), "normalise": False, **options})


def nodes(split):
    return sorted(split.tensors[0].tolist())


def test_batches_are_nodes_and_their_labels(tmp_path):
    source = opened(tmp_path)
    data = source.load(CPU)
    assert source.task == data.task == "nodes"
    assert source.sizes == data.sizes == {"train": 3, "validation": 1, "test": 1}
    (batch,) = data.train.batches(8, epoch=0, seed=0)
    assert sorted(zip(*(one.tolist() for one in batch))) == [(0, 0), (1, 1), (2, 2)]
    facts = source.facts
    assert {name: facts[name] for name in ("nodes", "features", "links", "classes", "class_counts")} == {
        **{"nodes": 6, "features": 2, "links": 6, "classes": 3},
        "class_counts": (1, 1, 1),
    }
    assert "graph" not in data.facts
    assert data.listings["test"].name(0) == "node 4"


def test_features_by_row_are_those_of_a_table(tmp_path):
    whole = opened(tmp_path).graph
    table = arrays()["x"]
    rows, columns = np.nonzero(table)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=6))])
    sparse = {"x_data": table[rows, columns], "x_indices": columns, "x_indptr": starts, "x_shape": np.array([6, 2])}
    found = opened(tmp_path, x=None, **sparse).graph
    assert found.fingerprint == whole.fingerprint


def test_masks_are_the_same_as_lists_of_nodes(tmp_path):
    masks = {f"{name}_mask": np.isin(np.arange(6), arrays()[f"{name}_idx"]) for name in ("train", "val", "test")}
    masked = opened(tmp_path, train_idx=None, val_idx=None, test_idx=None, **masks)
    assert masked.load(CPU).fingerprint == opened(tmp_path).load(CPU).fingerprint


def test_splits_that_are_missing_are_held_out_of_the_nodes_with_labels(tmp_path):
    source = opened(tmp_path, train_idx=None, val_idx=None, test_idx=None, labels=np.array([0, 1, 0, 1, 0, -1]))
    data = source.load(CPU)
    assert sorted(nodes(data.train) + nodes(data.validation) + nodes(data.test)) == [0, 1, 2, 3, 4]
    kept = opened(tmp_path, train_idx=None)
    assert nodes(kept.load(CPU).train) == [0, 1, 2]


def test_the_fingerprint_changes_with_features_edges_labels_and_splits(tmp_path):
    changes = [
        {},
        {"x": np.ones((6, 2))},
        {"edges": np.array([[0, 1]])},
        {"labels": np.array([1, 1, 2, 0, 1, -1])},
        {"test_idx": np.array([3]), "val_idx": np.array([4])},
    ]
    assert len({opened(tmp_path, **change).load(CPU).fingerprint for change in changes}) == len(changes)


def test_rows_of_features_add_up_to_one_unless_asked_otherwise(tmp_path):
    graph = opened(tmp_path, normalise=True).graph
    assert graph.row(3)[1].tolist() == pytest.approx([6 / 13, 7 / 13])


def test_tables_and_edges_give_the_same_as_arrays(tmp_path):
    source = tabled(tmp_path)
    data = source.load(CPU)
    assert data.targets["classes"] == ["cat", "dog"]
    assert (nodes(data.train), nodes(data.validation), nodes(data.test)) == ([0, 1], [2], [4])
    assert data.listings["train"].name(int(data.train.tensors[0].tolist().index(1))) == "node b"
    features = np.array([[1, 0], [0.5, 0.5], [0, 1], [2, 2], [1, 1]])
    same = opened(
        tmp_path,
        x=features,
        edges=np.array([[0, 1], [1, 2], [2, 3], [3, 4]]),
        labels=np.array([0, 1, 0, -1, 1]),
        **{"train_idx": np.array([0, 1]), "val_idx": np.array([2]), "test_idx": np.array([4])},
    )
    assert same.load(CPU).fingerprint == data.fingerprint


def test_several_labels_of_a_node_have_a_task_of_their_own(tmp_path):
    source = tabled(tmp_path, TABLE.replace("a,cat", "a,cat;dog"))
    data = source.load(CPU)
    assert source.task == "node_labels"
    place = data.train.tensors[0].tolist().index(0)
    assert data.train.tensors[1][place].tolist() == [1.0, 1.0]
    same = opened(tmp_path, labels=np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 1]]))
    assert same.task == "node_labels"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"edges": np.array([[0, 1], [2, 6]])}, "edges: edge 1 names node 6, nodes are 0 to 5"),
        ({"edges": np.array([[0, -1]])}, "edges: edge 0 names node -1, nodes are 0 to 5"),
        ({"edges": np.array([0, 1, 2])}, r"edges: must be pairs of nodes \[E, 2\]"),
        ({"labels": np.zeros(7, int)}, "labels: 7 nodes have labels and 6 have features; node 6 has none"),
        ({"labels": np.array([0, 1])}, "labels: must be one for each of 6 nodes, got 2; give -1 for unknown"),
        ({"labels": np.array([0, 1, 2, 0, 1, 0.5])}, "labels: must be classes"),
        ({"labels": np.zeros(6, int)}, "two or more of them"),
        ({"x": None}, "missing arrays x_data, x_indices, x_indptr, x_shape; expected an npz with x"),
        ({"x": np.full((6, 2), np.nan)}, "x must be finite numbers"),
        ({"train_idx": np.array([0, 9])}, "train names node 9, nodes are 0 to 5"),
        ({"train_idx": np.array([0, 5])}, "train names node 5, which has no label"),
        ({"test_idx": np.array([3])}, "node 3 is in validation and in test"),
        ({"train_mask": np.ones(5, bool)}, r"train_mask must be a boolean for each of 6 nodes, got bool \[5\]"),
        ({"train_idx": np.empty(0, int)}, "train names no node"),
        (
            {"x": None, "x_data": np.ones(2), "x_indices": np.zeros(2, int), "x_shape": np.array([6, 2])}
            | {"x_indptr": np.array([0, 1, 2])},
            "x_indptr must have 7 whole numbers, one more than nodes, got .*every node needs a row of features",
        ),
    ],
)
def test_arrays_that_are_no_graph_are_refused_in_one_line(tmp_path, changed, message):
    with pytest.raises(InvalidData, match=message) as caught:
        opened(tmp_path, **changed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "edges", "message"),
    [
        (TABLE, "a b\nb x\n", "line 2 names node 'x', which people.csv does not have"),
        (TABLE, "a b c\n", "line 1 must name two nodes, got 'a b c'"),
        (TABLE.replace("d,,,2,2", "d,,,2,"), EDGES, "line 5: feature 'green' is empty: every node needs all features"),
        (TABLE.replace("d,,,2,2", "d,,,2,blue"), EDGES, "line 5: feature 'green' is 'blue'"),
        ("node,label\na,cat\nb,dog\n", EDGES, "nodes have no features"),
        ("red\n1\n", EDGES, "expected a column 'label', there are red"),
        (TABLE.replace("b,dog", "a,dog"), EDGES, "node 'a' has two rows"),
        (TABLE.replace("cat", "dog"), EDGES, "labels must be of two or more classes, got dog"),
        (TABLE.replace("validation", "later"), EDGES, "line 4: split must be train, validation or test, got 'later'"),
        (TABLE + "f,cat,train,1\n", EDGES, "line 7 has 4 entries, the header has 5"),
    ],
)
def test_tables_that_are_no_graph_are_refused_in_one_line(tmp_path, table, edges, message):
    with pytest.raises(InvalidData, match=message) as caught:
        tabled(tmp_path, table, edges)
    assert "\n" not in str(caught.value)


def test_fields_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(FieldError, match="must name an npz file") as caught:
        open_planetoid(DataConfig(source="planetoid"))
    assert caught.value.field == "path"
    with pytest.raises(FieldError, match="must be left out where path is an npz file"):
        open_planetoid(DataConfig(source="planetoid", path="a.npz"), edges="e.txt")
    with pytest.raises(FieldError, match="must name the file with the edges of"):
        open_planetoid(DataConfig(source="planetoid", path="a.csv"))
    with pytest.raises(InvalidData, match="no such file"):
        open_planetoid(DataConfig(source="planetoid", path=str(tmp_path / "a.npz")))


def test_planetoid_is_read_as_described(shared_data):
    for name, sizes in {"cora": (2708, 1433, 5278, 7), "citeseer": (3327, 3703, 4552, 6)}.items():
        path = shared_data / "planetoid" / f"{name}.npz"
        source = open_planetoid(DataConfig(source="planetoid", path=str(path)))
        facts = source.facts
        assert tuple(facts[one] for one in ("nodes", "features", "links", "classes")) == sizes
        assert source.sizes["validation"] == 500
        assert source.sizes["test"] == 1000
        assert any("no feature that is not 0" in one for one in source.remarks) == (name == "citeseer")
