"""Opening a source: everything is checked that can be without decoding its images."""

import zipfile
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from nas.data.config import DataConfig, InvalidData
from nas.data.samples import ArraySamples, FileSamples, PackedSamples
from nas.data.splits import Source
from nas.data.timm_source import open_timm

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
ARRAYS = ("jpeg", "offsets", "label", "number", "classes")
NOISE_IMAGES = 500
VALIDATION_FOLDERS = ("validation", "valid", "val")


def open_source(config: DataConfig) -> Source:
    """The source that the configuration names.

    Raises:
        InvalidData: It is missing, damaged or not of the expected form.
    """
    openers = {"digits": _open_digits, "npz": _open_npz, "folder": _open_folder, "timm": open_timm}
    return {**openers, "noise": _open_noise}[config.source](config)


def _open_digits(config: DataConfig) -> Source:
    images, labels = digit_images()
    pixels = np.round(images * (255 / 16)).astype(np.uint8)
    # A fifth of all for the test, then a quarter of what is left for validation: 60/20/20.
    return Source(
        name="digits",
        place="digits",
        class_names=tuple(str(digit) for digit in range(10)),
        train=ArraySamples(pixels, labels),
        fractions=(0.25, 0.2),
        flip=False,
    )


def digit_images() -> tuple[np.ndarray, np.ndarray]:
    """The digits of scikit-learn: images [1797, 8, 8] of values from 0 to 16, and labels [1797]."""
    package = find_spec("sklearn")  # not imported: that takes longer than all else that is done with them
    table = Path((package and package.origin) or ".").parent / "datasets" / "data" / "digits.csv.gz"
    if table.is_file():
        rows = np.loadtxt(table, delimiter=",", dtype=np.int64)
        return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images, digits.target.astype(np.int64)


def _open_noise(config: DataConfig) -> Source:
    side = config.image_size or 32
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (NOISE_IMAGES, side, side, 3), dtype=np.uint8)
    return Source(
        name="noise",
        place="noise",
        class_names=tuple(f"class {i}" for i in range(10)),
        train=ArraySamples(pixels, generator.integers(0, 10, NOISE_IMAGES)),
        fractions=(0.25, 0.2),
    )


def _open_npz(config: DataConfig) -> Source:
    train_path, test_path = _npz_paths(Path(config.path or ""), config.test_path)
    train, class_names = _read_npz(train_path)
    test = None
    if test_path is not None:
        test, test_names = _read_npz(test_path)
        if test_names != class_names:
            raise InvalidData(f"{test_path}: 'classes' must be those of {train_path.name}, got {list(test_names)}")
    return Source(
        name=train_path.stem,
        place=str(train_path),
        class_names=class_names,
        train=train,
        test=test,
        fractions=(config.validation_fraction, config.test_fraction),
    )


def _npz_paths(path: Path, test_path: str | None) -> tuple[Path, Path | None]:
    """Training file and test file, if any."""
    given = Path(test_path) if test_path else None
    if path.is_dir():
        train = _only_npz(path, "train")
        if train is None:
            raise InvalidData(f"{path}: expected a file named *train*.npz in this folder")
        return train, given or _only_npz(path, "test")
    beside = path.with_name(path.name.replace("train", "test"))
    return path, given or (beside if beside != path and beside.exists() else None)


def _only_npz(folder: Path, word: str) -> Path | None:
    found = sorted(folder.glob(f"*{word}*.npz"))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InvalidData(f"{folder}: expected one file named *{word}*.npz, found {names}; give the file as path")
    return found[0] if found else None


def _read_npz(path: Path) -> tuple[PackedSamples, tuple[str, ...]]:
    if not path.is_file():
        raise InvalidData(f"{path}: no such file; expected an npz with the arrays {', '.join(ARRAYS)}")
    try:
        with np.load(path, allow_pickle=False) as stored:
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise InvalidData(f"{path}: expected an npz with the arrays {', '.join(ARRAYS)}")
            missing = [name for name in ARRAYS if name not in stored]
            if missing:
                raise InvalidData(f"{path}: missing arrays {', '.join(missing)}; expected {', '.join(ARRAYS)}")
            arrays = {name: stored[name] for name in ARRAYS}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, AttributeError) as error:
        raise InvalidData(f"{path}: not a readable npz file, damaged or truncated: {error}") from error
    except ValueError as error:
        if isinstance(error, InvalidData):
            raise
        raise InvalidData(f"{path}: not a readable npz file: {error}") from error
    _check_arrays(path, arrays)
    class_names = tuple(str(name) for name in arrays["classes"])
    labels = arrays["label"].astype(np.int64)
    return PackedSamples(path, arrays["jpeg"], arrays["offsets"].astype(np.int64), labels), class_names


def _check_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    packed, offsets, labels = arrays["jpeg"], arrays["offsets"], arrays["label"]
    for name, kinds, expected in (("jpeg", "u", "bytes"), ("offsets", "iu", "integers"), ("label", "iu", "integers")):
        if arrays[name].ndim != 1 or arrays[name].dtype.kind not in kinds:
            raise InvalidData(f"{path}: '{name}' must be a list of {expected}, got {arrays[name].dtype}")
    if packed.dtype != np.uint8:
        raise InvalidData(f"{path}: 'jpeg' must be a list of bytes, got {packed.dtype}")
    if len(labels) == 0 or len(offsets) != len(labels) + 1:
        raise InvalidData(
            f"{path}: 'offsets' must have one value more than 'label', got {len(offsets)} and {len(labels)}"
        )
    signed = offsets.astype(np.int64)
    if (np.diff(signed) <= 0).any():
        raise InvalidData(
            f"{path}: 'offsets' must increase, but not after image {int((np.diff(signed) <= 0).argmax())}"
        )
    if signed[0] < 0 or signed[-1] > len(packed):
        raise InvalidData(
            f"{path}: 'offsets' must lie within the {len(packed)} bytes of 'jpeg', got {signed[0]} to {signed[-1]}"
        )
    classes = len(arrays["classes"]) if arrays["classes"].ndim == 1 else 0
    if classes and (labels.min() < 0 or labels.max() >= classes):
        raise InvalidData(f"{path}: 'label' must be 0 to {classes - 1}, got {labels.min()} to {labels.max()}")


def _open_folder(config: DataConfig) -> Source:
    root = Path(config.path or "")
    if not root.is_dir():
        raise InvalidData(f"{root}: no such folder; expected train/CLASS/ or CLASS/ with images in it")
    train_folder = root / "train" if (root / "train").is_dir() else root
    names = _class_folders(train_folder)
    validation = test = None
    if train_folder != root:
        validation = next((root / name for name in VALIDATION_FOLDERS if (root / name).is_dir()), None)
        test = root / "test" if (root / "test").is_dir() else None
    if config.test_path:
        test = Path(config.test_path)
    return Source(
        name=root.resolve().name,
        place=str(root),
        class_names=names,
        train=_read_folder(train_folder, names),
        validation=_read_folder(validation, names) if validation else None,
        test=_read_folder(test, names) if test else None,
        fractions=(config.validation_fraction, config.test_fraction),
    )


def _class_folders(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise InvalidData(f"{folder}: no such folder; expected CLASS/ folders with images")
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")))


def _read_folder(folder: Path, names: tuple[str, ...]) -> FileSamples:
    """The images below each class folder, in order of class and path."""
    unknown = sorted(set(_class_folders(folder)) - set(names))
    if unknown:
        raise InvalidData(f"{folder}: class {unknown[0]!r} is not among the training classes {', '.join(names)}")
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        found = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in SUFFIXES)
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise InvalidData(
            f"{folder}: no images found; expected CLASS/ folders with {', '.join(sorted(SUFFIXES))} files"
        )
    return FileSamples(paths, np.array(labels, np.int64))
