"""Tasks: what networks are trained for and judged by. Only a task knows what a batch holds."""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from supernets.tasks.classification import Classification, top1_percent
    from supernets.tasks.language import Language, MaskedLanguage
    from supernets.tasks.outcomes import Breakdown, Matrix, Mistake, Outcomes, Table
    from supernets.tasks.task import Batch, Metric, Resolution, Task
    from supernets.tasks.translation import Translation

__all__ = [
    "Batch",
    "Breakdown",
    "Classification",
    "Language",
    "MaskedLanguage",
    "Matrix",
    "Metric",
    "Mistake",
    "Outcomes",
    "Resolution",
    "Table",
    "Task",
    "Translation",
    "top1_percent",
]

__getattr__ = lazy(__name__, __file__)
