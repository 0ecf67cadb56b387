"""The way from a configuration to three splits that batches can be drawn from."""

from collections.abc import Mapping
from typing import Any

import torch

from nas.data.config import DataConfig, InvalidData
from nas.data.data import Data, DataSource
from nas.names import find


def open_source(config: DataConfig) -> DataSource:
    """Return the source that the configuration names: a module of `nas.data.sources`, or `package.module:object`.

    Raises:
        InvalidData: There is no such source, or it is missing, damaged or not of the expected form.
        FieldError: A field has a value that does not fit the source.
    """
    try:
        source = find(config.source, package="nas.data.sources", attribute="open_{name}")
    except ValueError as error:
        raise InvalidData(f"source {error}") from error
    return source(config, **config.options)


def check_data(config: DataConfig) -> Mapping[str, Any]:
    """Return the facts that networks must fit, by name; only a few headers are read.

    Raises:
        InvalidData: The data is missing, damaged, too small or not of the expected form.
        FieldError: A field has a value that does not fit the source.
    """
    return open_source(config).facts


def load_data(config: DataConfig, *, device: torch.device, seed: int = 0) -> Data:
    """Return the three splits, ready for training on the device.

    Args:
        config: The data.
        device: Device where batches are wanted.
        seed: Seed of the split. It belongs to the data: jobs that differ in their own seed are compared on the same
            splits.

    Raises:
        InvalidData: The data is missing, damaged, too small or not of the expected form.
        FieldError: A field has a value that does not fit the source.
    """
    return open_source(config).load(device, seed)
