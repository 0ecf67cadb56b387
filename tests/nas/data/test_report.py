"""What people are told of their data: duplicates, classes, sizes, and what results can show."""

import json
import math
import re
import shutil

import numpy as np
import pytest
import torch

from nas.data import DataConfig, TensorSource, load_data
from nas.data.duplicates import Listing, duplicates
from nas.data.images.samples import file_content
from nas.data.report import Subject, report_on, subject_of
from supernets import Classification
from supernets.tasks.confusion import resolution_of_accuracy
from tests.nas.data.pictures import write_folder
from tests.plugin.regression import Regression


def listing(split: str, digests: list[int], labels: list[int] | None = None) -> Listing:
    column = np.array(digests, np.uint64)
    return Listing(lambda: column, lambda i: f"{split}/{i}.png", None if labels is None else np.array(labels))


def subject(train: list[int], validation: list[int], test: list[int], *, classes: int = 2) -> Subject:
    """Images of so many of each class in each split, all different."""
    counts = {"train": train, "validation": validation, "test": test}
    labels = {name: np.repeat(np.arange(classes), of_class).tolist() for name, of_class in counts.items()}
    digests = iter(range(10**6))
    splits = {name: listing(name, [next(digests) for _ in column], column) for name, column in labels.items()}
    return Subject(
        name="photos",
        examples="images",
        sizes={name: len(column) for name, column in labels.items()},
        classes=["cat", "dog", "emu"][:classes],
        listings=splits,
    )


def warnings_of(of: Subject, batch_size: int = 8) -> str:
    return "\n".join(report_on(of, Classification(len(of.classes)), batch_size).warnings)


# ---- duplicates -----------------------------------------------------------------------------------------------------


def test_duplicates_are_those_that_a_comparison_of_all_pairs_finds():
    generator = np.random.default_rng(0)
    contents = {name: generator.integers(0, 60, size).tolist() for name, size in (("train", 50), ("test", 20))}
    found = duplicates({name: listing(name, column) for name, column in contents.items()})
    assert found.within == {name: len(column) - len(set(column)) for name, column in contents.items()}
    assert found.across == {("train", "test"): sum(value in contents["train"] for value in contents["test"])}
    for pair in found.examples:
        (first, i), (second, j) = (re.fullmatch(r".*/(\d+)\.png \((\w+)\)", name).group(2, 1) for name in pair)
        assert contents[first][int(i)] == contents[second][int(j)]
        assert pair[0] != pair[1]


def test_names_of_pairs_across_splits_come_first():
    found = duplicates({"train": listing("train", [1, 1, 2, 3]), "test": listing("test", [4, 3])})
    assert found.examples == (
        ("train/3.png (train)", "test/1.png (test)"),
        ("train/0.png (train)", "train/1.png (train)"),
    )


def test_the_same_content_in_two_classes_is_counted():
    splits = {"train": listing("train", [1, 1, 2, 2], [0, 1, 0, 0]), "test": listing("test", [3, 2], [1, 1])}
    assert duplicates(splits).contradicting == 2
    assert duplicates({"train": listing("train", [1, 1])}).contradicting == 0


def test_different_examples_are_no_duplicates():
    found = duplicates({"train": listing("train", [1, 2]), "test": listing("test", [3])})
    assert not found.any
    assert found.within == found.across == {}


# ---- lines and warnings ---------------------------------------------------------------------------------------------


def test_sound_data_have_six_lines_at_most_and_no_warning():
    report = report_on(subject([200, 190], [50, 50], [50, 50]), Classification(2), 32)
    assert report.warnings == []
    assert report.lines() == [
        "data: photos, 590 images of 2 classes: 390 train, 100 validation, 100 test",
        "classes: in training cat 200, dog 190; the largest has 1.05 times as many as the smallest",
        "duplicates: no two images have the same content",
        "resolution: differences below 9.8 points on validation and 9.8 points on test cannot be told from chance, "
        "of two networks that disagree on a quarter of the examples; below 6 and 6 points for any two networks",
    ]
    assert json.loads(json.dumps(report.to_json()))["by_class"]["train"] == {"cat": 200, "dog": 190}


def test_a_resolution_of_three_digits_is_written_without_an_exponent():
    lines = report_on(subject([30, 30], [2, 2], [50, 50]), Classification(2), 8).lines()
    assert "below 100 points on validation and 9.8 points on test" in "\n".join(lines)


def test_leaks_are_warned_of_with_their_number_and_names():
    of = subject([100, 100], [50, 50], [50, 50])
    digests = of.listings["train"].digest()[:3].tolist() + list(range(10**7, 10**7 + 97))
    leaking = {**of.listings, "test": listing("test", digests, of.listings["test"].labels.tolist())}
    report = report_on(Subject(**{**vars(of), "listings": leaking}), Classification(2), 8)
    (warning,) = report.warnings
    assert warning.startswith("3 of 100 test images (3 %) are in train as well, which was trained on")
    assert "3 of test are in train too, e.g. train/0.png (train) = test/0.png (test)" in "\n".join(report.lines())


def test_imbalance_is_warned_of_with_what_helps():
    found = warnings_of(subject([300, 60], [50, 50], [50, 50]))
    assert "always says 'cat' is right for 83.3 % of the training images" in found
    assert "task.options.class_weights=balanced" in found
    told = report_on(subject([300, 60], [50, 50], [50, 50]), Classification(2), 8, balanced=True)
    assert "class_weights" not in "".join(told.warnings)


def test_small_classes_of_each_split_are_named():
    found = warnings_of(subject([40, 15], [10, 9], [0, 30]))
    assert "fewer than 20 train images: 'dog' 15" in found
    assert "fewer than 10 validation images: 'dog' 9" in found
    assert "fewer than 10 test images: 'cat' 0" in found


def test_batches_that_the_data_cannot_fill_are_warned_of():
    of = subject([50, 50], [50, 50], [50, 50])
    assert "100 training images make 1 step an epoch with train.batch_size=128" in warnings_of(of, 128)
    assert warnings_of(of, 25) == ""


def test_data_without_classes_or_identities_have_the_lines_that_hold_for_them():
    of = Subject(name="patients", examples="patients", sizes={"train": 225, "validation": 75, "test": 100})
    report = report_on(of, Regression(), 32)
    assert report.lines() == ["data: patients, 400 patients: 225 train, 75 validation, 100 test"]
    assert report.to_json()["duplicates"] is None


# ---- what results can show ------------------------------------------------------------------------------------------


def test_the_resolution_is_that_of_paired_comparisons():
    found = resolution_of_accuracy([161], balanced=False)
    assert found.likely == pytest.approx(7.72, abs=0.01)
    assert found.least == pytest.approx(100 * 6 / 161)
    assert Classification().resolution([100, 61]) == found


def test_differences_above_the_resolution_are_significant_by_simulation_and_half_of_it_are_not():
    n, generator = 400, np.random.default_rng(0)
    likely = resolution_of_accuracy([n], balanced=False).likely / 100

    def found(difference: float) -> float:
        """Share of comparisons in which the sign test tells the networks apart."""
        chances = [0.125 + difference / 2, 0.125 - difference / 2, 0.75]
        b, c, _ = generator.multinomial(n, chances, 2000).T
        return float((np.abs(b - c) > 1.959964 * np.sqrt(b + c)).mean())

    assert 0.02 < found(0.0) < 0.08
    assert 0.4 < found(likely) < 0.65
    assert found(2 * likely) > 0.95


def test_six_examples_are_the_fewest_that_can_decide():
    assert 2 * 0.5**6 < 0.05 < 2 * 0.5**5


def test_the_resolution_of_the_balanced_accuracy_follows_from_the_smallest_classes():
    even = resolution_of_accuracy([50, 50], balanced=True)
    assert even.likely == pytest.approx(resolution_of_accuracy([100], balanced=False).likely)
    uneven = resolution_of_accuracy([90, 10], balanced=True)
    assert uneven.likely == pytest.approx(100 * 1.959964 / 2 * math.sqrt(0.25 / 90 + 0.25 / 10), rel=1e-4)
    assert Classification(2, metric="balanced_accuracy").resolution([90, 10, 0]) == uneven
    assert resolution_of_accuracy([10], balanced=False).likely == 60  # six of ten, however few the networks disagree on


# ---- through the sources --------------------------------------------------------------------------------------------


def test_copies_of_files_are_found_in_a_folder(tmp_path):
    write_folder(tmp_path / "train", {"a": 30, "b": 30})
    write_folder(tmp_path / "val", {"a": 12, "b": 12}, first=100)
    write_folder(tmp_path / "test", {"a": 12, "b": 12}, first=200)
    image = next((tmp_path / "train" / "a").iterdir())
    shutil.copy(image, tmp_path / "test" / "b" / f"copy{image.suffix}")
    data = load_data(DataConfig(source="folder", path=str(tmp_path)), device=torch.device("cpu"))
    report = report_on(subject_of(data, Classification(2)), Classification(2), 8)
    assert report.duplicates is not None
    assert report.duplicates.across == {("train", "test"): 1}
    assert report.duplicates.contradicting == 1
    assert str(image) in "".join(report.lines())
    assert [line.split(":")[0] for line in report.lines()[:6]] == [
        "data",
        "classes",
        "images",
        "treatment",
        "duplicates",
        "resolution",
    ]


def test_tensors_of_a_source_of_ones_own_are_compared_row_by_row():
    rows = torch.arange(40.0).reshape(20, 2)
    rows[7] = rows[3]
    source = TensorSource(
        config=DataConfig(source="own"),
        name="rows",
        task="classification",
        facts={"features": 2},
        train=(rows, torch.zeros(20)),
        test=(rows[:4] + 100, torch.zeros(4)),
        validation=(rows[:4] + 200, torch.zeros(4)),
    )
    data = source.load(torch.device("cpu"))
    report = report_on(subject_of(data, Regression()), Regression(), 2)
    assert report.lines()[:2] == ["data: rows, 28 patients: 20 train, 4 validation, 4 test", "facts: features 2"]
    assert re.fullmatch(r"duplicates: 1 in train, e\.g\. row [37] \(train\) = row [37] \(train\)", report.lines()[2])


def test_packed_images_and_arrays_are_recognised_by_their_bytes(npz):
    data = load_data(DataConfig(source="npz", path=str(npz)), device=torch.device("cpu"))
    digests = np.concatenate([one.digest() for one in data.listings.values()])
    assert digests.dtype == np.uint64
    assert len(digests) == sum(data.sizes.values())


def test_large_files_are_told_apart_by_their_size_and_three_pieces(tmp_path):
    content = bytearray(np.random.default_rng(0).bytes(5 * 2**20))
    path = tmp_path / "large"
    path.write_bytes(content)
    whole = file_content(path)
    assert len(whole) < len(content) / 4
    for place in (0, len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert file_content(path) != whole
    path.write_bytes(content[:100])
    assert file_content(path) == bytes(content[:100])
