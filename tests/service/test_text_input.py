"""Text that cannot be used: one clear line, exit code 2, and no job folder."""

import json
from pathlib import Path

import pytest
import typer.testing
import yaml

from service.cli import app
from tests.nas.data.text import corpus

pytest.importorskip("tokenizers", reason="needs the extra `text`")


def nas(*arguments: str):
    return typer.testing.CliRunner().invoke(app, list(arguments))


@pytest.fixture
def place(tmp_path) -> Path:
    return corpus.folder(tmp_path / "pairs")


def job_file(place: Path, **data: object) -> Path:
    options = {"languages": ["en", "de"], "vocabulary": 320, "longest": 64}
    described = {
        "name": "words",
        "device": "cpu",
        "data": {"source": "parallel_text", "path": str(place), "options": options, **data},
        "space": {"name": "tests.service.run.text_spaces:translators"},
        "task": {"options": {"metric": "perplexity"}},
        "train": {"epochs": 1, "batch_size": 16, "lr": 0.01},
        "search": {"searcher": "random", "evaluations": 2, "population": 2, "objectives": ["quality", "macs"]},
        "latency": {"repeats": 5, "warmup_s": 0, "min_time_ms": 0},
        "tracking": {"enabled": False},
    }
    written = place.parent / "job.yaml"
    written.write_text(yaml.safe_dump(described))
    return written


def refused(place: Path, *arguments: str, **data: object) -> str:
    """Run a job, and return what is said where it is refused before any work."""
    output = place.parent / "runs" / "words"
    done = nas("run", str(job_file(place, **data)), "--output", str(output), *arguments)
    assert done.exit_code == 2, done.output
    assert not output.exists()
    assert "Traceback" not in done.output
    return done.stderr


def with_line(place: Path, name: str, number: int, text: str, *, language: str = "en") -> None:
    content = corpus.lines(language, corpus.SIZES[name], seed=list(corpus.SIZES).index(name))
    corpus.write(place / f"{name}.{language}.gz", [*content[: number - 1], text, *content[number:]])


def test_a_sentence_that_is_too_long_is_named(place):
    with_line(place, "val", 5, "so very long " * 30)
    said = refused(place)
    assert "1 example has a line of more than 64 tokens; shorten them, raise data.options.longest" in said
    assert "val.en.gz: line 5: " in said


def test_lengths_are_those_of_the_longest_line_that_is_allowed(place):
    """Bytes are more than tokens: lines of many bytes are looked at with the vocabulary."""
    with_line(place, "val", 5, " ".join(["grass"] * 20))  # 20 tokens of 119 bytes
    done = nas("run", str(job_file(place)), "--output", str(place.parent / "job"), "--stages", "train")
    assert done.exit_code == 0, done.output


def test_an_empty_line_is_named(place):
    with_line(place, "train", 17, "", language="de")
    said = refused(place)
    assert "1 of 60 examples has an empty line" in said
    assert "train.de.gz: line 17: empty" in said


def test_files_of_different_lengths_are_named(place):
    corpus.write(place / "val.de.gz", corpus.lines("de", 11, seed=1))
    said = refused(place)
    assert "the same number of lines, found 12 in" in said
    assert "val.en.gz, 11 in" in said


def test_bytes_that_are_no_text_are_named(place):
    (place / "train.en.gz").write_bytes(b"one\ntwo \xff\n" + b"more\n" * 58)
    assert "train.en.gz: line 2: byte 0xff is not UTF-8; save the file as UTF-8" in refused(place)


def test_other_tokens_than_those_of_the_networks_are_refused(place):
    output = place.parent / "job"
    assert nas("run", str(job_file(place)), "--output", str(output), "--stages", "train").exit_code == 0
    done = nas("run", str(output), "--set", "data.options.vocabulary=300")
    assert done.exit_code == 2
    assert "data.options.vocabulary: must be 320, as the networks of this job were made with, got 300" in done.stderr
    kept = json.loads((output / "tokenizer.json").read_text())
    kept["model"]["merges"] = kept["model"]["merges"][:-1]
    (output / "tokenizer.json").write_text(json.dumps(kept))
    done = nas("run", str(output))
    assert done.exit_code == 2
    assert "tokenizer.json: not the file that the networks" in done.stderr
    assert "Traceback" not in done.output


def test_characters_that_training_never_showed_are_bytes(place):
    """There are no unknown characters: a line of others is read, and written, byte by byte."""
    with_line(place, "test_2016", 1, "日本 🐉 ﬂ")
    done = nas("check", str(job_file(place)))
    assert done.exit_code == 0, done.output


def test_a_folder_of_text_is_not_taken_for_one_of_images(place):
    done = nas("check", str(place))
    assert done.exit_code == 2
    assert "its text is read with data.source: parallel_text and data.options.languages: [de, en]" in done.stderr
