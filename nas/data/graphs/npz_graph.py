"""Graphs in npz files, in the layout that the Planetoid data sets are given in here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from nas.data.config import DataConfig, InvalidData
from nas.data.graphs.checked_graph import check_edges, check_labels, check_parts, class_names, labelled, remarks_on
from nas.data.graphs.graph_source import GraphSource
from nas.data.npz_arrays import read_arrays
from search_spaces.attributed_graph import AttributedGraph, dense_graph

ROWS = ("x_data", "x_indices", "x_indptr", "x_shape")
_SPLITS = {"train": "train", "validation": "val", "test": "test"}
Arrays = dict[str, np.ndarray]


def read_npz_graph(config: DataConfig, path: Path) -> GraphSource:
    """Return the graph of a file.

    Raises:
        InvalidData: The file is missing, damaged or not of the expected form.
    """
    arrays = _arrays(path)
    graph, edges = _nodes(path, arrays), _pairs(arrays["edges"])
    check_edges(f"{path}: edges", edges, graph.nodes)
    graph = replace(graph, edges=edges)
    labels = arrays["labels"]
    check_labels(f"{path}: labels", labels, graph.nodes)
    labels = labels.astype(np.int64)
    parts = _parts(path, arrays, labels)
    return GraphSource(
        config=config,
        name=path.stem,
        graph=graph,
        labels=labels,
        classes=class_names(labels, tuple(arrays.get("classes", np.empty(0)).tolist())),
        parts=parts,
        remarks=remarks_on(graph),
    )


def _arrays(path: Path) -> Arrays:
    """Return what a file holds."""
    expected = f"an npz with x or {', '.join(ROWS)}, and edges and labels"
    arrays = read_arrays(path, expected)
    missing = [name for name in ("edges", "labels") if name not in arrays]
    if "x" not in arrays:
        missing = [name for name in ROWS if name not in arrays] + missing
    if missing:
        raise InvalidData(f"{path}: missing arrays {', '.join(missing)}; expected {expected}")
    return arrays


def _pairs(edges: np.ndarray) -> np.ndarray:
    """Return pairs, also of an array with a row of sources and one of targets."""
    return edges.T if edges.ndim == 2 and edges.shape[0] == 2 and edges.shape[1] != 2 else edges


def _nodes(path: Path, arrays: Arrays) -> AttributedGraph:
    """Return the nodes with their features, and no edges yet."""
    none = np.empty((0, 2), np.int64)
    if "x" in arrays:
        table = arrays["x"]
        if table.ndim != 2 or not table.size or table.dtype.kind not in "iufb" or not np.isfinite(table).all():
            got = f"{table.dtype} {list(table.shape)}"
            raise InvalidData(f"{path}: x must be finite numbers [nodes, features], got {got}")
        return dense_graph(table.astype(np.float32), none)
    values, columns, starts, shape = (arrays[name] for name in ROWS)
    nodes, features = (int(one) for one in shape) if shape.shape == (2,) and shape.dtype.kind in "iu" else (0, 0)
    if nodes < 1 or features < 1:
        raise InvalidData(f"{path}: x_shape must be nodes and features, got {shape.tolist()}")
    if starts.shape != (nodes + 1,) or starts.dtype.kind not in "iu":
        raise InvalidData(
            f"{path}: x_indptr must have {nodes + 1:,} whole numbers, one more than nodes, got {list(starts.shape)}; "
            f"every node needs a row of features"
        )
    if starts[0] != 0 or (np.diff(starts.astype(np.int64)) < 0).any() or starts[-1] != len(values):
        raise InvalidData(f"{path}: x_indptr must rise from 0 to the {len(values):,} values of x_data")
    if columns.shape != values.shape or columns.dtype.kind not in "iu" or values.dtype.kind not in "iufb":
        raise InvalidData(f"{path}: x_indices must be a whole number for each of {len(values):,} values of x_data")
    if len(columns) and not 0 <= int(columns.min()) <= int(columns.max()) < features:
        raise InvalidData(f"{path}: x_indices must be 0 to {features - 1}, got {columns.min()} to {columns.max()}")
    if not np.isfinite(values).all():
        raise InvalidData(f"{path}: x_data must be finite numbers")
    parts = {"values": values.astype(np.float32), "columns": columns, "starts": starts}
    return AttributedGraph(**parts, features=features, edges=none)


def _parts(path: Path, arrays: Arrays, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the given splits; all nodes with labels are for training where there is none."""
    parts = {}
    for name, short in _SPLITS.items():
        mask = arrays.get(f"{short}_mask")
        if mask is not None:
            if mask.shape != (len(labels),) or mask.dtype != np.bool_:
                got = f"{mask.dtype} {list(mask.shape)}"
                raise InvalidData(
                    f"{path}: {short}_mask must be a boolean for each of {len(labels):,} nodes, got {got}"
                )
            parts[name] = np.flatnonzero(mask)
        elif f"{short}_idx" in arrays:
            parts[name] = arrays[f"{short}_idx"]
    check_parts(str(path), parts, labels)
    parts = {name: nodes.astype(np.int64) for name, nodes in parts.items()}
    if "train" not in parts:
        taken = np.concatenate([*parts.values(), np.empty(0, np.int64)])
        parts["train"] = np.setdiff1d(labelled(labels), taken)
    return parts
