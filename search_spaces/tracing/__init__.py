"""Networks read off their traced graph: which channels belong together, what can be skipped, and what stays fixed."""

from search_spaces.tracing.traced import BATCH, DepthwiseKernel, Group, Kind, Pin, Skippable, Traced

__all__ = ["BATCH", "DepthwiseKernel", "Group", "Kind", "Pin", "Skippable", "Traced"]
