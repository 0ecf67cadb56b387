"""NAS-Bench-Graph against its published table."""

import csv
import gzip
import pickle

import numpy as np
import pytest

from search_spaces import InvalidArchitecture
from search_spaces.families.nasbench_graph import nasbench_graph, to_string


def read(link: str, ops: str):
    return nasbench_graph().read_row({"link": link, "ops": ops})


def test_every_row_of_the_table_is_a_member_of_its_own_written_as_published(shared_data):
    space = nasbench_graph()
    with gzip.open(shared_data / "nasbench_graph" / "nb_graph_cora_citeseer.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    architectures = [space.read_row(row) for row in rows]
    assert len(set(architectures)) == len(rows) == space.count() == 26_206
    assert [to_string(a) for a in architectures] == [(row["link"], row["ops"]) for row in rows]


@pytest.mark.parametrize(
    ("link", "ops", "same_link", "same_ops"),
    [
        ("x0000", "arma|gcn|gat|gin", "x0000", "gat|gcn|gin|arma"),  # parallel branches have no order
        ("x0123", "gcn|skip|gat|skip", "x0123", "skip|skip|gcn|gat"),  # skips hand on
        ("x0000", "skip|gat|gcn|gin", "x0111", "skip|gat|gcn|gin"),  # the raw input is no output
        ("x0011", "gat|gcn|gin|skip", "x0011", "gat|gcn|gin|skip"),  # what feeds another is an output as well
        ("x0121", "gat|gcn|gin|fc", "x0112", "gat|gcn|fc|gin"),  # another numbering
    ],
)
def test_what_computes_the_same_is_one_member(link, ops, same_link, same_ops):
    assert to_string(read(link, ops)) == (same_link, same_ops)
    assert read(link, ops) == read(same_link, same_ops)


def test_a_skip_beside_what_is_fed_is_not_dropped():
    assert read("x0011", "gat|gcn|gin|skip") != read("x0012", "gat|gcn|gin|skip")


def test_encodings_round_trip_and_mutants_are_other_members():
    space, generator = pickle.loads(pickle.dumps(nasbench_graph())), np.random.default_rng(0)
    for encoding in space.sample_encodings(100, generator):
        architecture = space.decode(encoding)
        assert space.encode(architecture).tolist() == encoding.tolist()
        assert space.architecture(architecture) == architecture
        mutant = space.mutate(architecture, generator)
        assert mutant in space
        assert mutant != architecture


@pytest.mark.parametrize(
    ("link", "ops", "message"),
    [
        ("x0123", "skip|skip|skip|skip", "all four operations are skips"),
        ("x012", "gat|gat|gat|gat", "link must be 4 digits"),
        ("x1000", "gat|gat|gat|gat", "begin with 0"),
        ("x0200", "gat|gat|gat|gat", "input2 = 2 is not one of"),
        ("x0000", "gat|gat|gat|conv", "op4 = 'conv' is not one of"),
    ],
)
def test_rows_that_are_no_architecture_are_refused(link, ops, message):
    with pytest.raises(InvalidArchitecture, match=message):
        read(link, ops)
