"""Graphs in two files of text: a table with a row for each node, and a list of edges."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from nas.data.config import DataConfig, InvalidData
from nas.data.graphs.checked_graph import check_parts, labelled, remarks_on
from nas.data.graphs.graph_source import GraphSource
from search_spaces.attributed_graph import dense_graph

NAME, LABEL, SPLIT = "node", "label", "split"
"""Columns of the table that are no features; nodes without names are called 0, 1, ..."""
_SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
_BETWEEN = ";"
"""Stands between several labels of one node."""


def read_graph_files(config: DataConfig, table: Path, edges: Path) -> GraphSource:
    """Return the graph of a table and a list of edges.

    Raises:
        InvalidData: A file is missing, or they do not say a graph.
    """
    header, rows = _table(table)
    columns = {name: header.index(name) for name in (NAME, LABEL, SPLIT) if name in header}
    used = [i for i, name in enumerate(header) if name not in (NAME, LABEL, SPLIT)]
    if not used:
        raise InvalidData(f"{table}: nodes have no features: no column beside {', '.join(columns) or 'none'}")
    if LABEL not in columns:
        raise InvalidData(f"{table}: expected a column {LABEL!r}, there are {', '.join(header[:10])}")
    features = _features(table, rows, used, header)
    names = [row[columns[NAME]] for row in rows] if NAME in columns else None
    number = _numbers(table, names, len(rows))
    graph = dense_graph(features, _edges(edges, number, table))
    labels, classes = _labels(table, [row[columns[LABEL]] for row in rows])
    parts = _parts(table, [row[columns[SPLIT]] for row in rows] if SPLIT in columns else [], labels)
    return GraphSource(
        config=config,
        name=table.name.split(".")[0],
        graph=graph,
        labels=labels,
        classes=classes,
        parts=parts,
        names=names,
        remarks=remarks_on(graph),
    )


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file, compressed or not."""
    if not path.is_file():
        raise InvalidData(f"{path}: no such file")
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            yield from file
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InvalidData(f"{path}: not a readable file of text: {error}") from error


def _table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the names of the columns and the rows of a table."""
    lines = _lines(path)
    first = next(lines, "")
    between = "\t" if "\t" in first else ","
    header = next(csv.reader([first], delimiter=between), [])
    rows = [row for row in csv.reader(lines, delimiter=between) if row]
    if len(set(header)) != len(header) or not rows:
        raise InvalidData(f"{path}: expected a row of distinct column names and a row for each node")
    for place, row in enumerate(rows):
        if len(row) != len(header):
            raise InvalidData(f"{path}: line {place + 2} has {len(row)} entries, the header has {len(header)}")
    return header, rows


def _features(path: Path, rows: Sequence[Sequence[str]], used: Sequence[int], header: Sequence[str]) -> np.ndarray:
    """Return the features [N, F]."""
    table = np.zeros((len(rows), len(used)), np.float32)
    for node, row in enumerate(rows):
        try:
            table[node] = [float(row[i]) for i in used]
        except ValueError as error:
            column = next(i for i in used if not _is_number(row[i]))
            what = "is empty: every node needs all features" if not row[column].strip() else f"is {row[column]!r}"
            raise InvalidData(f"{path}: line {node + 2}: feature {header[column]!r} {what}") from error
    if not np.isfinite(table).all():
        node = int((~np.isfinite(table)).any(axis=1).argmax())
        raise InvalidData(f"{path}: line {node + 2}: features must be finite numbers")
    return table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(path: Path, names: Sequence[str] | None, count: int) -> dict[str, int]:
    """Return the number of each node by its name."""
    called = [str(i) for i in range(count)] if names is None else names
    number = {name: i for i, name in enumerate(called)}
    if len(number) < count:
        twice = next(name for i, name in enumerate(called) if number[name] != i)
        raise InvalidData(f"{path}: node {twice!r} has two rows")
    return number


def _edges(path: Path, number: dict[str, int], table: Path) -> np.ndarray:
    """Return the pairs of nodes of a list of edges: two names a line, with blanks, a comma or a tab between."""
    pairs = []
    for place, line in enumerate(_lines(path), start=1):
        names = [part for part in re.split(r"[,\s]+", line.strip()) if part]
        if not names or names[0].startswith("#"):
            continue
        if len(names) != 2:
            raise InvalidData(f"{path}: line {place} must name two nodes, got {line.strip()!r}")
        for name in names:
            if name not in number:
                raise InvalidData(f"{path}: line {place} names node {name!r}, which {table.name} does not have")
        pairs.append([number[name] for name in names])
    return np.array(pairs, np.int64).reshape(-1, 2)


def _labels(path: Path, texts: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return labels [N], or [N, L] where a node has several, and their names."""
    each = [[part.strip() for part in text.split(_BETWEEN) if part.strip()] for text in texts]
    classes = tuple(sorted({label for labels in each for label in labels}))
    if len(classes) < 2:
        raise InvalidData(f"{path}: labels must be of two or more classes, got {', '.join(classes) or 'none'}")
    number = {name: i for i, name in enumerate(classes)}
    if all(len(labels) <= 1 for labels in each):
        return np.array([number[labels[0]] if labels else -1 for labels in each], np.int64), classes
    several = np.zeros((len(each), len(classes)), np.int64)
    for node, labels in enumerate(each):
        several[node, [number[label] for label in labels]] = 1
    return several, classes


def _parts(path: Path, texts: Sequence[str], labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the given splits; all nodes with labels are for training where there is none."""
    parts: dict[str, list[int]] = {}
    for node, text in enumerate(texts):
        if not text.strip():
            continue
        if text.strip() not in _SPLITS:
            raise InvalidData(f"{path}: line {node + 2}: split must be train, validation or test, got {text.strip()!r}")
        parts.setdefault(_SPLITS[text.strip()], []).append(node)
    found = {name: np.array(nodes, np.int64) for name, nodes in parts.items()}
    check_parts(str(path), found, labels)
    if "train" not in found:
        found["train"] = np.setdiff1d(labelled(labels), np.concatenate([*found.values(), np.empty(0, np.int64)]))
    return found
