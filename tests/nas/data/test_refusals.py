"""Data that cannot be used are refused with one clear line."""

from pathlib import Path

import numpy as np
import pytest

from nas.data import DataConfig, ImageSource, InvalidData, check_data, open_source
from nas.data.images.preprocessing import Decoding
from nas.data.images.samples import channel_statistics, decode
from tests.nas.data.pictures import load, write_folder, write_npz


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offsets": None}, "missing arrays offsets"),
        ({"offsets": np.arange(61)[::-1].copy()}, "'offsets' must increase, but not after image 0"),
        ({"offsets": np.arange(61) * 10**6}, "'offsets' must lie within the"),
        ({"offsets": np.arange(7)}, "'offsets' must have one value more than 'label', got 7 and 60"),
        ({"label": np.full(60, 7)}, "'label' must be 0 to 2, got 7 to 7"),
        ({"label": np.full(60, 0.5)}, "'label' must be a list of integers, got float64"),
        ({"jpeg": np.zeros(3)}, "'jpeg' must be a list of bytes, got float64"),
        ({"classes": np.array(["only"]), "label": np.zeros(60, int)}, "at least 2 classes are needed, found 1"),
        ({"classes": np.array([{}], object)}, "not a readable npz file"),
    ],
)
def test_damaged_npz_is_refused_before_decoding(tmp_path: Path, changes: dict, message: str):
    path = write_npz(tmp_path / "bad.npz", **changes)
    with pytest.raises(InvalidData, match=message) as caught:
        check_data(DataConfig(source="npz", path=str(path)))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.999])
def test_truncated_npz_is_refused(npz: Path, tmp_path: Path, kept: float):
    whole = (npz / "small_train.npz").read_bytes()
    path = tmp_path / "short.npz"
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(InvalidData, match=r"short\.npz: not a readable npz file"):
        check_data(DataConfig(source="npz", path=str(path)))


def test_npz_with_flipped_bits_is_refused(npz: Path, tmp_path: Path):
    whole = bytearray((npz / "small_train.npz").read_bytes())
    whole[len(whole) // 2] ^= 255
    path = tmp_path / "flipped.npz"
    path.write_bytes(whole)
    with pytest.raises(InvalidData, match=r"flipped\.npz: not a readable npz file"):
        check_data(DataConfig(source="npz", path=str(path)))


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("workers", [0, 1])
def test_undecodable_image_is_named(npz: Path, tmp_path: Path, in_memory: bool, workers: int):
    with np.load(npz / "small_train.npz") as stored:
        arrays = {name: stored[name] for name in stored}
    start, stop = arrays["offsets"][17:19]
    arrays["jpeg"] = arrays["jpeg"].copy()
    # The header stays: the damage shows in decoding only.
    arrays["jpeg"][(start + stop) // 2 : stop] = 0
    np.savez(tmp_path / "bad.npz", **arrays)
    config = DataConfig(
        source="npz", path=str(tmp_path / "bad.npz"), in_memory=in_memory, workers=workers, test_fraction=0.05
    )
    with pytest.raises(InvalidData, match=r"bad\.npz: image 17 cannot be decoded"):
        list(load(config).train.sequential(8))


def test_two_training_files_in_a_folder_are_refused(tmp_path: Path):
    for name in ("a_train.npz", "b_train.npz"):
        write_npz(tmp_path / name, counts=(3, 3))
    with pytest.raises(InvalidData, match=r"expected one file .* found a_train\.npz, b_train\.npz"):
        check_data(DataConfig(source="npz", path=str(tmp_path)))


def test_test_file_of_other_classes_is_refused(npz: Path, tmp_path: Path):
    other = write_npz(tmp_path / "other.npz", counts=(3, 3))
    with pytest.raises(InvalidData, match=r"other\.npz: 'classes' must be those of small_train\.npz"):
        check_data(DataConfig(source="npz", path=str(npz), test_path=str(other)))


def make_folder(root: Path, case: str) -> None:
    if case == "empty classes":
        (root / "a").mkdir()
        (root / "b").mkdir()
    elif case == "one class":
        write_folder(root, {"a": 5})
    elif case == "small class":
        write_folder(root, {"a": 5, "b": 2})
    elif case == "unknown class":
        write_folder(root / "train", {"a": 5, "b": 5})
        write_folder(root / "test", {"a": 5, "c": 5})
    elif case == "not an image":
        write_folder(root, {"a": 5, "b": 5})
        (root / "b" / "0.png").write_bytes(b"no image")


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("nothing", "no images found"),
        ("empty classes", "no images found"),
        ("one class", "at least 2 classes are needed, found 1"),
        ("small class", "class 'b' needs at least 3 training images to be split, found 2"),
        ("unknown class", "class 'c' is not among the training classes a, b"),
        ("not an image", r"0\.png cannot be decoded"),
    ],
)
def test_unusable_folder_is_refused(tmp_path: Path, case: str, message: str):
    make_folder(tmp_path, case)
    with pytest.raises(InvalidData, match=message):
        load(DataConfig(source="folder", path=str(tmp_path)))


@pytest.mark.parametrize("source", ["npz", "folder"])
def test_missing_path_is_named(tmp_path: Path, source: str):
    missing = tmp_path / "gone"
    with pytest.raises(InvalidData, match="gone: no such"):
        check_data(DataConfig(source=source, path=str(missing)))


def test_unknown_timm_dataset_gives_the_reason(tmp_path: Path):
    with pytest.raises(InvalidData, match="Unknown torchvision dataset nonsense") as caught:
        check_data(DataConfig(source="timm", dataset="torch/nonsense", path=str(tmp_path)))
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("dataset", "path", "message"),
    [
        ("tfds/mnist", ".", "is a stream"),
        ("torch/cifar10", None, "path must be the root folder"),
        ("", "nowhere/at/all", "no such folder"),
    ],
)
def test_unusable_timm_dataset_is_refused(dataset: str, path: str | None, message: str):
    with pytest.raises(InvalidData, match=message):
        check_data(DataConfig(source="timm", dataset=dataset, path=path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": ""}, "source must be the name of a source, or package.module:object, got ''"),
        ({"image_size": 0}, "image_size must be at least 4 pixels, or null, got 0"),
        ({"validation_fraction": 1.0}, "validation_fraction must be between 0 and 1, got 1.0"),
        ({"test_fraction": -0.1}, "test_fraction must be between 0 and 1, got -0.1"),
        ({"crop_padding": -1}, "crop_padding must be 0 or more pixels, or null, got -1"),
        ({"cutout": -1}, "cutout must be 0 or more pixels, got -1"),
        ({"workers": -1}, "workers must be 0 or more, got -1"),
    ],
)
def test_configuration_out_of_range_is_refused(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        DataConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"source": "web"},
            "source 'web' is unknown; "
            "allowed: digits, folder, noise, npz, parallel_text, planetoid, text, timm, or package.module:object",
        ),
        ({"source": "digit"}, r"source 'digit' is unknown; did you mean digits\? allowed: digits,"),
        ({"source": "nowhere.to:find"}, "source 'nowhere.to:find' cannot be imported: No module named 'nowhere'"),
        ({"source": "npz"}, "path must be given for source 'npz', got None"),
        ({"source": "folder"}, "path must be given for source 'folder', got None"),
        ({"source": "timm"}, "dataset must be given for source 'timm'"),
        ({"dataset": "torch/mnist"}, "dataset must be left out, source 'digits' does not use it; got 'torch/mnist'"),
        ({"test_path": "x"}, "test_path must be left out, source 'digits' does not use it; got 'x'"),
    ],
)
def test_fields_that_do_not_go_with_the_source_are_refused(changes: dict, message: str):
    for use in (check_data, load):
        with pytest.raises(ValueError, match=message):
            use(DataConfig(**changes))


def test_cifar10_file_is_what_it_is_said_to_be(shared_data: Path):
    config = DataConfig(source="npz", path=str(shared_data / "cifar10"))
    facts = {"classes": 10, "channels": 3, "image_size": 32, "class_counts": [4500] * 10}
    assert check_data(config) == facts
    source = open_source(config)
    assert isinstance(source, ImageSource)
    assert list(source.sizes.values()) == [45000, 5000, 10000]
    assert np.bincount(source.splits["validation"].labels).tolist() == [500] * 10
    few = source.splits["train"]._replace(indices=source.splits["train"].indices[:200])
    mean, std = channel_statistics(decode(few, Decoding(image_size=32, channels=3)))
    assert mean == pytest.approx((0.4913, 0.4821, 0.4465), abs=0.04)
    assert std == pytest.approx((0.2452, 0.2428, 0.2606), abs=0.04)
