"""Sentences and their translations: two files of lines, or a folder with such files for each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nas.data.config import DataConfig, InvalidData
from nas.data.text.forms import Translated
from nas.data.text.text_files import find_files, two_endings
from nas.data.text.text_source import TextSource, read_files
from search_spaces.errors import FieldError


def open_parallel_text(
    config: DataConfig,
    *,
    languages: Sequence[str] | None = None,
    target_path: str | None = None,
    test_target_path: str | None = None,
    test: str | None = None,
    vocabulary: int = 8000,
    longest: int = 128,
) -> TextSource:
    """Return pairs of lines.

    Args:
        config: `path` is a folder with files such as train.en.gz and train.de.gz, with val.* and test.* beside them
            where there are such splits; or the file of source lines. `test_path` is then that of the test split, if
            any.
        languages: What the files of both languages end in, the source first: `[en, de]`. For two files only their
            names in reports.
        target_path: File of target lines, where `path` is a file.
        test_target_path: File of target lines of the test split, where `test_path` is given.
        test: Name of the test split in a folder with several, such as `test_2016_flickr`.
        vocabulary: Number of tokens of both languages together.
        longest: Most tokens of a line, its end included.

    Raises:
        InvalidData: The files are missing or damaged, or do not belong together.
        FieldError: A field or an option has a value that does not fit.
    """
    config.refuse_all_but("path", "test_path", "validation_fraction", "test_fraction", "on_error")
    if not config.path:
        raise FieldError("path", f"must name a file of lines or a folder of such files, got {config.path!r}")
    path = Path(config.path).expanduser()
    if path.is_dir():
        _refuse(target_path=target_path, test_target_path=test_target_path, test_path=config.test_path)
        names = _two(languages, path)
        files = find_files(path, names, test)
    else:
        _refuse(test=test)
        names = ("source", "target") if languages is None else _two(languages, None)
        files = _named(config, path, target_path, test_target_path)
    found = read_files(files, skip=config.on_error == "skip")
    return TextSource(
        config=config,
        name=f"{path.resolve().name} {names[0]}-{names[1]}",
        languages=names,
        parts=found.parts,
        left_out=found.left_out,
        form=Translated(),
        vocabulary=vocabulary,
        longest=longest,
        vocabulary_facts=("source_vocabulary", "target_vocabulary"),
    )


def _two(languages: Sequence[str] | None, folder: Path | None) -> tuple[str, str]:
    """Return the names of both languages."""
    given = [languages] if isinstance(languages, str) else list(languages or ())
    if len(given) != 2 or given[0] == given[1]:
        there = two_endings(folder) if folder is not None else []
        known = f"; files of {folder} end in {', '.join(there)}" if there else ""
        got = given or None
        raise FieldError("options.languages", f"must be two, the source first, such as [en, de], got {got}{known}")
    return str(given[0]), str(given[1])


def _named(
    config: DataConfig, path: Path, target_path: str | None, test_target_path: str | None
) -> Mapping[str, tuple[Path, ...]]:
    """Return the files of pairs that are named one by one."""
    if not path.exists():
        raise InvalidData(f"{path}: no such folder or file of lines")
    if target_path is None:
        raise FieldError("options.target_path", f"must name the file that belongs to {path}, got None")
    if (config.test_path is None) != (test_target_path is None):
        raise FieldError("options.test_target_path", "must be given together with data.test_path")
    files = {"train": (path, Path(target_path).expanduser())}
    if config.test_path is not None and test_target_path is not None:
        files["test"] = (Path(config.test_path).expanduser(), Path(test_target_path).expanduser())
    return files


def _refuse(**given: str | None) -> None:
    """Refuse what has no meaning for this kind of path."""
    for name, value in given.items():
        if value is not None:
            field = name if name == "test_path" else f"options.{name}"
            kind = "a file" if name == "test" else "a folder"
            raise FieldError(field, f"must be left out where path is {kind}, got {value!r}")
