"""Files of weights: safetensors, and what `torch.save` writes of a state dict, alone or inside a checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from search_spaces.errors import FieldError

_ENTRIES = ("state_dict_ema", "model_ema", "ema", "state_dict", "model", "model_state_dict", "weights", "params", "net")
"""Where checkpoints have their weights; averaged ones come first, as in timm."""
_PREFIXES = ("model.", "net.", "network.", "backbone.")
"""Names of the attribute that holds the network in the class of a training framework."""
_KINDS = ".safetensors, or what torch.save wrote of a state dict (.pth, .pt, .pth.tar, .bin)"


def read_weights(path: str | Path, *, field: str) -> dict[str, Tensor]:
    """Return the tensors of a file by name, without the prefixes of wrappers.

    Args:
        path: The file.
        field: Field that names it, for messages.

    Raises:
        FieldError: There is no such file, or no weights in it can be read.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        wrong = "it is a folder" if file.is_dir() else "there is no such file"
        raise FieldError(field, f"must be a file of weights ({_KINDS}), got {str(path)!r}: {wrong}")
    found = _without_wrappers(_tensors(_content(file, field), file, field))
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in found):
            return {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found


def _content(file: Path, field: str) -> Any:
    """Return what a file holds; nothing in it is executed."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise FieldError(field, f"{file} cannot be read as safetensors: {_line(error)}") from error
    except Exception as error:  # a damaged or foreign pickle fails in any way
        whole = "weights_only" in str(error).lower() or "Unsupported global" in str(error)
        why = "it holds objects, not only weights; save module.state_dict()" if whole else _line(error)
        reason = "it is empty" if not file.stat().st_size else why
        raise FieldError(field, f"{file} cannot be read as weights ({_KINDS}): {reason}") from error


def _tensors(content: Any, file: Path, field: str) -> dict[str, Tensor]:
    """Return the tensors of a state dict, or of that inside a checkpoint."""
    outer = content
    while isinstance(content, Mapping):
        found = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
        inner = [content[name] for name in _ENTRIES if isinstance(content.get(name), Mapping)]
        if found and not inner:
            return found
        content = inner[0] if inner else None
    entries = ", ".join(map(str, list(outer)[:5])) if isinstance(outer, Mapping) else type(outer).__name__
    raise FieldError(field, f"{file} holds no weights by name; it has {entries or 'nothing'}")


def _without_wrappers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under the names that they have without data parallelism and compilation."""
    from timm.models import clean_state_dict

    return clean_state_dict(dict(tensors))


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
