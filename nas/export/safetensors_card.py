"""Weights as safetensors, and the network rebuilt from them and the card beside them.

Unlike `.pt2` and ONNX, which do not need this package, this form gives the layers back as a plain torch module, which
can be trained further or taken apart.
"""

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from nas.export.deployable import Deployable
from search_spaces import Architecture, Space
from search_spaces.plain import ElasticOnMeta
from search_spaces.precision import PrecisionConfig, with_precision
from supernets.whole_file import InvalidFile

WEIGHTS = "model.safetensors"


def write_safetensors(deployable: Deployable, path: Path) -> dict[str, Any]:
    """Write the weights, the card in their metadata, and rebuild the network from the file.

    Raises:
        ValueError: The rebuilt network gives another output.
    """
    weights = {name: tensor.contiguous() for name, tensor in deployable.network.state_dict().items()}
    save_file(weights, path, metadata={"card": json.dumps(deployable.card)})
    rebuilt = restored(deployable.space, deployable.architecture, path)
    with torch.inference_mode():
        return {"tensors": len(weights), **deployable.agreement(rebuilt)}


def restored(space: Space, architecture: Architecture, weights: Path) -> nn.Module:
    """Return the plain network of an architecture with saved weights, in evaluation mode, on the CPU.

    Raises:
        InvalidFile: The weights are damaged or of another network.
    """
    checked = space.architecture(architecture)
    with torch.random.fork_rng(devices=[]):  # the fresh weights are overwritten at once
        # the layers of a supernet may differ in detail from those of a network that is built alone
        network = ElasticOnMeta(space.build).subnet(checked) if space.is_elastic else space.subnet(checked)
    try:
        network.load_state_dict(load_file(weights))
    except SafetensorError as error:
        raise InvalidFile(f"{weights} is damaged, these weights are lost: {error}") from error
    except RuntimeError as error:
        raise InvalidFile(f"{weights} holds the weights of another network: {str(error).splitlines()[0]}") from error
    return network.eval()


def load_network(card: Path, *, space: Space | None = None) -> nn.Module:
    """Return the network that a card describes, with the weights that lie beside it, in evaluation mode.

    Args:
        card: The file `card.json`; `model.safetensors` is in the same folder.
        space: What the architecture is of, where that is a space of one's own; a card is data and names no code but
            that of `search_spaces`.

    Raises:
        ValueError: The space of the card is not in `search_spaces`, or was made with data such as a graph, and no space
            was given.
        FileNotFoundError: There is no card, or there are no weights beside it.
    """
    facts = json.loads(Path(card).read_text(encoding="utf-8"))
    space = space or published_space(facts["space"])
    return restored(space, Architecture.from_json(facts["architecture"]), Path(card).parent / WEIGHTS)


def published_space(described: dict[str, Any]) -> Space:
    """Return the space that a card names.

    Raises:
        ValueError: It is not in `search_spaces`, or was made with data.
    """
    module, _, function = str(described["function"]).partition(":")
    made = getattr(importlib.import_module(module), function, None) if module.startswith("search_spaces.") else None
    if not inspect.isfunction(made) or made.__module__ != module:
        raise ValueError(f"the space {described['function']!r} is none of search_spaces: give it as `space`")
    if left_out := described.get("left_out"):
        needed = f"{' and '.join(left_out)}, which the card does not hold"
        raise ValueError(f"the space {described['name']!r} was made with {needed}: give it as `space`")
    space = made(**described["options"])
    if (precision := described.get("precision")) is None:
        return space
    lists = {name: tuple(value) for name, value in precision.items() if isinstance(value, list)}
    return with_precision(space, PrecisionConfig(**{**precision, **lists}))
