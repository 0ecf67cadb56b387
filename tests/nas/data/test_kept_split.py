"""A split that was kept is recognised in data that have changed, example by example."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from nas.data import DataConfig, ImageData, ImageSource, TensorSource, open_source
from nas.data.changes import Changes, changes
from nas.data.data import DividedSource
from nas.data.kept_split import KeptSplit, kept_split
from nas.data.members import members_of_files
from tests.nas.data.own_sources import vectors
from tests.nas.data.pictures import CPU, contents, everything, picture, write_folder, write_npz


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "photos", {"cat": 10, "dog": 12})


def opened(path: Path) -> ImageSource:
    name = "folder" if path.is_dir() else "npz"
    return cast(ImageSource, open_source(DataConfig(source=name, path=str(path), validation_fraction=0.2)))


def kept_of(source: ImageSource | TensorSource) -> KeptSplit:
    data = source.load(CPU)
    about = {"facts": data.facts, "preprocessing": data.preprocessing}
    kept = kept_split(source.division(), fingerprint=data.fingerprint, **about)
    return KeptSplit.from_bytes(kept.to_bytes())


def now(kept: KeptSplit, path: Path) -> Changes:
    return changes(kept, opened(path).division())


def splits(found: Changes, path: Path) -> dict[str, set[bytes]]:
    """The pixels of each split."""
    data = opened(path).with_split(found.before, found.positions).load(CPU)
    return {name: contents(images) for name, images in everything(data).items()}


def test_a_split_is_the_same_after_writing_and_reading(photos: Path):
    source = opened(photos)
    kept = kept_of(source)
    assert kept.sizes == source.sizes
    assert kept.classes == ("cat", "dog")
    found = now(kept, photos)
    assert found.same
    for name, positions in source.division().positions.items():
        assert found.positions[name].tolist() == positions.tolist()  # the order too: trainings are the same
    assert found.before.total == 22


def test_the_kept_split_gives_the_same_batches(photos: Path):
    source = opened(photos)
    kept = kept_of(source)
    first = source.load(CPU)
    again = source.with_split(kept, now(kept, photos).positions).load(CPU)
    assert first.describe() == again.describe()
    for name, images in everything(first).items():
        assert torch.equal(images, everything(again)[name])


def test_moved_data_are_recognised_by_their_content(photos: Path, tmp_path: Path):
    kept = kept_of(opened(photos))
    photos.rename(tmp_path / "elsewhere")
    assert now(kept, tmp_path / "elsewhere").same


def test_a_renamed_image_is_the_same_image(photos: Path):
    kept = kept_of(opened(photos))
    before = splits(now(kept, photos), photos)
    (photos / "cat" / "3.png").rename(photos / "cat" / "zebra.png")
    found = now(kept, photos)
    assert found.same
    assert splits(found, photos) == before


def test_no_image_changes_its_split_when_others_come_and_go(photos: Path):
    kept = kept_of(opened(photos))
    before = splits(now(kept, photos), photos)
    for number in range(20, 26):
        picture(0, number).save(photos / "cat" / f"00{number}.png")  # sorted before all others
    gone = [photos / "dog" / f"{number}.png" for number in (1, 4, 7)]
    for file in gone:
        file.unlink()
    found = now(kept, photos)
    assert not found.same
    assert "6 added (cat/0020.png, cat/0021.png, cat/0022.png, …)" in found.describe()
    assert "3 removed" in found.describe()
    assert "22 images (fingerprint" in found.describe()
    assert "25 (fingerprint" in found.describe()
    after = splits(found, photos)
    assert after["validation"] <= before["validation"]
    assert after["test"] <= before["test"]
    assert len(after["train"] - before["train"]) == 6
    assert sum(map(len, after.values())) == 25


def test_a_copy_of_a_test_image_is_not_trained_on(photos: Path):
    kept = kept_of(opened(photos))
    test_image = opened(photos).division().parts["train"].names
    assert test_image is not None
    name = test_image[kept.splits["test"].index[0]]
    (photos / "cat" / "copy.png").write_bytes((photos / name).read_bytes())
    found = now(kept, photos)
    assert "1 left out, because their content is in another split (cat/copy.png)" in found.describe()
    after = splits(found, photos)
    assert not after["train"] & after["test"]


def test_a_changed_image_stays_in_its_split_and_is_named(photos: Path):
    kept = kept_of(opened(photos))
    picture(7, 7).save(photos / "dog" / "5.png")
    found = now(kept, photos)
    assert found.differences == {"changed": ["dog/5.png"]}
    before = next(name for name, split in kept.splits.items() if "dog/5.png" in (split.names or ()))
    assert contents(torch.from_numpy(np.array(picture(7, 7))[None])) <= splits(found, photos)[before]


def test_an_image_that_moves_to_another_class_stays_in_its_split(photos: Path):
    kept = kept_of(opened(photos))
    (photos / "dog" / "5.png").rename(photos / "cat" / "five.png")
    found = now(kept, photos)
    assert found.differences == {"changed": ["cat/five.png"]}
    assert {name: len(at) for name, at in found.positions.items()} == kept.sizes


def test_an_image_between_published_splits_leaves_both(tmp_path: Path):
    root = tmp_path / "photos"
    write_folder(root / "train", {"cat": 8, "dog": 8})
    write_folder(root / "test", {"cat": 4, "dog": 4}, first=20)
    kept = kept_of(opened(root))
    (root / "train" / "cat" / "0.png").rename(root / "test" / "cat" / "moved.png")
    found = now(kept, root)
    assert found.differences.keys() == {"left out, because their content is in another split", "removed"}
    assert {name: len(at) for name, at in found.positions.items()}["test"] == 8


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda root: write_folder(root, {"bird": 3}, first=50), "new class bird (2 classes then, 3 now)"),
        (lambda root: (root / "cat").rename(root / "kitten"), "new class kitten and no class cat any more"),
        (lambda root: (root / "cat").rename(root / "zcat"), "new class zcat and no class cat any more (2 classes then"),
    ],
)
def test_other_classes_are_an_obstacle(photos: Path, change: Callable[[Path], object], told: str):
    kept = kept_of(opened(photos))
    change(photos)
    assert told in now(kept, photos).obstacle


def test_rows_are_recognised_by_their_content(tmp_path: Path):
    path = write_npz(tmp_path / "all.npz", counts=(10, 12))
    kept = kept_of(opened(path))
    before = splits(now(kept, path), path)
    write_npz(path, counts=(12, 12))  # two more of the first class: everything behind them has another index
    found = now(kept, path)
    assert found.differences == {"added": ["10", "11"]}
    after = splits(found, path)
    assert (after["validation"], after["test"]) == (before["validation"], before["test"])
    assert len(after["train"]) == len(before["train"]) + 2


def test_examples_that_are_no_images_have_a_kept_split_too():
    source = cast(TensorSource, vectors(DataConfig(source="own"), examples=30))
    assert isinstance(source, DividedSource)
    kept = kept_of(source)
    assert changes(kept, source.division()).same
    fewer = replace(source, train=tuple(tensor[1:] for tensor in source.train))
    found = changes(kept, fewer.division())
    assert [len(names) for names in found.differences.values()] == [1]
    again = fewer.with_split(kept, found.positions).load(CPU)
    assert sum(again.sizes.values()) == 29
    test_rows = source.load(CPU).test.tensors[0]
    assert all((row == test_rows).all(1).any() for row in again.test.tensors[0])


def test_the_normalisation_and_shape_that_networks_know_stay(photos: Path):
    source = opened(photos)
    kept = kept_of(source)
    write_folder(photos, {"cat": 3}, first=90, size=40)
    assert opened(photos).facts["image_size"] == 64  # no longer all alike
    held = opened(photos).with_split(kept, now(kept, photos).positions)
    first, later = source.load(CPU), held.load(CPU)
    assert isinstance(later, ImageData)
    assert all(held.facts[name] == source.facts[name] for name in ("classes", "channels", "image_size"))
    assert (first.mean, first.std) == (later.mean, later.std)


def test_a_file_of_many_bytes_is_recognised_without_reading_all_of_it(tmp_path: Path):
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(100_000))
    members = members_of_files(tmp_path, [path], np.zeros(1, np.int64))
    ends, whole = (members.digest(np.zeros(1, np.int64), flag)[0] for flag in (False, True))
    path.write_bytes(bytes(99_999) + b"x")
    assert members_of_files(tmp_path, [path], np.zeros(1, np.int64)).digest(np.zeros(1, np.int64), False)[0] != ends
    path.write_bytes(bytes(30_000) + b"x" + bytes(69_999))
    assert members_of_files(tmp_path, [path], np.zeros(1, np.int64)).digest(np.zeros(1, np.int64), True)[0] != whole


def test_a_damaged_file_is_refused(photos: Path):
    content = kept_of(opened(photos)).to_bytes()
    for damaged in (b"", content[:50], content[: len(content) // 2], b"\xef\xbb\xbf" + content[3:]):
        with pytest.raises(ValueError, match=r"it is|: "):
            KeptSplit.from_bytes(damaged)
