"""Data: splits that never mix, batches that can be repeated, and one clear line for data that cannot be used."""

import pickle
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import Data, DataConfig, DataShape, InvalidData, check_data, load_data
from nas.data.augment import Augmentation, crop_and_flip, cut_out, draw
from nas.data.samples import channel_statistics, decode
from nas.data.sources import digit_images, open_source
from nas.data.splits import split
from nas.data.streamed_images import random_crop_box
from search_spaces.families.nasbench201 import nasbench201
from supernets import Supernet, TrainConfig, phases, train

CPU = torch.device("cpu")
SIZE = 16


def picture(label: int, number: int, *, size: tuple[int, int] = (SIZE, SIZE), mode: str = "RGB") -> Image.Image:
    """A random image, no two alike."""
    rng = np.random.default_rng((label, number))
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def write_npz(path: Path, *, counts: tuple[int, ...] = (20, 30, 10), first: int = 0, **changes: object) -> Path:
    """JPEG files in one npz, sorted by class; `changes` replace (or, if None, leave out) arrays."""
    files, labels = [], []
    for label, count in enumerate(counts):
        for number in range(first, first + count):
            buffer = BytesIO()
            picture(label, number).save(buffer, "JPEG", quality=90)
            files.append(buffer.getvalue())
            labels.append(label)
    arrays: dict[str, object] = {
        "jpeg": np.frombuffer(b"".join(files), np.uint8),
        "offsets": np.cumsum([0, *map(len, files)]),
        "label": np.array(labels, np.uint8),
        "number": np.arange(len(files), dtype=np.int16),
        "classes": np.array([f"class{label}" for label in range(len(counts))]),
    }
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})
    return path


def write_folder(root: Path, counts: dict[str, int], *, first: int = 0, size: int = SIZE, mode: str = "RGB") -> Path:
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            picture(label, number, size=(size, size), mode=mode).save(root / name / f"{number}.png")
    return root


def load(config: DataConfig) -> Data:
    return load_data(config, device=CPU)


def everything(data: Data) -> dict[str, torch.Tensor]:
    return {name: getattr(data, name).images for name in ("train", "validation", "test")}


def contents(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


@pytest.fixture(scope="module")
def digits() -> Data:
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


# Splits


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    images, labels = digit_images()
    assert (images == load_digits().images).all()
    assert (labels == load_digits().target).all()


def test_digits_are_split_60_20_20_class_by_class(digits: Data):
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (1079, 359, 359)
    counts = [torch.bincount(part.labels, minlength=10) for part in (digits.train, digits.validation, digits.test)]
    total = sum(counts)
    assert all(torch.all((count - share * total).abs() <= 1) for count, share in zip(counts, (0.6, 0.2, 0.2)))


def test_splits_share_no_image(npz: Path, tmp_path: Path):
    held_out = load(DataConfig(source="npz", path=str(write_npz(tmp_path / "all.npz", counts=(40, 40)))))
    published = load(DataConfig(source="npz", path=str(npz)))
    for data, total in ((held_out, 80), (published, 75)):
        parts = [contents(images) for images in everything(data).values()]
        assert sum(map(len, parts)) == len(set.union(*parts)) == total


def test_published_test_images_are_the_test_split(npz: Path):
    data = load(DataConfig(source="npz", path=str(npz)))
    alone = open_source(DataConfig(source="npz", path=str(npz / "small_test.npz")))
    whole = decode(split(alone).train, SIZE, 3)
    assert len(data.test) == 15
    assert contents(torch.from_numpy(whole)) <= contents(data.test.images)


def test_split_depends_on_its_own_seed_only(npz: Path):
    config = DataConfig(source="npz", path=str(npz))
    first, again, other = load(config), load(config), load_data(config, device=CPU, seed=1)
    assert first.describe() == again.describe()
    assert torch.equal(first.train.images, again.train.images)
    assert first.fingerprint != other.fingerprint
    assert contents(first.validation.images) != contents(other.validation.images)


def test_sorted_file_gives_mixed_and_stratified_splits(npz: Path):
    data = load(DataConfig(source="npz", path=str(npz), validation_fraction=0.2))
    assert torch.bincount(data.validation.labels).tolist() == [4, 6, 2]
    assert not torch.equal(data.train.labels, data.train.labels.sort().values)


def test_statistics_are_of_the_training_split_only(npz: Path):
    data = load(DataConfig(source="npz", path=str(npz)))
    pixels = data.train.images.double() / 255
    assert data.mean == pytest.approx(pixels.mean((0, 1, 2)).tolist(), abs=1e-9)
    assert data.std == pytest.approx(pixels.std((0, 1, 2), correction=0).tolist(), abs=1e-9)
    batch = torch.cat([images for images, _ in data.train.sequential(7)])
    assert torch.allclose(batch.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(batch.std((0, 2, 3)), torch.ones(3), atol=1e-3)


def test_constant_channel_does_not_divide_by_zero():
    mean, std = channel_statistics(np.full((3, 2, 2, 1), 51, np.uint8))
    assert mean == pytest.approx((0.2,))
    assert std == (1 / 255,)


# Batches


def same(first: list, second: list) -> bool:
    return len(first) == len(second) and all(
        torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(first, second)
    )


def test_batches_have_the_promised_form(images):
    for x, y in images.batches(8, epoch=0, seed=0):
        assert x.shape == (8, 3, SIZE, SIZE)
        assert x.dtype == torch.float32
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert y.shape == (8,)
        assert y.dtype == torch.int64


def test_batches_repeat_and_differ_by_epoch_and_seed(images):
    first = list(images.batches(8, epoch=1, seed=5))
    assert same(first, list(images.batches(8, epoch=1, seed=5)))
    for other in ({"epoch": 2, "seed": 5}, {"epoch": 1, "seed": 6}):
        assert not same(first, list(images.batches(8, **other)))


def test_resumed_epoch_equals_uninterrupted_one(images):
    whole = list(images.batches(8, epoch=3, seed=0))
    assert len(whole) == images.steps(8) == 6
    assert same(whole[4:], list(images.batches(8, epoch=3, seed=0, start=4)))
    assert list(images.batches(8, epoch=3, seed=0, start=6)) == []


def test_processes_together_see_what_one_would(images):
    options = {"epoch": 0, "seed": 1, "drop_last": False}
    whole = list(images.batches(8, **options))
    parts = [list(images.batches(8, rank=rank, world_size=2, **options)) for rank in range(2)]
    joined = [(torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]])) for a, b in zip(*parts)]
    assert same(whole, joined)


def test_epoch_shows_every_image_once(images):
    plain = list(images.batches(8, epoch=0, seed=0, augment=False, drop_last=False))
    assert len(plain) == images.steps(8, drop_last=False) == 7
    shown = contents(torch.cat([x for x, _ in plain]).contiguous())
    assert shown == contents(torch.cat([x for x, _ in images.sequential(10)]).contiguous())
    assert len(shown) == len(images) == 54


def test_a_given_order_is_shown_with_its_repetitions(images):
    order = torch.randint(len(images), (len(images),), generator=torch.Generator().manual_seed(0))
    order[1] = order[0]
    options = {"augment": False, "drop_last": False, "order": order}
    shown = list(images.batches(8, epoch=0, seed=0, **options))
    everything_in_place = torch.cat([x for x, _ in images.sequential(54)])
    labels = torch.cat([y for _, y in images.sequential(54)])
    assert torch.equal(torch.cat([x for x, _ in shown]), everything_in_place[order])
    assert torch.equal(torch.cat([y for _, y in shown]), labels[order])
    assert same(shown[4:], list(images.batches(8, epoch=0, seed=0, start=4, **options)))
    parts = [list(images.batches(8, epoch=0, seed=0, rank=rank, world_size=2, **options)) for rank in range(2)]
    assert same(shown, [(torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]])) for a, b in zip(*parts)])


def test_an_image_that_comes_twice_is_augmented_twice(images):
    order = torch.zeros(len(images), dtype=torch.int64)
    (x, y), *_ = images.batches(8, epoch=0, seed=0, order=order)
    assert len(y.unique()) == 1
    assert len(contents(x.contiguous())) > 4
    assert same([(x, y)], [next(images.batches(8, epoch=0, seed=0, order=order))])


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (torch.arange(53), r"order must be int64 \[54\], got torch.int64 \[53\]"),
        (torch.arange(54).float(), r"order must be int64 \[54\], got torch.float32"),
        (torch.arange(1, 55), "order must name images from 0 to 53, got 1 to 54"),
    ],
)
def test_orders_of_other_images_are_refused(images, order, message):
    with pytest.raises(ValueError, match=message):
        next(images.batches(8, epoch=0, seed=0, order=order))


def test_sequential_is_fixed_and_whole(images):
    sizes = [len(y) for _, y in images.sequential(20)]
    assert sizes == [20, 20, 14]
    assert same(list(images.sequential(20)), list(images.sequential(20)))


def test_split_smaller_than_a_batch_is_one_batch(images):
    assert images.steps(1000) == 1
    assert [len(y) for _, y in images.batches(1000, epoch=0, seed=0)] == [54]


def test_subset_is_random_repeatable_and_of_the_same_type(images):
    few = images.subset(10, seed=0)
    assert type(few) is type(images)
    assert len(few) == 10
    assert len(images.subset(1000, seed=0)) == 54
    drawn = [next(images.subset(10, seed=seed).sequential(10))[0] for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"world_size": 3}, "batch_size must be a multiple of the 3 processes, got 8"),
        ({"start": -1}, "start must be 0 or more"),
        ({"rank": 1}, "rank below world_size"),
    ],
)
def test_impossible_batches_are_refused(images, options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        next(images.batches(8, epoch=0, seed=0, **options))


def test_batches_leave_the_global_generator_alone(images):
    before = torch.get_rng_state()
    next(images.batches(8, epoch=0, seed=0))
    assert torch.equal(before, torch.get_rng_state())


def test_workers_change_nothing(npz: Path):
    config = {"source": "npz", "path": str(npz), "in_memory": False}
    alone, workers = (load(DataConfig(**config, workers=n)).train for n in (0, 2))
    assert same(list(alone.batches(8, epoch=0, seed=0)), list(workers.batches(8, epoch=0, seed=0)))


def test_workers_see_the_order_of_every_epoch(npz: Path):
    config = {"source": "npz", "path": str(npz), "in_memory": False}
    alone, workers = (load(DataConfig(**config, workers=n)).train for n in (0, 2))
    for epoch in range(2):
        order = torch.randint(len(alone), (len(alone),), generator=torch.Generator().manual_seed(epoch))
        options = {"epoch": epoch, "seed": 0, "order": order}
        assert same(list(alone.batches(8, **options)), list(workers.batches(8, **options)))


def test_training_draws_images_by_importance_from_either_storage(images):
    space = nasbench201(width=2, cells=1, image_size=SIZE, classes=3)
    config = TrainConfig(examples="importance", example_weights=True, epochs=3, batch_size=8, lr=0.02)
    events: list[dict] = []
    train(Supernet(space), phases(space, config), images, config, observer=events.append)
    learned = [event["examples"] for event in events if event["event"] == "sampler"]
    assert len(learned) == 3
    assert learned[0]["effective_fraction"] == pytest.approx(1), "the first epoch counts for nothing, as published"
    assert 0.3 < learned[2]["effective_fraction"] < 0.999
    assert all(0 < summary["mean_indicator"] < 2**0.5 for summary in learned)


def test_streamed_and_decoded_images_are_the_same(npz: Path):
    decoded, streamed = (load(DataConfig(source="npz", path=str(npz), in_memory=flag)) for flag in (True, False))
    assert decoded.mean == streamed.mean
    assert same(list(decoded.test.sequential(4)), list(streamed.test.sequential(4)))


# Augmentation


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("padding", [0, 2, 5])
def test_crop_and_flip_equal_one_image_at_a_time(flip: bool, padding: int):
    augmentation = Augmentation(flip=flip, crop_padding=padding)
    batch = torch.randint(1, 256, (32, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    draws = draw(augmentation, 32, 8, seed=0, epoch=0, batch=0)
    expected = []
    for image, (mirrored, top, left) in zip(batch.numpy(), draws[:3].T.tolist()):
        padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
        crop = padded[top : top + 8, left : left + 8]
        expected.append(crop[:, ::-1] if mirrored and flip else crop)
    assert np.array_equal(crop_and_flip(batch, draws, augmentation).numpy(), np.stack(expected))


@pytest.mark.parametrize("side", [1, 4, 5, 20])
def test_cutout_equals_one_image_at_a_time(side: int):
    augmentation = Augmentation(cutout=side)
    batch = torch.randn(16, 8, 8, 3, generator=torch.Generator().manual_seed(0))
    draws = draw(augmentation, 16, 8, seed=0, epoch=0, batch=0)
    expected = batch.clone()
    for image, (row, column) in zip(expected, draws[3:].T.tolist()):
        top, left = row - side // 2, column - side // 2
        image[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = 0
    assert torch.equal(cut_out(batch, draws, augmentation), expected)


def test_draws_reach_every_value_and_no_other():
    draws = draw(Augmentation(flip=True, crop_padding=2), 5000, 8, seed=0, epoch=0, batch=0)
    assert [row.unique().tolist() for row in draws] == [[0, 1], [*range(5)], [*range(5)], [*range(8)], [*range(8)]]
    assert draws[0].double().mean() == pytest.approx(0.5, abs=0.03)


def test_symbols_are_not_mirrored_and_crops_follow_the_size(npz: Path):
    assert load(DataConfig()).train.augmentation == Augmentation(flip=False, crop_padding=1)
    assert load(DataConfig(flip=True, crop_padding=0)).train.augmentation == Augmentation(flip=True)
    coloured = load(DataConfig(source="npz", path=str(npz)))
    assert coloured.train.augmentation == Augmentation(flip=True, crop_padding=SIZE // 8)


@pytest.mark.parametrize("size", [(300, 200), (5, 900), (1, 1)])
def test_random_crops_lie_within_the_image(size: tuple[int, int]):
    rng = np.random.default_rng(0)
    for _ in range(200):
        left, top, right, bottom = random_crop_box(*size, rng)
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]


# Sources


def test_npz_round_trip(npz: Path):
    path = npz / "small_train.npz"
    assert check_data(DataConfig(source="npz", path=str(path))) == DataShape(3, 3, SIZE)
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


def test_description_is_ready_for_logs(digits: Data):
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
    assert check_data(DataConfig(source="folder", path=str(tmp_path))).image_size == 64
    for in_memory in (True, False):
        config = DataConfig(source="folder", path=str(tmp_path), image_size=24, in_memory=in_memory, workers=0)
        x, _ = next(load(config).train.batches(4, epoch=0, seed=0))
        assert x.shape == (4, 3, 24, 24)


@pytest.mark.parametrize("name", ["", "torch/image_folder"])
def test_timm_folders(tmp_path: Path, name: str):
    write_folder(tmp_path / "train", {"a": 10, "b": 10})
    write_folder(tmp_path / "val", {"a": 3, "b": 3}, first=100)
    config = DataConfig(source="timm", dataset=name, path=str(tmp_path))
    assert check_data(config) == DataShape(2, 3, SIZE)
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


# Data that cannot be used


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
        check_data(DataConfig(source="folder", path=str(tmp_path)))


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
        ({"source": "web"}, "source must be one of digits, npz, folder, timm, noise, got 'web'"),
        ({"source": "npz"}, "path must be given for source 'npz', got None"),
        ({"source": "timm"}, "dataset must be given for source 'timm'"),
        ({"test_path": "x"}, "test_path must be null unless npz or folder, got 'x'"),
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


def test_cifar10_file_is_what_it_is_said_to_be(shared_data: Path):
    config = DataConfig(source="npz", path=str(shared_data / "cifar10"))
    assert check_data(config) == DataShape(10, 3, 32)
    splits = split(open_source(config))
    assert [len(part.indices) for part in splits.parts().values()] == [45000, 5000, 10000]
    assert np.bincount(splits.validation.labels).tolist() == [500] * 10
    few = splits.train._replace(indices=splits.train.indices[:200])
    mean, std = channel_statistics(decode(few, 32, 3))
    assert mean == pytest.approx((0.4913, 0.4821, 0.4465), abs=0.04)
    assert std == pytest.approx((0.2452, 0.2428, 0.2606), abs=0.04)
