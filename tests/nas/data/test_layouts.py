"""Splits are found whatever their folders are called in the usual spellings; what is doubtful is refused."""

from pathlib import Path

import pytest

from nas.data import DataConfig, ImageSource, InvalidData, open_source
from nas.data.images.layout import split_of
from nas.data.images.tree import SUFFIXES
from tests.nas.data.odd_pictures import frames, saved
from tests.nas.data.pictures import load, picture, write_folder

CLASSES = {"cat": 4, "dog": 5}


def opened(root: Path, **options: object) -> ImageSource:
    source = open_source(DataConfig(source="folder", path=str(root), **options))
    assert isinstance(source, ImageSource)
    return source


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", "train Train TRAIN training Training seg_train train_set trainset TrainSet train_images train-data"),
        ("train", "TrainingData traindata train2017 Train_1 dataset_train train.split"),
        ("validation", "val Val valid VALID validation dev Dev seg_val val2017 valset validation-set eval"),
        ("test", "test Test TESTING testing seg_test test_set TestImages testdata"),
        (None, "trainer contest cat latest training_cats train_test seg pred seg_pred unlabelled fold1 invalid 1 _"),
    ],
)
def test_names_of_splits(split: str | None, names: str):
    assert {name: split_of(name) for name in names.split()} == dict.fromkeys(names.split(), split)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Train", None, "Test"),
        ("Training", None, "Testing"),
        ("seg_train", None, "seg_test"),
        ("seg_train/seg_train", None, "seg_test/seg_test"),
        ("data/archive/TRAIN", "data/archive/Valid", None),
        ("training_set/training_set", "dev", "test_set/test_set"),
    ],
)
def test_splits_are_understood(tmp_path: Path, train: str, validation: str | None, test: str | None):
    for number, name in enumerate((train, validation, test)):
        if name is not None:
            write_folder(tmp_path / name, CLASSES, first=100 * number)
    source = opened(tmp_path)
    assert source.stored.class_names == ("cat", "dog")
    given = {"train": train, "validation": validation, "test": test}
    for split, part in source.splits.items():
        place = tmp_path / (given[split] or train)
        assert all(place in Path(part.samples.name(int(index))).parents for index in part.indices)
    if validation and test:
        assert list(source.sizes.values()) == [9, 9, 9]


def test_a_class_may_be_called_like_a_split(tmp_path: Path):
    write_folder(tmp_path, {"car": 4, "plane": 4, "train": 4})
    assert opened(tmp_path).stored.class_names == ("car", "plane", "train")


def test_folders_below_a_class_belong_to_it(tmp_path: Path):
    for number, place in enumerate(("a/x", "a/y", "b/x/deep", "b")):
        write_folder(tmp_path / place, {"": 3}, first=10 * number)
    source = opened(tmp_path)
    assert source.stored.class_names == ("a", "b")
    assert source.stored.train.labels.tolist() == [0] * 6 + [1] * 6


def test_a_test_folder_may_lie_elsewhere(tmp_path: Path):
    write_folder(tmp_path / "photos", CLASSES)
    write_folder(tmp_path / "later" / "later", CLASSES, first=50)
    assert opened(tmp_path / "photos", test_path=str(tmp_path / "later")).sizes["test"] == 9


def make(root: Path, *places: str) -> None:
    for number, place in enumerate(places):
        folder = root / place
        if place.endswith("!"):
            folder.with_name(folder.name[:-1]).mkdir(parents=True)
        else:
            write_folder(folder, {"": 3}, first=10 * number)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (["train", "test"], "test/ and train/ look like splits but have no folders of classes; expected train/CLASS/"),
        (["val/a", "val/b", "test/a", "test/b"], "test/ and val/ look like splits, but there is no train/"),
        (
            ["train/a", "train/b", "Training/a", "Training/b"],
            "Training/ and train/ are both called like the train split",
        ),
        (["train/a", "train/b", "test"], "test: looks like the test split, but has images without folders of classes"),
        (["train/a", "train/b", "test!"], "test: looks like the test split, but has no images"),
        (["train/a", "train/b", "car"], "train/ looks like a split, but car/ beside it is not called like one"),
        (["one/a", "one/b", "two/a", "two/b"], "one/ and two/ look like splits, as each has the folders a, b"),
        (["uno/uno/a", "uno/uno/b", "dos/a", "dos/b"], "dos/ and uno/ look like splits, as each has the folders a, b"),
        (["train/a", "train/b", "val/a", "val/c"], "class 'c' is not among the training classes a, b"),
        (["a", "b", "c!"], "c: this class folder has no images; put images into it, or remove it"),
        (["a", "b", "c!", "d!"], r"c: this class folder has no images \(and 1 more: d\)"),
        (["."], "3 images and no folders of classes; expected CLASS/ folders"),
    ],
)
def test_doubtful_folders_are_refused_with_one_line(tmp_path: Path, places: list[str], message: str):
    make(tmp_path, *places)
    with pytest.raises(InvalidData, match=message) as caught:
        opened(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dataset", ["", "torch/image_folder"])
@pytest.mark.parametrize(
    "names", [("Train", "Test"), ("train", "Testing"), ("seg_train/seg_train", "seg_test/seg_test")]
)
def test_timm_does_not_take_splits_for_classes(tmp_path: Path, names: tuple[str, str], dataset: str):
    for name in names:
        write_folder(tmp_path / name, CLASSES)
    with pytest.raises(
        InvalidData, match=r"timm does not find the (train|test) split there; use source: folder, or call"
    ):
        open_source(DataConfig(source="timm", dataset=dataset, path=str(tmp_path)))


def test_what_systems_leave_is_no_data(tmp_path: Path):
    root = write_folder(tmp_path, CLASSES)
    expected = opened(root).stored.train
    for junk in ("._1.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.png"):
        for folder in (root, root / "cat"):
            (folder / junk).write_text("junk")
    for junk in ("__MACOSX/cat", ".thumbnails", "cat/.cache", "cat/@eaDir", "dog/__MACOSX", "$RECYCLE.BIN"):
        write_folder(root / junk, {"": 2})
    source = opened(root)
    assert source.stored.class_names == ("cat", "dog")
    assert source.stored.train.paths == expected.paths
    assert source.stored.remarks == ()


def test_files_that_are_not_read_are_named(tmp_path: Path):
    root = write_folder(tmp_path / "train", CLASSES).parent
    write_folder(root / "test", CLASSES, first=20)
    write_folder(root / "seg_pred", {"": 2})
    for number in range(3):
        (root / "train" / "cat" / f"{number}.HEIC").write_text("photo")
    (root / "train" / "dog" / "notes.txt").write_text("a dog")
    unused, others = opened(root).stored.remarks
    assert unused == f"not used, as it belongs to no split: {root / 'seg_pred'}"
    assert "3 .heic, 1 .txt (convert .heic to JPEG)" in others
    for path in (root / "train" / "cat").glob("*.png"):
        path.unlink()
    with pytest.raises(InvalidData, match=r"cat: this class folder has no images; .*not read are there: 3 \.heic"):
        opened(root)


def test_files_of_every_kind_are_found_in_any_case(tmp_path: Path):
    root = write_folder(tmp_path, {"a": 3, "b": 3})
    names = {
        ".jfif": "JPEG",
        ".JPG": "JPEG",
        ".jpe": "JPEG",
        ".GIF": "GIF",
        ".tif": "TIFF",
        ".Webp": "WEBP",
        ".jp2": "JPEG2000",
    }
    for suffix, kind in names.items():
        (root / "a" / f"odd{suffix}").write_bytes(frames("GIF") if kind == "GIF" else saved(picture(0, 9), kind))
    assert {suffix.lower() for suffix in names} <= SUFFIXES
    assert sum(load(DataConfig(source="folder", path=str(root))).sizes.values()) == 6 + len(names)


def test_links_are_followed_once(tmp_path: Path):
    root = write_folder(tmp_path / "photos", CLASSES)
    write_folder(tmp_path / "elsewhere", {"": 4}, first=30)
    (root / "mouse").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "again").symlink_to(root)
    (root / "dog" / "gone.png").symlink_to(root / "nothing.png")
    source = opened(root)
    assert source.stored.class_names == ("cat", "dog", "mouse")
    assert source.stored.train.labels.tolist() == [0] * 4 + [1] * 6 + [2] * 4
