"""Sources of text: what they read, what they refuse, and the vocabulary that a job keeps."""

import gzip
import json

import numpy as np
import pytest
import torch

from nas.data import DataConfig, InvalidData, InvalidExamples, check_data, load_data, open_source
from nas.data.text.lines import read_lines
from nas.data.text.tokens import Tokens
from search_spaces.errors import FieldError
from service.errors import InvalidJob
from service.job.job import Job, SpaceConfig
from service.job.kept_data import job_data
from supernets.tasks.token_ids import BEGIN, END, PADDING
from tests.nas.data.text import corpus

pytest.importorskip("tokenizers", reason="needs the extra `text`")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return corpus.folder(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def data(place):
    return load_data(corpus.pairs(place), device=CPU)


def test_the_published_splits_of_a_folder_are_kept(place, data):
    assert data.sizes == {"train": 60, "validation": 12, "test": 10}
    source = open_source(corpus.pairs(place))
    assert dict(source.sizes) == data.sizes
    assert (source.task, data.task) == ("translation", "translation")
    facts = {"source_vocabulary": 320, "target_vocabulary": 320, "longest": 64}
    assert {name: check_data(corpus.pairs(place))[name] for name in facts} == facts == data.facts


def test_rows_are_the_lines_and_targets_begin_and_end(place, data):
    texts = open_source(corpus.pairs(place)).facts["texts"]
    seen = set()
    for source, before, target in data.test.sequential(4):
        assert source.dtype == before.dtype == target.dtype == torch.int64
        assert before.shape == target.shape
        assert (before[:, 0] == BEGIN).all()
        assert ((source == END).sum(1) == 1).all()
        assert ((target == END).sum(1) == 1).all()
        ends = (target == END).int().argmax(1)
        for i, end in enumerate(ends.tolist()):
            assert torch.equal(before[i, 1 : end + 1], target[i, :end])
            assert (before[i, end + 1 :] == PADDING).all()
            assert (target[i, end + 1 :] == PADDING).all()
            seen.add((texts(source[i].tolist()), texts(target[i].tolist())))
    assert seen == set(zip(corpus.lines("en", 10, seed=2), corpus.lines("de", 10, seed=2)))


def test_any_characters_come_back(tmp_path):
    odd = ["naïve café 日本語 🙂", "a  b\tc", "<mask> </s> is text", "\u2028 inside \u0085 too", "ﬁ\u0301"]
    tokens = Tokens.trained(["nothing of it"], 300)
    rows = tokens.encode(odd)
    assert [tokens.text(rows.ids[a:b]) for a, b in zip(rows.starts, rows.starts[1:])] == [line.strip() for line in odd]
    assert (np.delete(rows.ids, rows.starts[1:] - 1) >= 4).all()


def test_equal_texts_give_equal_vocabularies():
    texts = corpus.lines("en", 200) + corpus.lines("de", 200)
    first, second = (Tokens.trained(texts, 350) for _ in range(2))
    assert first.to_json() == second.to_json()
    again = Tokens.from_json(first.to_json())
    assert again.to_json() == first.to_json()
    assert np.array_equal(again.encode(texts).ids, first.encode(texts).ids)


def test_the_vocabulary_is_that_of_the_training_lines_alone(place, data, tmp_path):
    other = corpus.folder(tmp_path / "other")
    corpus.write(other / "val.de.gz", ["Donaudampfschifffahrtsgesellschaft"] * 12)
    assert load_data(corpus.pairs(other), device=CPU).files == data.files


def test_two_files_are_split_as_the_job_says(tmp_path):
    paths = [corpus.write(tmp_path / name, corpus.lines(name[-2:], 50)) for name in ("a.en", "b.de")]
    options = {"target_path": str(paths[1]), "vocabulary": 300}
    config = DataConfig(source="parallel_text", path=str(paths[0]), options=options, test_fraction=0.2)
    assert load_data(config, device=CPU).sizes == {"train": 36, "validation": 4, "test": 10}
    lonely = DataConfig(source="parallel_text", path=str(paths[0]))
    with pytest.raises(FieldError, match=r"options\.target_path must name the file that belongs to"):
        check_data(lonely)


def test_text_of_one_language_has_no_source(place):
    data = load_data(corpus.text(place), device=CPU)
    assert data.task == "language"
    assert data.facts == {"vocabulary": 300, "longest": 64}
    before, after = next(data.train.sequential(7))
    assert torch.equal(before[:, 1:][after[:, :-1] != END], after[:, :-1][after[:, :-1] != END])


WRONG = {
    "unequal": (lambda at: corpus.write(at / "train.de", corpus.lines("de", 9)), "60 in .*en.gz, 9 in .*train.de"),
    "no UTF-8": (lambda at: (at / "train.de").write_bytes(b"gut\nsch\xf6n\n"), "line 2: byte 0xf6 is not UTF-8"),
    "no lines": (lambda at: (at / "train.de").write_bytes(b""), "train.de: no lines"),
    "damaged": (lambda at: (at / "val.de.gz").write_bytes(gzip.compress(b"a\n" * 99)[:-9]), "damaged or truncated"),
    "no pair": (lambda at: (at / "val.de.gz").unlink(), "no file val.de or val.de.gz"),
    "no training": (lambda at: [(at / f"train.{one}.gz").unlink() for one in ("en", "de")], "no training lines"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_files_that_cannot_be_used_are_refused_in_one_line(tmp_path, wrong):
    place = corpus.folder(tmp_path / "pairs")
    spoil, said = WRONG[wrong]
    spoil(place)
    with pytest.raises(InvalidData, match=said) as error:
        check_data(corpus.pairs(place))
    assert "\n" not in str(error.value)


OPTIONS = {
    "vocabulary": ({"vocabulary": 200}, "must be from 260"),
    "longest": ({"longest": 1}, "must be from 2"),
    "one language": ({"languages": ["en"]}, r"must be two, .* end in de, en"),
    "no such test": ({"test": "test_1999"}, "one of test_2016"),
    "target": ({"target_path": "x"}, "must be left out where path is a folder"),
}


@pytest.mark.parametrize("wrong", OPTIONS)
def test_options_that_do_not_fit_are_refused_by_name(place, wrong):
    options, said = OPTIONS[wrong]
    with pytest.raises(FieldError, match=said) as error:
        check_data(corpus.pairs(place, **options))
    assert error.value.field == f"options.{'languages' if wrong == 'one language' else next(iter(options))}"


def test_several_test_splits_need_a_name(tmp_path):
    place = corpus.folder(tmp_path / "pairs", {"train": 30, "test_2016": 5, "test_2017": 6})
    with pytest.raises(FieldError, match="one of test_2016, test_2017"):
        check_data(corpus.pairs(place))
    assert open_source(corpus.pairs(place, test="test_2017")).sizes["test"] == 6


def test_empty_and_long_lines_are_named_or_left_out(tmp_path):
    place = corpus.folder(tmp_path / "pairs")
    train = corpus.lines("de", 60)
    corpus.write(place / "train.de.gz", [*train[:16], "", *train[17:]])
    long = corpus.lines("en", 12, seed=1)
    corpus.write(place / "val.en.gz", [*long[:4], "so very long " * 30, *long[5:]])
    with pytest.raises(InvalidExamples, match=r"1 of 60 examples has an empty line.*\n.*train.de.gz: line 17: empty"):
        check_data(corpus.pairs(place))
    skipped = load_data(corpus.pairs(place, on_error="skip"), device=CPU)
    assert skipped.sizes == {"train": 59, "validation": 11, "test": 10}
    assert [line.split(":")[1] for line in skipped.left_out] == [" line 17", " line 5"]
    corpus.write(place / "train.de.gz", train)
    with pytest.raises(
        InvalidExamples,
        match=r"1 example has a line of more than 64 tokens.*longest.*\n.*val.en.gz: line 5: \d+ tokens",
    ):
        load_data(corpus.pairs(place), device=CPU)


def test_carriage_returns_and_marks_of_order_are_no_text(tmp_path):
    (tmp_path / "a").write_bytes("\ufeffone\r\ntwo \r\n".encode())
    assert read_lines(tmp_path / "a") == ["one", "two"]


# ---- what a job keeps -----------------------------------------------------------------------------------------------


def job(place, **options):
    return Job(name="j", space=SpaceConfig(name="nasbench201"), data=corpus.pairs(place, **options))


def test_a_job_goes_on_with_the_vocabulary_that_it_kept(place, tmp_path):
    first = job_data(job(place), tmp_path)
    data = first.load(CPU)
    first.keep(data)
    assert (tmp_path / "tokenizer.json").read_text() == data.files["tokenizer.json"]
    assert len(json.loads(data.files["tokenizer.json"])["model"]["vocab"]) == 320
    again = job_data(job(place), tmp_path)
    assert again.source.kept == data.files["tokenizer.json"]
    assert again.load(CPU).fingerprint == data.fingerprint
    assert again.looked_at.facts["texts"]([100, END]) == first.looked_at.facts["texts"]([100, END])


def test_another_vocabulary_is_refused(place, tmp_path):
    first = job_data(job(place), tmp_path)
    first.keep(first.load(CPU))
    with pytest.raises(InvalidJob, match=r"data\.options\.vocabulary: must be 320, as the networks .* got 300"):
        job_data(job(place, vocabulary=300), tmp_path)
    kept = (tmp_path / "tokenizer.json").read_bytes()
    (tmp_path / "tokenizer.json").write_bytes(kept.replace(b"<mask>", b"<gap>"))
    with pytest.raises(InvalidJob, match=r"tokenizer\.json: not the file that the networks"):
        job_data(job(place), tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    again = job_data(job(place), tmp_path)
    again.keep(again.load(CPU))
    assert (tmp_path / "tokenizer.json").read_bytes() == kept


def test_changed_lines_are_refused_or_keep_their_split(tmp_path):
    place, kept = corpus.folder(tmp_path / "pairs"), tmp_path / "job"
    kept.mkdir()
    first = job_data(job(place), kept)
    before = first.load(CPU)
    first.keep(before)
    for language in corpus.WORDS:
        corpus.write(place / f"train.{language}.gz", [*corpus.lines(language, 60), "Neu hier"])
    with pytest.raises(InvalidJob, match="1 added"):
        job_data(job(place), kept)


@pytest.mark.parametrize("path", [None, "", "no/such/place"])
@pytest.mark.parametrize("source", ["text", "parallel_text"])
def test_a_path_is_needed(source, path):
    with pytest.raises(ValueError, match=r"must name a file of lines|no such folder or file of lines"):
        check_data(DataConfig(source=source, path=path))
