"""What can be built: search spaces as data, and the networks whose elastic layers follow an architecture."""

from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture, Relaxation
from search_spaces.space import Columns, Costs, Space

__all__ = ["Architecture", "Choice", "Columns", "Costs", "Decision", "InvalidArchitecture", "Relaxation", "Space"]
