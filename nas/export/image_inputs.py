"""The preparation of an image for an exported network, read from the card of the network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.data.images.preprocessing import Preprocessing


def preprocess(card: Mapping[str, Any] | Path | str) -> Preprocessing:
    """Return the preparation from an image file to the input of a network, exactly as in training.

    It is called with the image as `PIL.Image.open` returns it, and gives the input without the batch, float32
    [channels, size, size]; its `pixels` gives the bytes before they are scaled.

    Args:
        card: The content of `card.json`, or its path.

    Raises:
        ValueError: The card says nothing about images.
        FileNotFoundError: There is no such file.
    """
    content = card if isinstance(card, Mapping) else json.loads(Path(card).read_text(encoding="utf-8"))
    described = content.get("input")
    if not isinstance(described, Mapping) or "mean" not in described:
        raise ValueError("the card describes no image: the inputs of this network are given as they are")
    return Preprocessing.from_json(described)
