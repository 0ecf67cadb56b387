"""One graph with labels at its nodes: an npz file as of Planetoid, or a table of nodes and a list of edges."""

from dataclasses import replace
from pathlib import Path

from nas.data.config import DataConfig
from nas.data.graphs.checked_graph import normalised
from nas.data.graphs.graph_files import read_graph_files
from nas.data.graphs.graph_source import GraphSource
from nas.data.graphs.npz_graph import read_npz_graph
from search_spaces.errors import FieldError


def open_planetoid(config: DataConfig, *, edges: str | None = None, normalise: bool = True) -> GraphSource:
    """Return the graph.

    Args:
        config: `path` is an npz file with features as x [N, F], or by row as x_data, x_indices, x_indptr and x_shape;
            edges [E, 2]; labels [N], -1 for unknown, or 0 and 1 [N, L]; and, if given, train_idx, val_idx and test_idx,
            or such masks. Or it is a table, .csv or .tsv, compressed or not, with a row for each node: columns `label`,
            maybe `node` (its name) and `split`, and a column for each feature; several labels have a `;` between.
        edges: File with the edges of a table, two nodes a line.
        normalise: Whether the features of each node are divided by the sum of their sizes.

    Raises:
        InvalidData: The files are missing or damaged, or do not say a graph.
        FieldError: A field or an option has a value that does not fit.
    """
    config.refuse_all_but("path", "validation_fraction", "test_fraction")
    if not config.path:
        raise FieldError("path", f"must name an npz file or a table of nodes, got {config.path!r}")
    path = Path(config.path).expanduser()
    if path.suffix == ".npz":
        if edges is not None:
            raise FieldError("options.edges", f"must be left out where path is an npz file, got {edges!r}")
        found = read_npz_graph(config, path)
    else:
        if edges is None:
            raise FieldError("options.edges", f"must name the file with the edges of {path}, got None")
        found = read_graph_files(config, path, Path(edges).expanduser())
    if not normalise:
        return found
    prepared = {"features": "divided by the sum of their sizes, node by node"}
    return replace(found, graph=normalised(found.graph), preprocessing=prepared)
