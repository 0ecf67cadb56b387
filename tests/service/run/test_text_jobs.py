"""Jobs on text from their files to their reports."""

import json
from pathlib import Path

import pytest

from service.commands.compare import report
from service.errors import InvalidJob
from service.job.folder import read_events, read_json
from service.job.given_data import on_other_data
from service.job.job import to_dict
from service.job.loading import job_of, load_job
from service.job.outcomes_file import read_breakdown, read_outcomes
from service.job.preparation import prepare_folder, saved_job, supernet_differences
from service.report.job_report import summary_lines
from service.run.run import run
from service.run.stages.plan import Plan
from tests.nas.data.text import corpus

pytest.importorskip("tokenizers", reason="needs the extra `text`")

HERE = "tests.service.run.text_spaces"
SETTINGS = [
    *("train.optimizer=adamw", "train.lr=0.03", "train.lr_schedule=inverse_sqrt", "train.epochs=6"),
    *("train.batch_size=16", "train.accumulate=2", "search.searcher=random", "search.evaluations=3"),
    *("search.objectives=[quality, macs]", "search.population=3", "tracking.enabled=false"),
]


def fields(place: Path, space: str, source: str = "parallel_text", **options: object) -> dict:
    languages = {"languages": ["en", "de"]} if source == "parallel_text" else {"language": "en"}
    data = {"source": source, "path": str(place), "options": {**languages, "vocabulary": 320, "longest": 64, **options}}
    return {"name": "words", "device": "cpu", "data": data, "space": {"name": f"{HERE}:{space}"}}


def ran(folder: Path, described: dict, *more: str) -> Path:
    job = job_of(described, [*SETTINGS, *more])
    place = prepare_folder(job, folder)
    run(place, job, lambda event: None, Plan())
    return place


def page_of(folder: Path) -> str:
    """Return the page that `nas report` writes."""
    report([str(folder)])
    return (folder / "report" / "report.html").read_text()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return corpus.folder(tmp_path_factory.mktemp("text") / "pairs", {"train": 200, "val": 30, "test": 30})


@pytest.fixture(scope="module")
def translated(place, tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs") / "bleu"
    return ran(folder, fields(place, "translators"), "task.options.beam=2", "train.sampler=sandwich")


def test_a_front_of_translators_is_judged_by_bleu(translated):
    front = read_json(translated / "front.json")
    assert front["task"]["name"] == "translation"
    assert front["task"]["metric"] == {"name": "bleu", "unit": "", "maximise": True}
    best = max(front["members"], key=lambda member: member["values"]["bleu"])
    assert best["test_quality"] > 1
    assert best["test_numbers"].keys() == {"perplexity", "loss"}
    low, high = best["intervals"]["bleu"]
    assert low < best["values"]["bleu"] < high
    assert (translated / "tokenizer.json").is_file()


def test_a_training_of_translators_is_followed_by_perplexity(translated):
    told = [event for event in read_events(translated / "progress.jsonl")[0] if event["event"] == "validate"]
    assert {event["metric"] for event in told} == {"perplexity"}
    assert told[-1]["largest"] < told[0]["largest"]
    assert 1 < told[-1]["largest"] < 100


def test_sample_translations_are_in_the_report(translated):
    front = read_json(translated / "front.json")
    best = max(front["members"], key=lambda member: member["values"]["bleu"])["key"]
    table = read_breakdown(translated, best).tables["translations"]
    assert list(table.columns) == ["source", "reference", "translation"]
    test = {tuple(pair) for pair in zip(corpus.lines("en", 30, seed=2), corpus.lines("de", 30, seed=2))}
    assert {tuple(row[:2]) for row in table.rows} <= test
    page = page_of(translated)
    assert "<h3>Translations</h3><table class='prose'>" in page
    assert str(table.rows[-1][0]) in page
    assert "BLEU" in page
    assert any("BLEU" in line for line in summary_lines(translated))
    assert read_outcomes(translated, best, "test").columns["counts"].shape == (30, 10)


def test_a_job_goes_on_as_if_it_had_never_stopped(place, tmp_path):
    described = fields(place, "translators")
    sets = ("task.options.metric=perplexity", "train.examples=importance", "train.example_weights=true")
    whole = ran(tmp_path / "whole", described, *sets)
    begun = prepare_folder(job_of(described, [*SETTINGS, *sets]), tmp_path / "begun")

    class Stopped(Exception):
        pass

    def stop(event):
        if event["event"] == "train" and event["step"] >= 40:
            raise Stopped

    job = job_of(described, [*SETTINGS, *sets, "train.checkpoint_every_s=0"])
    with pytest.raises(Stopped):
        run(begun, job, stop, Plan())
    run(begun, job, lambda event: None, Plan())
    first, second = (json.loads((at / "front.json").read_text())["members"] for at in (whole, begun))
    assert [one["values"]["perplexity"] for one in first] == [one["values"]["perplexity"] for one in second]
    assert [one["test_quality"] for one in first] == [one["test_quality"] for one in second]
    assert {"bleu", "loss"} == first[0]["test_numbers"].keys()


@pytest.mark.parametrize("stage", ["retrain", "scratch"])
def test_members_that_are_trained_further_are_followed_by_perplexity_and_judged_by_bleu(translated, stage):
    front = read_json(translated / "front.json")
    member = front["members"][0]
    told: list = []
    options = {stage: {"members": [member["key"]], "epochs": 1}}
    run(translated, load_job(translated), told.append, Plan(stages=(stage,), options=options))
    curve = read_events(translated / stage / member["key"] / "curve.jsonl")[0]
    assert all("perplexity" in event and "bleu" not in event for event in curve)
    assert len(curve) == 1
    record = read_json(translated / stage / member["key"] / "result.json")
    assert record["inherited_quality"] == member["values"]["bleu"]
    assert 0 < record["retrained_quality"] <= 100


@pytest.mark.parametrize("masked", [0.0, 0.2])
def test_language_is_judged_by_perplexity(place, tmp_path, masked):
    folder = ran(tmp_path / "job", fields(place, "readers", source="text", masked=masked))
    front = read_json(folder / "front.json")
    assert front["task"]["name"] == ("masked_language" if masked else "language")
    assert front["task"]["metric"] == {"name": "perplexity", "unit": "", "maximise": False}
    best = min(front["members"], key=lambda member: member["values"]["perplexity"])
    assert 1 < best["test_quality"] < 60
    assert "Perplexity" in page_of(folder)


def test_a_teacher_with_other_tokens_is_refused(place, translated, tmp_path):
    job = job_of(fields(place, "translators", vocabulary=300), [*SETTINGS, f"train.teacher={translated}"])
    with pytest.raises(InvalidJob, match=r"train\.teacher: .*bleu was trained with another tokenizer\.json"):
        run(prepare_folder(job, tmp_path / "taught"), job, lambda event: None, Plan())


def test_a_trained_supernet_is_searched_by_another_metric(place, translated):
    described = fields(place, "translators")
    by_loss = job_of(described, [*SETTINGS, "task.options.metric=perplexity", "task.options.beam=1"])
    assert supernet_differences(by_loss, saved_job(translated)) == []
    other = job_of(fields(place, "translators", longest=60), SETTINGS)
    assert supernet_differences(other, saved_job(translated)) == ["data.options.longest: 64 there, 60 now"]


def test_files_of_a_job_may_be_moved(place, tmp_path):
    for name in ("en", "de"):
        corpus.write(tmp_path / f"a.{name}", corpus.lines(name, 40))
    described = fields(place, "translators")
    described["data"] |= {"path": "a.en", "options": {"target_path": "a.de", "vocabulary": 320, "longest": 64}}
    (tmp_path / "job.json").write_text(json.dumps(described))
    job = load_job(tmp_path / "job.json", SETTINGS)
    assert job.data.options["target_path"] == str(tmp_path / "a.de")
    (tmp_path / "there").mkdir()
    for name in ("en", "de"):
        (tmp_path / f"a.{name}").rename(tmp_path / "there" / f"a.{name}")
    described["data"] |= {
        "path": "there/a.en",
        "options": {**described["data"]["options"], "target_path": "there/a.de"},
    }
    (tmp_path / "job.json").write_text(json.dumps(described))
    assert supernet_differences(load_job(tmp_path / "job.json", SETTINGS), to_dict(job)) == []


def test_a_job_on_text_takes_other_text(place, tmp_path):
    other = corpus.folder(tmp_path / "other", {"train": 20, "test": 5})
    given = on_other_data(fields(place, "translators"), str(other))["data"]
    assert given == {**fields(place, "translators")["data"], "path": str(other)}


def test_jobs_on_text_that_do_not_fit_are_refused_in_one_line_each(place, tmp_path):
    wrong = fields(place, "translators", vocabulary=100)
    with pytest.raises(InvalidJob) as error:
        job_of(wrong, ["train.accumulate=99"])
    assert any(line.startswith("data.options.vocabulary: must be from 260") for line in error.value.mistakes)
    assert any(line.startswith("train.accumulate: must be from 1 to 64") for line in error.value.mistakes)
    with pytest.raises(InvalidJob, match=r"space\.options\.target_vocabulary: 99 does not fit the data, which has 320"):
        job_of(
            {
                **fields(place, "translators"),
                "space": {"name": f"{HERE}:translators", "options": {"target_vocabulary": 99}},
            }
        )
    corpus.write(tmp_path / "train.en", ["one", "two"])
    corpus.write(tmp_path / "train.de", ["eins"])
    with pytest.raises(InvalidJob, match=r"same number of lines, found 2 in .*train\.en, 1 in .*train\.de"):
        job_of(fields(tmp_path, "translators"))


@pytest.mark.parametrize(
    ("space", "source", "message"),
    [
        (
            "conv_macro",
            "parallel_text",
            "conv_macro has 1 input, none of tokens; the task translation needs 2",
        ),
        ("language", "parallel_text", "language has 1 input, 1 of tokens; the task translation needs 2"),
        ("small_hat", "text", "small_hat has 2 inputs, 2 of tokens; the task language needs 1"),
    ],
)
def test_networks_that_take_other_inputs_than_the_text_gives_are_refused(place, space, source, message):
    with pytest.raises(InvalidJob, match=f"space: {message}"):
        job_of({**fields(place, "readers", source), "space": {"name": space}})


def test_images_are_no_text():
    with pytest.raises(InvalidJob, match="small_hat takes rows of tokens, the data gives images of 1 x 8 x 8"):
        job_of({"name": "words", "data": {"source": "digits"}, "space": {"name": "small_hat"}})
