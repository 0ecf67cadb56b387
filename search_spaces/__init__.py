"""What can be built: search spaces as data, and the networks whose elastic layers follow an architecture."""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture, LeftOut, Relaxation
    from search_spaces.costs import Costs
    from search_spaces.errors import FieldError
    from search_spaces.inputs import Input
    from search_spaces.space import Columns, Space

__all__ = [
    "Architecture",
    "Choice",
    "Columns",
    "Costs",
    "Decision",
    "FieldError",
    "Input",
    "InvalidArchitecture",
    "LeftOut",
    "Relaxation",
    "Space",
]

__getattr__ = lazy(__name__, __file__)
