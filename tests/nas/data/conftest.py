"""Data that several tests read."""

from pathlib import Path

import pytest

from nas.data import DataConfig, ImageData
from tests.nas.data.pictures import load, write_npz


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load(DataConfig(cutout=3, flip=True))


@pytest.fixture(scope="module")
def npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("npz")
    write_npz(folder / "small_train.npz")
    write_npz(folder / "small_test.npz", counts=(5, 5, 5), first=100)
    return folder


@pytest.fixture(scope="module", params=["device", "streamed"])
def images(request: pytest.FixtureRequest, npz: Path):
    """A training split of 54 images, in both forms of storage."""
    config = DataConfig(source="npz", path=str(npz), cutout=4, in_memory=request.param == "device", workers=0)
    return load(config).train
