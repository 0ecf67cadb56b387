"""Small files of lines for tests."""

import gzip
from pathlib import Path

import numpy as np

from nas.data import DataConfig

WORDS = {
    "en": ("a", "man", "woman", "dog", "runs", "sits", "in", "the", "blue", "house", "tree", "two", "of", "grass"),
    "de": (
        "ein",
        "Mann",
        "Frau",
        "Hund",
        "läuft",
        "sitzt",
        "in",
        "der",
        "blaue",
        "Haus",
        "Baum",
        "zwei",
        "von",
        "Gräser",
    ),
}
SIZES = {"train": 60, "val": 12, "test_2016": 10}


def lines(language: str, count: int, *, seed: int = 0) -> list[str]:
    """Return sentences that are translated word by word."""
    generator = np.random.default_rng(seed)
    chosen = [generator.integers(0, 14, generator.integers(2, 12)) for _ in range(count)]
    return [" ".join(WORDS[language][i] for i in sentence) + "." for sentence in chosen]


def write(path: Path, content: list[str]) -> Path:
    """Write lines, compressed where the name says so."""
    text = "".join(f"{line}\n" for line in content).encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    return path


def folder(place: Path, sizes: dict[str, int] | None = None) -> Path:
    """Write pairs in the layout of Multi30k."""
    place.mkdir(exist_ok=True)
    for seed, (name, count) in enumerate((sizes or SIZES).items()):
        for language in WORDS:
            write(place / f"{name}.{language}.gz", lines(language, count, seed=seed))
    return place


def pairs(place: Path, **options: object) -> DataConfig:
    """Return the settings of pairs."""
    fields = {name: options.pop(name) for name in ("on_error", "validation_fraction") if name in options}
    given = {"languages": ["en", "de"], "vocabulary": 320, "longest": 64, **options}
    return DataConfig(source="parallel_text", path=str(place), options=given, **fields)  # type: ignore[arg-type]


def text(place: Path, **options: object) -> DataConfig:
    """Return the settings of text of one language."""
    given = {"language": "en", "vocabulary": 300, "longest": 64, **options}
    return DataConfig(source="text", path=str(place), options=given)
