"""The decisions of a traced network, and which number of units, blocks and pixels each of their choices means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search_spaces.architecture import Choice, Decision
from search_spaces.sizes import Size
from search_spaces.traced_spaces.choices import Choices, depths_of
from search_spaces.traced_spaces.stages import Stage, Stages, tensors_of
from search_spaces.tracing import DepthwiseKernel, Group, Traced

RESOLUTION = "resolution"
_PARTS = {"stream": "width", "hidden": "ratio", "grouped": "ratio", "heads": "heads"}
"""Kind of a group -> last part of the name of its decision."""
_FRACTIONS = {"width": "widths", "ratio": "ratios", "heads": "heads"}
"""Last part of a name -> field of `Choices`."""
_ORDER = ("depth", "width", "ratio", "heads", "kernel")
Runs = tuple[str, frozenset[Choice]]
"""A decision, and its choices under which a block runs."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What of a network follows which decision; the rest is as large as it was traced.

    Args:
        decisions: Decisions, parents before their children.
        groups: Name of a group -> units that stay.
        blocks: Scope of a block -> when it runs.
        kernels: Node of a depthwise convolution -> size of its kernel.
        resolution: Side of the images in pixels; None where there is one only.
        too_small: Groups that no fraction makes smaller.
    """

    decisions: tuple[Decision, ...]
    groups: Mapping[str, Size]
    blocks: Mapping[str, Runs]
    kernels: Mapping[str, Size]
    resolution: Size | None
    too_small: tuple[str, ...] = ()


def plan_of(traced: Traced, choices: Choices) -> Plan:
    """Return the decisions of a network and what follows them.

    Args:
        traced: What is known of the network.
        choices: What its decisions choose from; resolutions are those that the network can run at.
    """
    return _Drawing(traced, choices).plan()


class _Drawing:
    """The plan while it is made."""

    def __init__(self, traced: Traced, choices: Choices) -> None:
        self.traced, self.choices, self.stages = traced, choices, Stages(traced)
        self.decisions: dict[tuple[int, int, int], Decision] = {}
        self.places: dict[str, int] = {}
        self.groups: dict[str, Size] = {}
        self.blocks: dict[str, Runs] = {}
        self.kernels: dict[str, Size] = {}
        self.too_small: list[str] = []
        order = dict.fromkeys(self.stages.of(name) for name in traced.tensors)
        self.order = {stage: place for place, stage in enumerate(order)}

    def plan(self) -> Plan:
        for name in self.order:
            self.places[name] = len(self.places)
        for stage in self.stages.all.values():
            self._add_depth(stage)
        for (stage_name, place, part), groups in self._grouped().items():
            self._add_groups(stage_name, place, part, groups)
        for stage_name, kernels in self._kernels().items():
            self._add_kernels(stage_name, kernels)
        pixels = tuple(sorted(self.choices.resolutions))
        resolution = Size(RESOLUTION, {side: side for side in pixels}) if len(pixels) > 1 else None
        first = (Decision(RESOLUTION, pixels),) if resolution is not None else ()
        return Plan(
            decisions=(*first, *(self.decisions[key] for key in sorted(self.decisions))),
            groups=self.groups,
            blocks=self.blocks,
            kernels=self.kernels,
            resolution=resolution,
            too_small=tuple(self.too_small),
        )

    # ---- what belongs together ------------------------------------------------------------------------------------

    def _grouped(self) -> dict[tuple[str, str, str], list[Group]]:
        """Return the groups that follow one decision, by its stage, the place that names it, and its last part."""
        tensors, found = tensors_of(self.traced), dict[tuple[str, str, str], list[Group]]()
        for group in self.traced.groups:
            stage, part = self.stages.of_group(group, tensors[group.name]), _PARTS[group.kind]
            apart = part == "ratio" and self.choices.ratios_per == "block"
            place = self.stages.block_of(group.scope) or group.scope or stage if apart else stage
            found.setdefault((stage, place, part), []).append(group)
        return found

    def _kernels(self) -> dict[str, list[DepthwiseKernel]]:
        """Return the kernels that can be cropped by their stage."""
        found: dict[str, list[DepthwiseKernel]] = {}
        for kernel in self.traced.kernels:
            if kernel.size % 2:  # an even kernel has no centre that odd sizes share
                found.setdefault(self.stages.of(kernel.weight), []).append(kernel)
        return found

    # ---- decisions ------------------------------------------------------------------------------------------------

    def _add_depth(self, stage: Stage) -> None:
        """Let the last blocks of a stage be skipped first."""
        total = len(stage.blocks) + stage.fixed
        depths = depths_of(total, stage.fixed, self.choices.depths)
        if len(depths) == 1:
            return
        name = f"{stage.name}.depth"
        self._add(stage.name, stage.name, "depth", depths)
        for place, block in enumerate(stage.blocks):
            runs = frozenset(depth for depth in depths if depth >= stage.fixed + place + 1)
            if len(runs) < len(depths):
                self.blocks[block.scope] = (name, runs)

    def _add_groups(self, stage: str, place: str, part: str, groups: Sequence[Group]) -> None:
        sizes = dict[Choice, tuple[int, ...]]()
        for fraction in sorted(getattr(self.choices, _FRACTIONS[part]), reverse=True):
            units = tuple(
                self.choices.kept(one.size, fraction, is_channels=one.kind in ("stream", "hidden")) for one in groups
            )
            if units not in sizes.values():
                sizes[float(fraction)] = units
        if part == "heads" and len({one.size for one in groups}) == 1:
            sizes = {units[0]: units for units in sizes.values()}
        if len(sizes) == 1:
            self.too_small += [one.name for one in groups]
            return
        name = self._add(stage, place, part, tuple(reversed(sizes)), [one.scope for one in groups])
        for index, group in enumerate(groups):
            self.groups[group.name] = Size(name, {choice: sizes[choice][index] for choice in reversed(sizes)})

    def _add_kernels(self, stage: str, kernels: Sequence[DepthwiseKernel]) -> None:
        crops = self.choices.crops(max(kernel.size for kernel in kernels))
        if len(crops) == 1:
            return
        name = self._add(stage, stage, "kernel", crops, [kernel.weight for kernel in kernels])
        for kernel in kernels:
            self.kernels[kernel.node] = Size(name, {crop: min(crop, kernel.size) for crop in crops})

    def _add(
        self, stage: str, place: str, part: str, choices: tuple[Choice, ...], paths: Sequence[str] | None = None
    ) -> str:
        """Add a decision about what lies at `paths`; it is inactive where all of that is skipped."""
        name = f"{place}.{part}"
        parent, when = self._condition(paths) if paths else (None, ())
        nth = self.places.setdefault(place, len(self.places))
        key = (self.order.get(stage, len(self.order)), nth, _ORDER.index(part))
        self.decisions[key] = Decision(name, choices, parent, when)
        return name

    def _condition(self, paths: Sequence[str]) -> tuple[str | None, tuple[Choice, ...]]:
        """Return the decision on depth, and its choices under which one of these runs; None where one always does."""
        runs = [self.blocks.get(self.stages.block_of(path) or "") if path else None for path in paths]
        parents = {one[0] for one in runs if one is not None}
        if None in runs or len(parents) != 1:
            return None, ()
        parent = parents.pop()
        depths = next(decision.choices for decision in self.decisions.values() if decision.name == parent)
        when = tuple(depth for depth in depths if any(depth in one[1] for one in runs if one is not None))
        return (None, ()) if when == depths else (parent, when)
