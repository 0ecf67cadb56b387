"""Checkpoints of a training: written whole or not at all."""

from pathlib import Path
from typing import Any

import torch

from supernets.whole_file import InvalidFile, written_whole

CHECKPOINT = "checkpoint.pt"
_AGAIN = "the training up to it is lost; delete it to start again from the beginning"
_ENTRIES = ("step", "phase_index", "lr_scale", "rollbacks", "usual_loss", "first_loss", "seed", "starts", "finished")


class InvalidCheckpoint(InvalidFile):
    """A checkpoint that a training cannot go on from; the message says what to do."""


def has_begun(folder: Path) -> bool:
    """Return whether a training, or one of its parts, has left a checkpoint in a folder."""
    return folder.exists() and any(folder.rglob(CHECKPOINT))


def write_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint, whole or not at all."""
    with written_whole(path) as file:
        torch.save(state, file)


def read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote.

    Raises:
        InvalidCheckpoint: The file is damaged.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a damaged pickle fails in any way
        reason = "it is empty" if path.is_file() and not path.stat().st_size else str(error).partition("\n")[0][:200]
        raise InvalidCheckpoint(f"{path} can't be read as a checkpoint ({reason}); {_AGAIN}") from error


def read_training(path: Path, device: torch.device) -> dict[str, Any]:
    """Return the checkpoint of a training; `state` in it is that of its step.

    Raises:
        InvalidCheckpoint: The file is damaged, or an earlier version wrote it.
    """
    checkpoint = read_checkpoint(path, device)
    if not isinstance(checkpoint, dict) or "state" not in checkpoint:
        raise InvalidCheckpoint(f"{path} is of an earlier version and can't be continued; {_AGAIN}")
    if missing := [name for name in _ENTRIES if name not in checkpoint]:
        raise InvalidCheckpoint(f"{path} is damaged: it has no {missing[0]}; {_AGAIN}")
    return checkpoint


def final_optimizer_state(folder: Path, device: torch.device) -> dict[str, Any]:
    """Return the state of the optimizer at the end of the supernet training that left its checkpoint in a folder.

    Raises:
        ValueError: There is no checkpoint, or the training is not finished.
    """
    return finished_training(folder, device)["state"]["optimizer"]


def finished_training(folder: Path, device: torch.device) -> dict[str, Any]:
    """Return the last checkpoint of the training that left it in a folder; `state` is that of its step.

    Raises:
        ValueError: There is no checkpoint, or the training is not finished.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise ValueError(f"{path}: there is no checkpoint; the state of the training is kept only there")
    state = read_training(path, device)
    if not state["finished"]:
        raise ValueError(f"{path} is of a training that is not finished: step {state['step']} of {state['starts'][-1]}")
    return state
