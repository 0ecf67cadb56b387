"""Pretrained weights of timm as files: from the caches of this machine, or fetched where a network is there."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies

from search_spaces.errors import FieldError

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

FIELD = "pretrained"
_NAMES = ("model.safetensors", "pytorch_model.bin")
_CONNECTION_S = 5.0
_INSTEAD = (
    "give a file with space.options.checkpoint=FILE, or fetch the weights on another machine, copy its cache of the "
    "hub here and set HF_HUB_CACHE to it"
)


def pretrained_file(model: str) -> Path:
    """Return the file with the pretrained weights of a model of timm.

    Args:
        model: Its name, with or without the tag of its weights.

    Raises:
        FieldError: It has no weights, or they are neither on this machine nor can be fetched.
    """
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(model)
    if config is None or not (config.hf_hub_id or config.url):
        raise FieldError(FIELD, f"must be false, timm has no weights for {model}; give a file with checkpoint")
    return _cached(config) or _fetched(model, config)


def _cached(config: PretrainedCfg) -> Path | None:
    """Return the file of the weights where it is on this machine."""
    from huggingface_hub import try_to_load_from_cache

    for name in _names(config):
        found = try_to_load_from_cache(str(config.hf_hub_id), name)
        if isinstance(found, str):
            return Path(found)
    downloaded = _download(config)
    return downloaded if downloaded is not None and downloaded.is_file() else None


def _fetched(model: str, config: PretrainedCfg) -> Path:
    """Fetch the weights; nobody waits for a server that cannot be reached."""
    import huggingface_hub
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    address = ENDPOINT if config.hf_hub_id else str(config.url)
    unreachable = "HF_HUB_OFFLINE is set" if HF_HUB_OFFLINE else _unreachable(address)
    where = f"{config.hf_hub_id or config.url}"
    if unreachable:
        gone = f"the weights of {model} ({where}) are not on this machine, and {unreachable}"
        raise FieldError(FIELD, f"cannot be true here: {gone}; {_INSTEAD}")
    failed: Exception | None = None
    for name in _names(config):
        try:
            return Path(huggingface_hub.hf_hub_download(str(config.hf_hub_id), name))
        except Exception as error:  # the libraries below it raise errors of their own
            failed = failed or error
    try:
        if (downloaded := _download(config)) is not None:
            downloaded.parent.mkdir(parents=True, exist_ok=True)
            _download_url(str(config.url), downloaded)
            return downloaded
    except OSError as error:
        failed = failed or error
    line = (str(failed).strip().splitlines() or ["no file"])[0][:200]
    gone = f"the weights of {model} ({where}) could not be fetched ({line})"
    raise FieldError(FIELD, f"cannot be true here: {gone}; {_INSTEAD}") from failed


def _names(config: PretrainedCfg) -> tuple[str, ...]:
    """Return the names of the file on the hub, the preferred one first."""
    if not config.hf_hub_id:
        return ()
    return (config.hf_hub_filename,) if config.hf_hub_filename else _NAMES


def _download(config: PretrainedCfg) -> Path | None:
    """Return where torch keeps a file of weights from a plain address."""
    if not config.url:
        return None
    from torch.hub import get_dir

    return Path(get_dir()) / "checkpoints" / os.path.basename(urlsplit(str(config.url)).path)


def _download_url(address: str, place: Path) -> None:
    from torch.hub import download_url_to_file

    download_url_to_file(address, str(place), progress=False)


def _unreachable(address: str) -> str:
    """Return why a server, or the proxy on the way to it, gives no connection; empty where it does."""
    parts = urlsplit(address)
    through = urlsplit(getproxies().get(parts.scheme, address))
    host, port = through.hostname or through.path, through.port or (443 if through.scheme == "https" else 80)
    try:
        socket.create_connection((host, port), timeout=_CONNECTION_S).close()
    except OSError as error:
        return f"{host} cannot be reached ({error.strerror or error})"
    return ""
