"""Checkpoints of a training: written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

CHECKPOINT = "checkpoint.pt"


class InvalidCheckpoint(ValueError):
    """A checkpoint that a training cannot go on from; the message says what to do."""


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, so that a crash at any moment leaves the old or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with open(temporary, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


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
        raise InvalidCheckpoint(f"{path} can't be read as a checkpoint ({error}); delete it to start again") from error


def read_training(path: Path, device: torch.device) -> dict[str, Any]:
    """Return the checkpoint of a training; `state` in it is that of its step.

    Raises:
        InvalidCheckpoint: The file is damaged, or an earlier version wrote it.
    """
    checkpoint = read_checkpoint(path, device)
    if "state" not in checkpoint:
        raise InvalidCheckpoint(f"{path} is of an earlier version and can't be continued; delete it to start again")
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
