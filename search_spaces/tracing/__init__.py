"""Networks read off their traced graph: which channels belong together, what can be skipped, and what stays fixed."""

from search_spaces.tracing.flat import TraceError
from search_spaces.tracing.proof import TOLERANCE, check_permutation, first_disagreement
from search_spaces.tracing.traced import BATCH, DepthwiseKernel, Group, Kind, Pin, Skippable, Traced
from search_spaces.tracing.tracer import trace

__all__ = [
    "BATCH",
    "TOLERANCE",
    "DepthwiseKernel",
    "Group",
    "Kind",
    "Pin",
    "Skippable",
    "TraceError",
    "Traced",
    "check_permutation",
    "first_disagreement",
    "trace",
]
