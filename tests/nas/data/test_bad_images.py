"""Images that cannot be decoded are named together before anything is trained, or left out."""

import json
import os
import pickle
import shutil
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data import DataConfig, ImageSource, InvalidData, InvalidExamples, WatchedSource, check_data, open_source
from nas.data.changes import changes
from nas.data.images import remembered
from nas.data.images.samples import Part
from nas.data.kept_split import kept_split
from tests.nas.data.odd_pictures import DEEP, GREYS, deep_png, frames, photo, saved
from tests.nas.data.pictures import CPU, SIZE, contents, everything, load, picture, write_folder

WAYS = {"in memory": {"in_memory": True}, "streamed": {"in_memory": False, "workers": 0}}
ways = pytest.mark.parametrize("way", WAYS)


def bomb() -> bytes:
    """A small PNG file that says it has 10^10 pixels."""
    content = bytearray(saved(Image.new("1", (8, 8)), "PNG"))
    content[16:24] = (100_000).to_bytes(4) * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    return bytes(content)


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Twelve damaged files among 40 images, of which the headers of a few are whole."""
    root = write_folder(tmp_path / "photos", {"cat": 20, "dog": 20})
    for number in range(8):
        (root / "cat" / f"text{number}.jpg").write_text("no image")
    jpeg, png = saved(picture(0, 0, size=(64, 64)), "JPEG"), saved(picture(0, 1, size=(64, 64)), "PNG")
    (root / "dog" / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (root / "dog" / "cut.png").write_bytes(png[: len(png) // 2])
    (root / "dog" / "empty.png").write_bytes(b"")
    (root / "dog" / "bomb.png").write_bytes(bomb())
    return root


@ways
def test_all_bad_images_are_named_together(damaged: Path, way: str):
    with pytest.raises(InvalidExamples) as caught:
        load(DataConfig(source="folder", path=str(damaged), **WAYS[way]))
    first, *named, more = str(caught.value).splitlines()
    assert first.startswith(f"{damaged}: 12 of 52 images cannot be used; replace or remove them, or ")
    assert "data.on_error: skip" in first
    assert len(named) == 10
    assert more == "  and 2 more"
    assert {Path(line.split(" cannot")[0]).name for line in caught.value.lines} == {
        *(f"text{number}.jpg" for number in range(8)),
        *("cut.jpg", "cut.png", "empty.png", "bomb.png"),
    }
    assert any("bomb" in line and "exceeds limit" in line for line in caught.value.lines)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.lines) == (str(caught.value), caught.value.lines)


@ways
def test_a_training_without_bad_images_says_so_and_leaves_others_where_they_are(
    damaged: Path, tmp_path: Path, way: str
):
    config = {"source": "folder", "image_size": SIZE}
    data = load(DataConfig(path=str(damaged), on_error="skip", **config, **WAYS[way]))
    assert sum(data.sizes.values()) == 40
    assert len(data.left_out) == 12
    assert data.remarks[0] == "12 of 52 images cannot be used and are left out"
    shown = [len(list(getattr(data, name).sequential(1))) for name in data.sizes]
    assert shown == list(data.sizes.values())
    mended = shutil.copytree(damaged, tmp_path / "mended")
    for path in (mended / line.split(" cannot")[0].removeprefix(f"{damaged}/") for line in data.left_out):
        picture(5, len(path.name)).save(path, "PNG")
    whole = load(DataConfig(path=str(mended), **config, in_memory=True))
    if way == "in memory":
        for name, images in everything(data).items():
            assert contents(images) <= contents(getattr(whole, name).images)


def test_the_check_of_a_job_leaves_bad_images_to_the_reading(damaged: Path):
    assert check_data(DataConfig(source="folder", path=str(damaged)))["classes"] == 2
    only_text = damaged.parent / "text"
    for name in ("a", "b"):
        (only_text / name).mkdir(parents=True)
        for number in range(3):
            (only_text / name / f"{number}.png").write_text("no image")
    with pytest.raises(InvalidData, match=r"none of the images looked at can be decoded, e\.g\. .*\.png"):
        check_data(DataConfig(source="folder", path=str(only_text)))


def test_a_class_without_a_usable_image_is_named(tmp_path: Path):
    root = write_folder(tmp_path / "train", {"a": 4, "b": 3}).parent
    write_folder(root / "val", {"a": 2, "b": 2}, first=50)
    write_folder(root / "test", {"a": 2, "b": 2}, first=60)
    for path in (root / "train" / "b").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InvalidData, match=r"no training image of class 'b' can be used, e.g. .*/b/"):
        load(DataConfig(source="folder", path=str(root), on_error="skip"))
    shutil.rmtree(root / "train" / "b")
    write_folder(root / "train", {"a": 4, "b": 3})
    for path in (root / "val").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(InvalidData, match="no image of the validation split can be used"):
        load(DataConfig(source="folder", path=str(root), on_error="skip"))


@ways
def test_values_that_are_not_finite_are_refused(tmp_path: Path, way: str):
    root = write_folder(tmp_path, {"a": 4, "b": 4})
    values = GREYS.astype(np.float32)
    values[0, 0] = np.nan
    (root / "a" / "nan.tif").write_bytes(saved(Image.fromarray(values), "TIFF"))
    with pytest.raises(InvalidExamples, match=r"nan\.tif cannot be decoded as an image: it has values that are"):
        load(DataConfig(source="folder", path=str(root), **WAYS[way]))


@ways
def test_what_was_done_to_images_is_said_once(tmp_path: Path, way: str):
    root = write_folder(tmp_path, {"a": 10, "b": 10})
    for name, content in (
        *((f"turned{kind}.{kind}", photo(kind, 6)) for kind in ("JPEG", "PNG", "TIFF", "WEBP")),
        ("moving.gif", frames("GIF")),
        ("clear.png", saved(picture(1, 99).convert("RGBA").resize((9, 9)), "PNG")),
        ("shows.png", saved(Image.new("RGBA", (9, 9), (9, 9, 9, 128)), "PNG")),
        ("deep.png", deep_png(DEEP[..., 0] // 16)),
    ):
        (root / "a" / name.lower()).write_bytes(content)
    data = load(DataConfig(source="folder", path=str(root), test_fraction=0.05, validation_fraction=0.05, **WAYS[way]))
    assert data.remarks[:3] == (
        "4 of 28 images are turned upright, as EXIF says",
        "1 of 28 images is transparent in places and laid over white",
        "1 of 28 images has several frames or pages, of which the first is used",
    )
    assert "0 is black and 4095 is white, by the training split" in data.remarks[3]
    assert sum(survey.images for survey in data.surveys.values()) == 28


DEEP_KINDS = {
    "12 bits in 16": lambda rng: saved(Image.fromarray(rng.integers(0, 4096, (8, 8)).astype(np.uint16)), "TIFF"),
    "16 bits": lambda rng: deep_png(rng.integers(0, 65536, (8, 8)).astype(np.uint16)),
    "12 bits in colour": lambda rng: deep_png(rng.integers(0, 4096, (8, 8, 3)).astype(np.uint16)),
    "32 bits": lambda rng: saved(Image.fromarray(rng.integers(0, 10**6, (8, 8)).astype(np.int32)), "TIFF"),
    "below zero": lambda rng: saved(Image.fromarray(rng.integers(-1000, 3000, (8, 8)).astype(np.int32)), "TIFF"),
    "0 to 1": lambda rng: saved(Image.fromarray(rng.random((8, 8), np.float32)), "TIFF"),
    "0 to 255 as float": lambda rng: saved(Image.fromarray(rng.random((8, 8), np.float32) * 255), "TIFF"),
    "faint floats": lambda rng: saved(Image.fromarray(rng.random((8, 8), np.float32) / 50), "TIFF"),
}


def write_deep(root: Path, source: str, kind: str) -> DataConfig:
    """Images of more than 8 bits, as a source reads them."""
    rng = np.random.default_rng(0)
    files = [DEEP_KINDS[kind](rng) for _ in range(40)]
    if source == "npz":
        arrays = {"jpeg": np.frombuffer(b"".join(files), np.uint8), "offsets": np.cumsum([0, *map(len, files)])}
        arrays |= {"label": np.arange(40) % 2, "number": np.arange(40), "classes": np.array(["a", "b"])}
        np.savez(root / "deep_train.npz", **arrays)
        return DataConfig(source="npz", path=str(root))
    for number, content in enumerate(files):
        path = root / "ab"[number % 2] / f"{number:02}.{'png' if content[1:4] == b'PNG' else 'tif'}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return DataConfig(source=source, path=str(root), dataset="torch/image_folder" if source == "timm" else None)


@ways
@pytest.mark.parametrize(
    ("kind", "source"),
    [
        *((kind, "folder") for kind in DEEP_KINDS),
        ("12 bits in 16", "npz"),
        ("0 to 1", "npz"),
        ("12 bits in 16", "timm"),
    ],
)
def test_images_of_many_bits_are_neither_white_nor_black(tmp_path: Path, kind: str, source: str, way: str):
    config = write_deep(tmp_path, source, kind)
    data = load(DataConfig(**{**vars(config), **WAYS[way]}))
    assert data.channels == (3 if "colour" in kind else 1)
    assert data.mean == pytest.approx((0.5,) * data.channels, abs=0.02), "the values are spread evenly"
    assert data.std == pytest.approx((12**-0.5,) * data.channels, abs=0.02)
    levels = data.preprocessing["levels"]
    assert any(f"{levels[kind][1]:g} is white" in data.remarks[0] for kind in levels)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_kept_split_keeps_what_is_done_to_images(tmp_path: Path, in_memory: bool):
    """Networks were made for 12 bits from memory; what comes later is shown to them in the same way."""
    config = write_deep(tmp_path, "folder", "12 bits in 16")
    first = open_source(config)
    assert isinstance(first, ImageSource)
    data = first.load(CPU)
    kept = kept_split(first.division(), fingerprint="", facts=data.facts, preprocessing=data.preprocessing)
    brighter = np.full((8, 8), 60_000, np.uint16)
    for name in "ab":
        (tmp_path / name / "new.tif").write_bytes(saved(Image.fromarray(brighter), "TIFF"))
    again = open_source(DataConfig(**{**vars(config), "in_memory": in_memory, "workers": 0}))
    assert isinstance(again, ImageSource)
    found = changes(kept, again.division())
    later = again.with_split(found.before, found.positions).load(CPU)
    assert later.sizes["train"] == data.sizes["train"] + 2
    assert later.preprocessing == data.preprocessing
    assert "4095 is white" in later.remarks[0]


def test_a_set_of_files_that_did_not_change_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remembered, "_WORTH_S", -1.0)
    root = write_folder(tmp_path / "photos", {"a": 6, "b": 6})
    (root / "a" / "deep.png").write_bytes(deep_png(DEEP[..., 0]))
    (root / "b" / "bad.png").write_bytes(b"no image")
    source = open_source(DataConfig(source="folder", path=str(root)))
    part = source.splits["train"]
    part = Part(part.samples, np.arange(14))
    opened = []
    first = remembered.remembered_survey(part, threads=2)
    told = remembered.remembered_survey(part, threads=2, tell=lambda done, total: opened.append(done))
    assert vars(told) == vars(first) | {"deep": ()}
    assert opened == [], "nothing was read"
    (root / "b" / "bad.png").write_bytes(b"no image either")
    assert remembered.remembered_survey(part, threads=2, tell=lambda done, total: opened.append(done)) == first
    assert opened == [14]
    for damage in ("{", json.dumps({"images": 1, "more": 2}), "[]"):
        for file in (tmp_path / "cache").rglob("*.json"):
            file.write_text(damage)
        assert remembered.remembered_survey(part, threads=2).images == 13
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert remembered.remembered_survey(part, threads=2) == first


def test_loading_can_be_watched(tmp_path: Path):
    source = open_source(DataConfig(source="folder", path=str(write_folder(tmp_path, {"a": 90, "b": 90}, size=4))))
    assert isinstance(source, WatchedSource)
    told: list[tuple[int, int]] = []
    source.watched(lambda done, total: told.append((done, total))).load(CPU)
    assert told == sorted(told)
    assert told[-1] == (180, 180)
    assert len(told) > 3


def test_names_that_are_no_text_can_be_printed(tmp_path: Path):
    root = write_folder(tmp_path, {"a": 5, "b": 5})
    (root / "a" / os.fsdecode(b"caf\xe9.png")).write_text("no image")
    (root / "b" / os.fsdecode(b"th\xe9.txt")).write_text("no image")
    data = load(DataConfig(source="folder", path=str(root), on_error="skip"))
    assert r"caf\xe9.png cannot be decoded" in data.left_out[0].encode("ascii").decode()
    assert r"th\xe9.txt" in data.remarks[0].encode("ascii").decode()


def test_damage_behind_the_first_frame_does_not_matter(tmp_path: Path):
    root = write_folder(tmp_path, {"a": 5, "b": 5})
    content = frames("GIF")
    assert Image.open(BytesIO(content)).n_frames == 2
    (root / "a" / "cut.gif").write_bytes(content[:-20])
    load(DataConfig(source="folder", path=str(root)))


@ways
def test_a_pipe_is_no_image_and_a_link_to_itself_is_named_with_the_bad_ones(damaged: Path, way: str):
    os.mkfifo(damaged / "cat" / "pipe.png")
    (damaged / "cat" / "itself.png").symlink_to("itself.png")
    config = DataConfig(source="folder", path=str(damaged), **WAYS[way])
    with pytest.raises(InvalidExamples, match="13 of 53 images cannot be used") as caught:
        load(config)
    assert any("itself.png" in line for line in caught.value.lines)
    assert not any("pipe.png" in line for line in caught.value.lines)
