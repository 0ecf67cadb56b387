"""Trained supernets from their files, of whatever kind they are."""

import json
from contextlib import suppress
from pathlib import Path

from search_spaces import Space
from supernets.experts import experts_of, with_experts
from supernets.experts_config import ExpertsConfig
from supernets.mixture import ENTRY, Mixture
from supernets.supernet import EXPERTS, Supernet, read_metadata
from supernets.transforms.split import Part, Partition


def load_supernet(space: Space, path: Path) -> Supernet:
    """Return the supernet that `Supernet.save` wrote, or that of a class below it, with the experts that it had.

    Raises:
        ValueError: The file is not a supernet, or it is of another space.
    """
    saved = read_metadata(path)
    supernet: Supernet | None = None
    with suppress(ValueError, KeyError, TypeError):  # of another space: the whole supernet has the better message
        if EXPERTS in saved and experts_of(space) is None:
            space = with_experts(space, ExpertsConfig(**json.loads(saved[EXPERTS])))
        if "tree" in saved:
            parts = [Part(part["parent"], part["decision"], tuple(part["group"])) for part in json.loads(saved["tree"])]
            supernet = Partition(space, parts)
        elif ENTRY in saved:
            supernet = Mixture(space, json.loads(saved[ENTRY]))
    supernet = supernet or Supernet(space)
    supernet.load(path)
    return supernet
