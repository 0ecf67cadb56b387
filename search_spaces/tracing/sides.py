"""Other sizes of image at which a network has the same graph."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, fx, nn

from search_spaces.tracing.flat import Flat, TraceError, flatten


def literals_of_sides(
    module: nn.Module, flat: Flat, example: tuple[Tensor, ...], sides: Sequence[int]
) -> Mapping[int, Mapping[str, tuple[Any, ...]]]:
    """Return side -> node -> arguments that differ, for the traced side and those others that have the same graph."""
    if not (len(example) == 1 and example[0].ndim == 4 and example[0].shape[2] == example[0].shape[3]):
        return {}
    own = int(example[0].shape[2])
    found: dict[int, Mapping[str, tuple[Any, ...]]] = {}
    for side in sorted({own, *sides}):
        differs = {} if side == own else literals_at(module, flat, example[0], side)
        if differs is not None:
            found[side] = differs
    return found


def literals_at(module: nn.Module, flat: Flat, image: Tensor, side: int) -> Mapping[str, tuple[Any, ...]] | None:
    """Return the arguments that differ at another side; None where the graph does."""
    try:
        other = flatten(module, (image.new_zeros(1, image.shape[1], side, side),), drops=flat.drops)
    except TraceError:
        return None
    ours, theirs = list(flat.graph.nodes), list(other.graph.nodes)
    if len(ours) != len(theirs):
        return None
    names = {theirs[place]: ours[place] for place in range(len(ours))}
    differs = {}
    for mine, its in zip(ours, theirs):
        args = fx.map_arg(its.args, names.__getitem__)
        if (mine.op, mine.target, mine.kwargs) != (its.op, its.target, fx.map_arg(its.kwargs, names.__getitem__)):
            return None
        if [*map(names.get, its.all_input_nodes)] != mine.all_input_nodes or len(args) != len(mine.args):
            return None
        if args != mine.args:
            differs[mine.name] = args
    same = all(other.tensors[name].equal(flat.tensors[name]) for name in flat.constants if name in other.constants)
    return differs if same and other.constants == flat.constants else None
