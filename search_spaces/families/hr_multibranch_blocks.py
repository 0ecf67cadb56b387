"""The blocks of `hr_multibranch`: parallel paths of several kernels, and how a stage fuses resolutions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import gcd
from typing import TYPE_CHECKING

from search_spaces import costs
from search_spaces.architecture import Decision
from search_spaces.places import Block, Place, fixed
from search_spaces.sizes import strided

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.elastic import Branch
    from search_spaces.networks.hr_multibranch_network import Fuse, Parallel


@dataclass(frozen=True, kw_only=True)
class MultiKernel:
    """One block: its shape, and the channels that each of its paths has at most.

    Args:
        name: Name of the decision whether it has paths at all.
        in_width, width: Channels that enter and leave.
        channels: Channels inside of each path.
        kernels: Kernel of each path.
        side: Pixels of one side that enter.
        stride: 1 or 2.
    """

    name: str
    in_width: int
    width: int
    channels: int
    kernels: tuple[int, ...]
    side: int
    stride: int = 1

    @property
    def out_side(self) -> int:
        """Pixels of one side that leave."""
        return strided(self.side, self.stride)

    @property
    def is_residual(self) -> bool:
        """Whether the input stands beside the paths as it is."""
        return self.stride == 1 and self.in_width == self.width

    @property
    def groups(self) -> int:
        """Groups of the convolution that stands beside the paths."""
        return gcd(self.in_width, self.width)

    def decisions(self) -> Iterator[Decision]:
        """Yield whether there are paths, and the channels of each."""
        yield Decision(self.name, (0, 1))
        for kernel in self.kernels:
            yield Decision(self.of(kernel), tuple(range(self.channels + 1)), parent=self.name, active_when=(1,))

    def of(self, kernel: int) -> str:
        """Return the name of the decision of the channels of a path."""
        return f"{self.name}.k{kernel}"

    # ---- modules ----------------------------------------------------------------------------------------------------

    def module(self) -> nn.Module:
        """Return the block whose paths follow an architecture."""
        from search_spaces.networks import hr_multibranch_network as network

        paths = {self.of(kernel): self.path(kernel, self.channels) for kernel in self.kernels}
        return network.block(self.name, paths, self.width, self.beside())

    def path(self, kernel: int, channels: int) -> Branch:
        """Return a path with up to so many channels."""
        from search_spaces.networks import hr_multibranch_network as network

        return network.branch(self.in_width, self.width, channels, self.of(kernel), kernel=kernel, stride=self.stride)

    def beside(self) -> nn.Module:
        """Return what stands beside the paths."""
        from torch import nn

        from search_spaces.networks import hr_multibranch_network as network

        if self.is_residual:
            return nn.Identity()
        return network.shortcut(self.in_width, self.width, stride=self.stride, groups=self.groups)

    # ---- costs ------------------------------------------------------------------------------------------------------

    def places(self) -> Iterator[Place]:
        """Yield the places of the shortcut, of the paths, and of the norm of their sum."""
        shape = (self.in_width, self.side, self.side)
        named = f"{self.in_width}-{self.width} s{self.stride}"
        if not self.is_residual:
            yield fixed(Block(f"shortcut {named}", shape, partial(made_plain, self.beside), self._shortcut_count))
        for kernel in self.kernels:
            yield Place((self.name, self.of(kernel)), partial(self._path_block, kernel))
        yield Place((self.name,), self._norm_block)

    def _shortcut_count(self) -> Counter[str]:
        return costs.convolution(self.in_width, self.width, pixels=self.out_side**2, groups=self.groups)

    def _path_block(self, kernel: int, runs: int, channels: int) -> Block | None:
        if not runs or not channels:
            return None
        name = f"path {self.in_width}-{channels}-{self.width} k{kernel} s{self.stride}"
        build = partial(made_plain, partial(self.path, kernel, channels))
        return Block(name, (self.in_width, self.side, self.side), build, partial(self._path_count, kernel, channels))

    def _path_count(self, kernel: int, channels: int) -> Mapping[str, int]:
        before, after = self.side**2, self.out_side**2
        expand, inside, project = self.in_width * channels, kernel**2 * channels, channels * self.width
        norms = 4 * channels
        return {
            "params": expand + inside + project + norms,
            "macs": expand * before + (inside + project) * after,
        }  # thousands of these are counted, and sums of counters take ten times as long

    def _norm_block(self, runs: int) -> Block | None:
        if not runs:
            return None
        shape = (self.width, self.out_side, self.out_side)
        return Block(f"norm {self.width}", shape, partial(_norm, self.width), partial(costs.norm, self.width))


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: how resolutions are fused, and the blocks of each.

    Args:
        fused: For each output of the fusing, block by the number of the input.
        further: Block that adds a resolution, if one does.
        rows: Blocks in a row of each resolution.
    """

    fused: tuple[Mapping[int, MultiKernel], ...]
    further: MultiKernel | None
    rows: tuple[tuple[MultiKernel, ...], ...]

    @property
    def blocks(self) -> list[MultiKernel]:
        """All blocks as they run."""
        further = [] if self.further is None else [self.further]
        fused = [block for of in self.fused for block in of.values()]
        return [*fused, *further, *(block for row in self.rows for block in row)]

    def modules(self) -> tuple[Fuse, Parallel]:
        """Return both parts as modules."""
        from search_spaces.networks.hr_multibranch_network import Fuse, Parallel

        fused = [{source: block.module() for source, block in of.items()} for of in self.fused]
        further = None if self.further is None else self.further.module()
        return Fuse(fused, further), Parallel([[block.module() for block in row] for row in self.rows])


def made_plain(build: Callable[[], nn.Module]) -> nn.Module:
    """Return the plain module of an elastic one that follows no decision, with fresh weights."""
    from search_spaces.plain import plain

    return plain(build)


def _norm(width: int) -> nn.Module:
    from torch import nn

    return nn.BatchNorm2d(width)
