"""Sources of images give what their files hold."""

import pickle
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import DataConfig, ImageData, check_data
from tests.nas.data.pictures import SIZE, contents, everything, load, picture, write_folder, write_npz


def test_npz_round_trip(npz: Path):
    path = npz / "small_train.npz"
    facts = {"classes": 3, "channels": 3, "image_size": SIZE, "class_counts": [18, 27, 9]}
    assert check_data(DataConfig(source="npz", path=str(path))) == facts
    data = load(DataConfig(source="npz", path=str(path)))
    assert data.class_names == ("class0", "class1", "class2")
    with np.load(path) as stored:
        files = [stored["jpeg"][a:b].tobytes() for a, b in zip(stored["offsets"], stored["offsets"][1:])]
        expected = {(np.array(Image.open(BytesIO(f))).tobytes(), y) for f, y in zip(files, stored["label"].tolist())}
    found = {
        (image.numpy().tobytes(), label)
        for part in (data.train, data.validation)
        for image, label in zip(part.images, part.labels.tolist())
    }
    assert found == expected


def test_npz_test_file_can_be_named(npz: Path, tmp_path: Path):
    other = write_npz(tmp_path / "other.npz", counts=(3, 3, 3), first=500)
    data = load(DataConfig(source="npz", path=str(npz / "small_train.npz"), test_path=str(other)))
    assert len(data.test) == 9


def test_description_is_ready_for_logs(digits: ImageData):
    description = digits.describe()
    assert (description["name"], description["classes"], description["test"]) == ("digits", 10, 359)
    assert len(description["fingerprint"]) == 16
    assert pickle.loads(pickle.dumps(description)) == description


def test_folder_with_all_splits(tmp_path: Path):
    counts = {"cat": 6, "dog": 5}
    for number, name in enumerate(("train", "valid", "test")):
        write_folder(tmp_path / name, counts, first=100 * number)
    data = load(DataConfig(source="folder", path=str(tmp_path)))
    assert data.class_names == ("cat", "dog")
    assert [len(images) for images in everything(data).values()] == [11, 11, 11]
    assert (data.channels, data.image_size) == (3, SIZE)


def test_folder_of_classes_is_split(tmp_path: Path):
    write_folder(tmp_path, {"a": 20, "b": 10}, mode="L")
    data = load(DataConfig(source="folder", path=str(tmp_path), validation_fraction=0.25))
    assert [torch.bincount(getattr(data, name).labels).tolist() for name in ("train", "validation", "test")] == [
        [12, 6],
        [4, 2],
        [4, 2],
    ]
    assert data.channels == 1


def test_images_of_many_sizes_become_one_size(tmp_path: Path):
    write_folder(tmp_path, {"a": 4, "b": 4})
    picture(0, 99, size=(50, 31)).save(tmp_path / "a" / "99.png")
    assert check_data(DataConfig(source="folder", path=str(tmp_path)))["image_size"] == 64
    for in_memory in (True, False):
        config = DataConfig(source="folder", path=str(tmp_path), image_size=24, in_memory=in_memory, workers=0)
        x, _ = next(load(config).train.batches(4, epoch=0, seed=0))
        assert x.shape == (4, 3, 24, 24)


@pytest.mark.parametrize("name", ["", "torch/image_folder"])
def test_timm_folders(tmp_path: Path, name: str):
    write_folder(tmp_path / "train", {"a": 10, "b": 10})
    write_folder(tmp_path / "val", {"a": 3, "b": 3}, first=100)
    config = DataConfig(source="timm", dataset=name, path=str(tmp_path))
    assert check_data(config) == {"classes": 2, "channels": 3, "image_size": SIZE, "class_counts": [8, 8]}
    data = load(config)
    assert [len(images) for images in everything(data).values()] == [16, 6, 4]
    assert data.class_names == ("a", "b")
    parts = [contents(images) for images in everything(data).values()]
    assert len(set.union(*parts)) == 26


def test_timm_cifar10_keeps_its_test_images_for_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from torchvision.datasets import CIFAR10

    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in [name for name, _ in CIFAR10.train_list + CIFAR10.test_list]:
        batch = {"data": rng.integers(0, 256, (40, 3072), dtype=np.uint8), "labels": [i % 10 for i in range(40)]}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"c{i}" for i in range(10)]}))
    # Only the published files have the published checksums.
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5=None: Path(path).exists())
    data = load(DataConfig(source="timm", dataset="torch/cifar10", path=str(tmp_path)))
    assert [len(images) for images in everything(data).values()] == [180, 20, 40]
    stored = pickle.loads((folder / "test_batch").read_bytes())["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    assert contents(data.test.images) == {image.tobytes() for image in stored}
