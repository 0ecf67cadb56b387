"""The observers of a job."""

from collections.abc import Callable
from typing import Any

Observer = Callable[[dict[str, Any]], None]
"""Called with every event: its kind is `event`, and what else it says depends on that."""
