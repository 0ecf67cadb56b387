"""Jobs that learn the architecture with the weights, and derive it."""

import json
from pathlib import Path

import pytest

from service.errors import InvalidJob
from service.job.folder import read_events
from service.job.loading import load_job
from service.job.preparation import prepare_folder
from service.report.job_report import summary_lines, write_report
from service.run.run import run
from service.run.stages.outputs import LEARNED, SUPERNET
from service.run.stages.plan import Plan
from supernets import load_supernet
from tests.service.run.test_adapted_jobs import context

RELAXED = ("train.relaxation={method: drnas, lr: 0.05, hypergradient: unrolled}",)
TINY = [
    *("train.sampler=uniform", "train.epochs=1.2", "search.evaluations=5", "search.population=3"),
    "search.calibration_examples=64",
    *("latency.repeats=5", "latency.warmup_s=0", "latency.min_time_ms=0", "tracking.enabled=false"),
    *("search.objectives=[accuracy]", "space.options.stage_widths=[8, 16]", "space.options.strides=[1, 2]"),
]
MOST = 200_000


@pytest.fixture(scope="module")
def derived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sets = [*TINY, *RELAXED, "search.searcher=derived", f"search.constraints.macs=<= {MOST}"]
    job = load_job("quickstart", sets)
    place = prepare_folder(job, tmp_path_factory.mktemp("jobs") / "derived")
    run(place, job, lambda event: None, Plan())
    return place


def test_a_derived_search_never_evaluates_what_breaks_a_limit(derived):
    lines = (derived / "search" / "journal.jsonl").read_text().splitlines()[1:]
    evaluated = [json.loads(line) for line in lines]
    assert len(evaluated) == 5
    assert all(record["values"]["macs"] <= MOST for record in evaluated)
    members = json.loads((derived / "front.json").read_text())["members"]
    assert members
    assert all(member["values"]["macs"] <= MOST for member in members)


def test_what_was_learned_is_part_of_the_results(derived):
    space = context(derived).space
    learned = json.loads((derived / LEARNED).read_text())
    supernet = load_supernet(space, derived / SUPERNET)
    assert learned["method"] == "drnas"
    assert learned["architecture"] == supernet.learned.architecture(space).to_json()
    assert learned["probabilities"].keys() == learned["logits"].keys() == supernet.learned.logits.keys()
    for name, of_choices in learned["probabilities"].items():
        assert sum(of_choices.values()) == pytest.approx(1), name


def test_its_course_is_in_events_and_figure(derived):
    told = [event for event in read_events(derived / "progress.jsonl")[0] if event["event"] == "sampler"]
    assert told
    assert -1 <= told[0]["gradients"]["cosine"] <= 1
    assert derived / "report" / "probabilities.png" in write_report(derived)


def test_the_summary_says_that_its_weights_are_those_of_a_mixture(derived):
    best = max(
        json.loads((derived / "front.json").read_text())["members"], key=lambda member: member["values"]["accuracy"]
    )
    (line,) = [line for line in summary_lines(derived) if "mixture" in line]
    assert line.endswith(f"nas retrain {derived} --scratch --member {best['key']}")


def test_derived_without_something_learned_is_refused_before_any_work():
    with pytest.raises(InvalidJob, match=r"search.searcher: derived needs train.relaxation with a method that learns"):
        load_job("quickstart", [*TINY, "search.searcher=derived"])


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (("train.relaxation.share=2",), "train.relaxation.share: must be between 0 and 1, got 2"),
        (("train.relaxation.method=darts",), "train.relaxation.method: must be one of softmax, sparsemax, gdas"),
        ((*RELAXED, "train.sampler=fair"), r"train.sampler: must be uniform \(the default\) with train.relaxation"),
        ((*RELAXED, "space={name: nasbench101}"), "train.relaxation: must be null: decisions of nasbench101 depend"),
        (
            (*RELAXED, "train.relaxation.cost=energy", "train.relaxation.cost_limit=3"),
            "train.relaxation.cost: must be one of params, macs, latency_ms, got 'energy'",
        ),
        (
            (*RELAXED, "train.relaxation.cost=latency_ms", "train.relaxation.cost_limit=3"),
            "train.relaxation.cost: must be one of params, macs where there is no latency.table",
        ),
        (
            ("train.relaxation=null", "train.mixture={}", "space={name: darts}"),
            "train.mixture: must be null: darts has too many architectures to be listed",
        ),
        (
            ("train.mixture={}",),
            r"train.mixture: must be null \(the default\) with train.relaxation, got a mixture",
        ),
    ],
)
def test_wrong_settings_are_named(sets, message):
    with pytest.raises(InvalidJob, match=message):
        load_job("quickstart", ["train.relaxation={}", "train.sampler=uniform", *sets])
