"""What of a traced network follows which decision, and what stays fixed and why, for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from search_spaces.origin import Fixed, Governed, Origin
from search_spaces.traced_spaces.traced_decisions import RESOLUTION, Plan
from search_spaces.tracing import Group, Traced

TOO_SMALL = "a group that no choice makes smaller"
_EXAMPLES = 3
_UNITS = {"stream": "channels", "hidden": "channels", "heads": "heads", "grouped": "groups of channels"}


def origin_of(name: str, traced: Traced, plan: Plan, largest: Mapping[str, int]) -> Origin:
    """Return what a space was read off.

    Args:
        name: What the network is called.
        traced: What is known of it.
        plan: What of it follows decisions.
        largest: Costs of the whole network by name.
    """
    return Origin(
        model=name,
        params=largest["params"],
        macs=largest["macs"],
        elastic=tuple(
            Governed(decision=one.name, what=_what(one.name, traced, plan), choices=one.choices)
            for one in plan.decisions
        ),
        fixed=tuple(_fixed(traced, plan)),
    )


def _what(decision: str, traced: Traced, plan: Plan) -> str:
    """Return what follows a decision."""
    if decision == RESOLUTION:
        return "pixels of one side of the images"
    blocks = [scope for scope, runs in plan.blocks.items() if runs[0] == decision]
    if blocks:
        return f"blocks that run; left out in this order: {', '.join(reversed(blocks))}"
    kernels = [kernel for kernel in traced.kernels if _follows(plan.kernels, kernel.node, decision)]
    if kernels:
        sizes = sorted({kernel.size for kernel in kernels})
        return (
            f"centre of {len(kernels)} depthwise kernel{'s' * (len(kernels) > 1)} of {_range(sizes)} x {_range(sizes)}"
        )
    groups = [group for group in traced.groups if _follows(plan.groups, group.name, decision)]
    return ", ".join(_counted(kind, own) for kind, own in _by_kind(groups).items())


def _follows(sizes: Mapping, name: str, decision: str) -> bool:
    return name in sizes and sizes[name].decision == decision


def _by_kind(groups: Sequence[Group]) -> dict[str, list[Group]]:
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(_UNITS[group.kind], []).append(group)
    return found


def _counted(units: str, groups: Sequence[Group]) -> str:
    sizes = sorted({group.size for group in groups})
    many = f"{len(groups)} x " if len(groups) > 1 else ""
    return f"{many}{_range(sizes)} {units}"


def _range(sizes: Sequence[int]) -> str:
    return str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def _fixed(traced: Traced, plan: Plan) -> list[Fixed]:
    """Return what stays fixed, by its reason; the most frequent reason first."""
    found: dict[str, list[str]] = defaultdict(list)
    for pin in traced.pins:
        found[pin.reason].append(f"{pin.where} (dimension {pin.dimension}: {pin.size})")
    for name in plan.too_small:
        found[TOO_SMALL].append(f"{name} ({traced.group[name].size})")
    for block in traced.blocks:
        if block.scope not in plan.blocks:
            found["a block that always runs"].append(block.scope)
    if traced.training.left_out:
        found["what it does in training alone, which is left out"] = list(traced.training.left_out)
    rows = [Fixed(reason=reason, count=len(own), examples=tuple(own[:_EXAMPLES])) for reason, own in found.items()]
    return [rows[place] for place in np.argsort([-row.count for row in rows], kind="stable")]
