"""Text: a file with one example a line, or a folder with such files for each split."""

from __future__ import annotations

from pathlib import Path

from nas.data.config import DataConfig, InvalidData
from nas.data.text.forms import Continued, Form, Masked
from nas.data.text.text_files import find_files
from nas.data.text.text_source import TextSource, read_files
from nas.data.text.tokens import check_vocabulary
from search_spaces.errors import FieldError


def open_text(
    config: DataConfig,
    *,
    language: str = "txt",
    test: str | None = None,
    masked: float = 0.0,
    vocabulary: int = 8000,
    longest: int = 128,
) -> TextSource:
    """Return lines of text.

    Args:
        config: `path` is a file with one example a line, and `test_path` that of the test split, if any; or a folder
            with files such as train.txt, valid.txt and test.txt (.gz may follow).
        language: What the files of a folder end in, such as `en`.
        test: Name of the test split in a folder with several.
        masked: Part of the tokens to be guessed from the others, 0.15 for BERT; 0 for text that is written from left
            to right.
        vocabulary: Number of tokens.
        longest: Most tokens of a line, its end included.

    Raises:
        InvalidData: The files are missing or damaged.
        FieldError: A field or an option has a value that does not fit.
    """
    config.refuse_all_but("path", "test_path", "validation_fraction", "test_fraction", "on_error")
    if not config.path:
        raise FieldError("path", f"must name a file of lines or a folder of such files, got {config.path!r}")
    check_vocabulary(vocabulary)
    form: Form = Masked(masked, vocabulary) if masked else Continued()
    path = Path(config.path).expanduser()
    if path.is_dir():
        if config.test_path is not None:
            raise FieldError("test_path", f"must be left out where path is a folder, got {config.test_path!r}")
        files = find_files(path, [language], test)
    elif path.exists():
        given = {"train": config.path, "test": config.test_path}
        files = {name: (Path(one).expanduser(),) for name, one in given.items() if one is not None}
    else:
        raise InvalidData(f"{path}: no such folder or file of lines")
    found = read_files(files, skip=config.on_error == "skip")
    return TextSource(
        config=config,
        name=path.resolve().name,
        languages=("text",),
        parts=found.parts,
        left_out=found.left_out,
        form=form,
        vocabulary=vocabulary,
        longest=longest,
        vocabulary_facts=("vocabulary",),
    )
