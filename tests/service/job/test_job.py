"""Job files: what is read, what is refused and in which words, and the folder that a job works in."""

import inspect
import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from service.catalogue import KINDS, OBJECTIVES, recipes, resolve
from service.errors import InvalidJob
from service.job.building import build_space, build_task, data_facts
from service.job.job import Job, to_dict
from service.job.loading import job_of, load_job, with_settings
from service.job.preparation import check_supernet, differences, locked, prepare_folder, write_json

MANY_MISTAKES = """
name: my job
sed: 1
data: {source: digit, image_size: big}
space:
  name: small_mobilenet_v3
  options: {kernel: [3], stage_widths: abc}
train: {epochs: -1, lr: 0, batch_size: true}
search:
  searcher: nsga4
  evaluations: ten
  objectives: [accuracy, latency]
  constraints: {macs: "<5", acuracy: ">= 60", accuracy: ">= 160", params: true}
latency: {threads: 0}
tracking: yes
"""
EXPECTED = {
    "sed": ("unknown field", "1", "did you mean seed?"),
    "name": ("'my job'", "letters, digits"),
    "data.source": ("'digit'", "digits, npz, folder, timm"),
    "data.image_size": ("'big'", "a whole number or null"),
    "space.options.kernel": ("[3]", "did you mean kernels?", "stage_widths"),
    "space.options.stage_widths": ("'abc'", "a list of whole numbers"),
    "train.epochs": ("-1", "more than 0"),
    "train.lr": ("0", "more than 0"),
    "train.batch_size": ("true", "a whole number"),
    "search.searcher": ("'nsga4'", "did you mean nsga", "random"),
    "search.evaluations": ("'ten'", "a whole number"),
    "search.objectives": ("'latency'", "did you mean latency_ms?", "params"),
    "search.constraints.macs": ("'<5'", "<= number"),
    "search.constraints.acuracy": (">= 60", "did you mean accuracy or mean_accuracy?"),
    "search.constraints.accuracy": (">= 160", "0 to 100"),
    "search.constraints.params": ("true", "text or a number"),
    "latency.threads": ("0", "at least 1"),
    "tracking": ("true", "enabled, uri, experiment"),
}


def mistakes_of(source: str | Path, *sets: str) -> list[str]:
    with pytest.raises(InvalidJob) as caught:
        load_job(source, sets)
    assert str(caught.value) == "\n".join(caught.value.mistakes)
    assert all(line and "\n" not in line for line in caught.value.mistakes)
    return caught.value.mistakes


def written(folder: Path, text: str | bytes, name: str = "job.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# ---- reading --------------------------------------------------------------------------------------------------------


def test_all_mistakes_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    found = {line.partition(":")[0]: line for line in mistakes_of(written(tmp_path, MANY_MISTAKES))}
    assert found.keys() == EXPECTED.keys()
    for path, parts in EXPECTED.items():
        assert all(part in found[path] for part in parts), found[path]


def test_messages_are_free_of_the_validators_jargon(tmp_path: Path) -> None:
    text = "\n".join(mistakes_of(written(tmp_path, MANY_MISTAKES))).lower()
    assert not any(word in text for word in ("pydantic", "value error", "input should", "keyword", "dataclass"))


@pytest.mark.parametrize("suffix", ["yaml", "yml", "json"])
def test_a_job_survives_writing_and_reading(tmp_path: Path, suffix: str) -> None:
    job = load_job("quickstart", ["train.clip_norm=null", "search.constraints.macs=>= 1e3, <= 5e6"])
    assert load_job(written(tmp_path, json.dumps(to_dict(job)), f"job.{suffix}")) == job


@pytest.mark.parametrize(
    ("content", "name", "parts"),
    [
        ("name: x\nname: y\n", "a.yaml", ["a.yaml, line 2", "name is given twice"]),
        ("name: x\ntrain: {epochs: 1\nseed: 2", "a.yaml", ["a.yaml, line 3"]),
        ("name: x\n\tseed: 1", "a.yaml", ["line 2", "tab", "spaces"]),
        ("search:\n  constraints:\n    accuracy: >= 60", "a.yaml", ["line 3", "quotes", "accuracy: >= 60"]),
        ('{"name": "x",}', "a.json", ["a.json, line 1"]),
        ('{"name": "x", "name": "y"}', "a.json", ["name is given twice"]),
        ("", "a.yaml", ["is empty", "name: first"]),
        ("- 1", "a.yaml", ["holds list", "mapping of fields"]),
        (b"\xff\xfe\x00", "a.yaml", ["not a text file"]),
        (b"PK\x03\x04", "a.yaml", ["not readable as YAML"]),
    ],
)
def test_unreadable_files_name_the_place(tmp_path: Path, content: str | bytes, name: str, parts: list[str]) -> None:
    (line,) = mistakes_of(written(tmp_path, content, name))
    assert str(tmp_path / name) in line
    assert all(part in line for part in parts), line


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("quickstrat", ["'quickstrat'", "did you mean quickstart?", "cifar10"]),
        ("nowhere.yaml", ["nowhere.yaml", "No such file"]),
        ("{tmp}", ["no job.json", "recipes:"]),
        ("{tmp}/picture.png", ["picture.png", "not a recipe, job file or job folder"]),
    ],
)
def test_a_source_that_is_no_job_is_named(tmp_path: Path, source: str, parts: list[str]) -> None:
    (line,) = mistakes_of(source.format(tmp=tmp_path))
    assert all(part in line for part in parts), line


def test_required_fields_are_asked_for_together(tmp_path: Path) -> None:
    lines = mistakes_of(written(tmp_path, "train: {lr: -1}"))
    assert [line.split(":")[0] for line in lines] == ["name", "space", "train.lr"]
    assert all("missing" in line for line in lines[:2])


# ---- --set ----------------------------------------------------------------------------------------------------------


def test_set_values_are_yaml() -> None:
    sets = ["train.lr=1e-3", "space.options.kernels=[3]", "train.ema_decay=0.9", "data.download=true", "name=a.b"]
    job = load_job("quickstart", [*sets, "search.constraints.accuracy=>= 60", "train.clip_norm=", "train={epochs: 3}"])
    assert job.train.epochs == 3
    assert job.train.lr == 0.1, "a whole section replaces what came before"
    assert (job.space.options["kernels"], job.data.download, job.name) == ([3], True, "a.b")
    assert job.search.constraints == {"accuracy": ">= 60"}
    assert load_job("quickstart", ["train.lr=1e-3"]).train.lr == 1e-3


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("train.epoch=5", ["train.epoch=5", "did you mean epochs?", "batch_size"]),
        ("trian.epochs=5", ["did you mean train.epochs?"]),
        ("epochs=5", ["did you mean train.epochs or search.alone.epochs?"]),
        ("sed=5", ["did you mean seed?", "latency"]),
        ("train.epochs", ["must be path=value", "train.epochs=5"]),
        ("=5", ["must be path=value"]),
        ("train.epochs=[1", ["train.epochs=[1"]),
        ("train.epochs.more=1", ["train.epochs.more"]),
    ],
)
def test_a_bad_setting_says_what_was_meant(setting: str, parts: list[str]) -> None:
    (line,) = mistakes_of("quickstart", setting)
    assert line.startswith("--set ")
    assert all(part in line for part in parts), line


def test_mistakes_of_settings_and_of_values_come_together() -> None:
    lines = mistakes_of("quickstart", "train.epoch=5", "train.lr=-1", "seed=x")
    assert [line.split(":")[0] for line in lines] == ["--set 'train.epoch=5'", "seed", "train.lr"]


def test_a_space_that_replaces_another_one_does_not_take_over_its_options() -> None:
    sets = ["space.options.width=8", "space.name=nasbench_macro", "data.image_size=16", "data.source=noise"]
    assert load_job("quickstart", sets).space.options == {"width": 8}
    same = load_job("quickstart", ["space.name=small_mobilenet_v3"])
    assert same.space.options == load_job("quickstart").space.options


def test_a_space_that_replaces_another_one_keeps_the_bits() -> None:
    sets = ["space.precision={weights: [2, 4]}", "search.objectives=[accuracy, bytes]"]
    fields, mistakes = with_settings({"space": {"name": "bert", "precision": {"per": "stage"}}}, ["space.name=hat"])
    assert (fields["space"], mistakes) == ({"name": "hat", "precision": {"per": "stage"}}, [])
    assert load_job("quickstart", [*sets, "space.name=small_mobilenet_v3"]).space.precision is not None


# ---- what the types cannot say --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("space.name=resnet", ["space.name", "'resnet'", "small_mobilenet_v3", "package.module:object"]),
        ("space.name=small_mobilenet", ["did you mean small_mobilenet_v3"]),
        ("space.name=no.such:space", ["space.name", "no.such:space", "cannot be imported"]),
        ("space.name=math:spaces", ["module math has no 'spaces'"]),
        ("space.options.classes=100", ["space.options.classes", "100", "has 10"]),
        ("space.options.image_size=32", ["space.options.image_size", "32", "has 8"]),
        ("space.options.channels=3", ["space.options.channels", "3", "has 1"]),
        ("space.precision={weights: [4.5]}", ["space.precision.weights.0: must be a whole number, got 4.5"]),
        ("space.options.kernels=[4]", ["space.options.kernels", "4", "odd"]),
        ("data.image_size=100", ["data.image_size", "100", "8 to 64"]),
        ("search.per_leaf=3", ["search.per_leaf: must be true or false or one of halving, got 3"]),
        ("search.constraints={macs: null}", ["search.constraints.macs: must be text or a number, got null"]),
        ("search.constraints.macs=<= 10", ["search.constraints.macs", "<= 10", "impossible", "reach from"]),
        ("search.constraints.params=>= 1e12", ["search.constraints.params", ">= 1e12", "reach from"]),
        ("search.constraints.latency_ms=<= 0", ["search.constraints.latency_ms", "more than 0"]),
        ("search.constraints.accuracy=>= 101", ["search.constraints.accuracy", "0 to 100"]),
        ("search.constraints.energy=<= 1", ["search.constraints.energy: unknown objective", "latency_ms"]),
        ("data={source: npz, path: gone.npz}", ["data", "gone.npz"]),
        ("data.source=npz", ["data.path", "npz"]),
        ("device=cuda:99", ["device", "cuda:99"]),
        ("device=gpu", ["device", "'gpu'", "cuda:N"]),
        ("seed=-1", ["seed", "-1", "from 0"]),
        ("train.epochs=.nan", ["train.epochs", "finite"]),
        ("train.sampler=path_adaptve", ["train.sampler", "'path_adaptve'", "did you mean path_adaptive?", "sandwich"]),
        ("train.sampler=no.such:Sampler", ["train.sampler", "no.such:Sampler", "cannot be imported"]),
        ("train.sampler=pathlib:PurePath", ["train.sampler", "pathlib:PurePath", "no method draw"]),
        ("train={sampler: fair, sampler_options: {floor: 1}}", ["train.sampler_options.floor", "fair", "it has none"]),
        (
            "train={sampler: path_adaptive, sampler_options: {flor: 0.1}}",
            ["train.sampler_options.flor", "0.1", "did you mean floor?", "per_decision"],
        ),
        (
            "train={sampler: path_adaptive, sampler_options: {per_decision: 1}}",
            ["train.sampler_options.per_decision", "true or false", "got 1"],
        ),
        (
            "train={sampler: path_adaptive, sampler_options: {floor: 0.5}}",
            ["train.sampler_options.floor", "from 0 to 1/3", "0.5"],
        ),
        (
            "train={sampler: shift, sampler_options: {cost: 1}}",
            ["train.sampler_options.cost", "no such option", "bins"],
        ),
        ("train={schedule: progressive_shrinking, sampler: sorted}", ["train.sampler", "path_adaptive", "'sorted'"]),
        ("train.schedule=shrinking", ["train.schedule", "progressive_shrinking", "'shrinking'"]),
        ("train.examples=most", ["train.examples", "importance", "'most'"]),
        ("train.example_weights=true", ["train.example_weights", "unless examples is importance", "got true"]),
        ("train.subnets_per_step=1", ["train.subnets_per_step", "at least 2", "sandwich"]),
    ],
)
def test_a_job_that_cannot_work_is_refused(setting: str, parts: list[str]) -> None:
    (line,) = mistakes_of("quickstart", setting)
    assert all(part in line for part in parts), line


def test_progressive_shrinking_of_a_space_without_its_decisions_is_refused() -> None:
    sets = ["space={name: nasbench201, options: {width: 4, cells: 1}}", "train={schedule: progressive_shrinking}"]
    (line,) = mistakes_of("quickstart", *sets)
    assert line.startswith(
        "train.schedule: must be whole, since progressive_shrinking needs *.kernel, *.depth or *.expand decisions"
    )


def test_samplers_of_all_kinds_are_accepted_with_their_options() -> None:
    options = {"path_adaptive": "{floor: 0.05, per_decision: true}", "shift": "{bins: 5}", "sorted": "{points: 4}"}
    for name in KINDS["sampler"]:
        sets = [f"train.sampler={name}", f"train.sampler_options={options.get(name, '{}')}"]
        assert load_job("quickstart", [*sets, "train.examples=importance"]).train.sampler == name
    job = load_job("quickstart", ["train.sampler=sorted", "train.sampler_options.points=3"])
    assert job.train.sampler_options == {"points": 3}
    own = load_job("quickstart", ["train.sampler=supernets.samplers:PathAdaptive", "train.sampler_options.floor=0.1"])
    assert own.train.sampler_options == {"floor": 0.1}


def test_a_corrupt_npz_is_one_line(tmp_path: Path) -> None:
    path = written(tmp_path, b"PK\x03\x04 not an archive", "train.npz")
    (line,) = mistakes_of("cifar10", f"data.path={path}")
    assert line.startswith("data: ")
    assert str(path) in line


def test_constraints_are_judged_although_an_option_is_wrong() -> None:
    lines = mistakes_of("quickstart", "space.options.classes=100", "search.constraints.macs=<= 10")
    assert [line.split(":")[0] for line in lines] == ["space.options.classes", "search.constraints.macs"]


def test_reachable_constraints_are_accepted() -> None:
    space = build_space(load_job("quickstart"))
    smallest = int(space.costs([space.smallest()])["macs"][0])
    assert load_job("quickstart", [f"search.constraints.macs=<= {smallest}"]).search.constraints
    assert mistakes_of("quickstart", f"search.constraints.macs=<= {smallest - 1}")


def test_the_space_takes_its_shape_from_the_data() -> None:
    job = load_job("quickstart")
    facts = data_facts(job.data)
    space = build_space(job, facts)
    assert space.inputs[0].shape == (facts["channels"], facts["image_size"], facts["image_size"]) == (1, 8, 8)
    outputs = space.subnet(space.smallest())(*space.example(batch=2))
    assert outputs.shape == (2, facts["classes"]) == (2, 10)
    wide = replace(job, space=replace(job.space, name="ofa_mobilenet_v3", options={"resolutions": [8, 16]}))
    assert build_space(wide, facts).inputs[0].shape == (1, 16, 16)


def test_every_listed_name_can_be_imported() -> None:
    for kind, table in KINDS.items():
        assert all(callable(resolve(kind, name)) for name in table)
        with pytest.raises(ValueError, match="allowed: "):
            resolve(kind, "nothing")


def test_recipes_say_command_cost_and_result() -> None:
    for name, path in recipes().items():
        header = path.read_text().partition("\nname:")[0]
        assert f"nas run {name}" in header
        assert all(word in header for word in ("command", "cost", "result"))


# ---- the folder -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def job() -> Job:
    return load_job("quickstart")


def refused(job: Job, folder: Path) -> list[str]:
    with pytest.raises(InvalidJob) as caught:
        prepare_folder(job, folder)
    return caught.value.mistakes


def test_the_same_job_resumes_and_keeps_its_identity(job: Job, tmp_path: Path) -> None:
    folder = prepare_folder(job, tmp_path / "new" / "job")
    saved = json.loads((folder / "job.json").read_text())
    assert saved.keys() == {"job", "id", "created", "espalier", "environment"}
    assert {"python", "torch", "numpy", "platform", "cpu", "device", "git_commit"} <= saved["environment"].keys()
    assert prepare_folder(load_job(folder), folder) == folder
    assert json.loads((folder / "job.json").read_text()) == saved


def test_another_job_in_the_folder_is_refused_with_the_differences(job: Job, tmp_path: Path) -> None:
    folder = prepare_folder(job, tmp_path)
    other = replace(job, seed=7, train=replace(job.train, epochs=99.0))
    first, *fields = refused(other, folder)
    assert "another job" in first
    assert f"nas run {folder}" in first
    assert [line.partition(":")[0] for line in fields] == ["seed", "train.epochs"]
    assert "99.0 now" in fields[1]


def test_default_folders_never_collide(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = {prepare_folder(job) for _ in range(3)}
    assert len(folders) == 3
    assert all(folder.parts[0] == "runs" and folder.name.startswith("quickstart-") for folder in folders)


def test_folders_that_cannot_be_used_are_refused(job: Job, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is a file" in refused(job, tmp_path / "file")[0]
    assert "cannot write in" in refused(job, tmp_path / "file" / "below")[0]
    assert "other files in it (file)" in refused(job, tmp_path)[0]


@pytest.mark.parametrize("content", ["", '{"job": {"name', "[]", '{"id": 1}'])
def test_a_damaged_job_file_is_refused_clearly(job: Job, tmp_path: Path, content: str) -> None:
    (tmp_path / "job.json").write_text(content)
    (line,) = refused(job, tmp_path)
    assert "job.json: damaged" in line
    assert "put a copy back" in line


def test_a_start_that_was_killed_at_once_is_taken_up(job: Job, tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / ".job.json.123").write_text("{")
    assert prepare_folder(job, tmp_path) == tmp_path


def _hold(folder: Path, held: "multiprocessing.synchronize.Event", end: "multiprocessing.synchronize.Event") -> None:
    with locked(folder):
        held.set()
        end.wait(500)


@pytest.mark.integration
def test_two_processes_never_work_in_one_folder(job: Job, tmp_path: Path) -> None:
    folder = prepare_folder(job, tmp_path)
    context = multiprocessing.get_context("fork")
    held, end = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(folder, held, end))
    other.start()
    assert held.wait(500)
    (line,) = refused(job, folder)
    end.set()
    other.join(500)
    assert f"process {other.pid} is running this job" in line
    assert prepare_folder(job, folder) == folder


def test_a_supernet_is_searched_only_by_jobs_of_its_space(job: Job, tmp_path: Path) -> None:
    folder = prepare_folder(job, tmp_path)
    with pytest.raises(InvalidJob, match="no trained supernet"):
        check_supernet(job, folder)
    (folder / "supernet.safetensors").touch()
    check_supernet(replace(job, seed=5, search=replace(job.search, evaluations=3)), folder)
    other = replace(job, space=replace(job.space, options={"kernels": [3]}))
    with pytest.raises(InvalidJob, match=r"space\.options\.\w+"):
        check_supernet(other, folder)


def test_differences_reach_into_nested_fields() -> None:
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": None, "d": 3}}) == [
        "a.c: 2 there, null now",
        "a.d: null there, 3 now",
    ]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}


def test_a_folder_of_an_earlier_version_goes_on_where_only_new_fields_are_missing(tmp_path):
    job = job_of({"name": "kept", "space": {"name": "small_mobilenet_v3", "options": {"depths": [1, 2]}}})
    folder = prepare_folder(job, tmp_path / "job")
    content = json.loads((folder / "job.json").read_text())
    del content["job"]["search"]["searcher_options"], content["job"]["proxies"]
    (folder / "job.json").write_text(json.dumps(content))
    assert prepare_folder(job, folder) == folder
    del content["job"]["space"]["options"]["depths"]
    (folder / "job.json").write_text(json.dumps(content))
    with pytest.raises(InvalidJob, match=r"space.options.depths: null there, \[1, 2\] now"):
        prepare_folder(job, folder)


def test_quality_is_the_metric_of_the_task_and_its_limits_are_those_of_the_metric() -> None:
    assert load_job("quickstart", ["search.objectives=[quality, macs]", "search.constraints.quality=>= 60"])
    (line,) = mistakes_of("quickstart", "search.objectives=[quality, macs]", "search.constraints.quality=>= 101")
    assert line == "search.constraints.quality: '>= 101' is impossible; quality is from 0 to 100 %"
    (line,) = mistakes_of("quickstart", "search.constraints.latency_ms=<= 0")
    assert line.endswith("is impossible; latency_ms is more than 0 ms")


def test_a_job_names_its_task_or_takes_that_of_the_data() -> None:
    job = load_job("quickstart")
    assert job.task.name is None
    assert build_task(job) == build_task(load_job("quickstart", ["task.name=classification"]))
    assert build_task(job).classes == 10
    (line,) = mistakes_of("quickstart", "task.name=clasification")
    assert line.startswith("task.name: unknown task 'clasification'; did you mean classification?")
    (line,) = mistakes_of("quickstart", "task.options.classes=7")
    assert line == "task.options.classes: 7 does not fit the data, which has 10; leave it out"
    (line,) = mistakes_of("quickstart", "task.options.clases=7")
    assert line.startswith("task.options.clases: classification has no such option (got 7); did you mean classes?")


def test_a_job_weighs_its_classes_and_is_judged_by_balanced_accuracy() -> None:
    sets = ["task.options={metric: balanced_accuracy, class_weights: balanced}", "train.examples=balanced"]
    sets += ["search.objectives=[quality, macs]", "search.constraints.balanced_accuracy=>= 40"]
    job = load_job("quickstart", sets)
    task = build_task(job)
    assert task.metric.name == "balanced_accuracy"
    counts = data_facts(job.data)["class_counts"]
    assert task.class_weights == pytest.approx([sum(counts) / (10 * count) for count in counts])


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("task.options.class_weights=[1, 2]", ["task.options.class_weights", "each of the 10 classes", "[1, 2]"]),
        ("task.options.class_weights=even", ["task.options.class_weights", "balanced or a list of numbers", "'even'"]),
        ("task.options.metric=recall", ["task.options.metric", "accuracy, balanced_accuracy", "'recall'"]),
        ("train.examples=even", ["train.examples", "uniform, balanced, importance", "'even'"]),
    ],
)
def test_ways_to_balance_that_are_none_are_refused(setting: str, parts: list[str]) -> None:
    (line,) = mistakes_of("quickstart", setting)
    assert all(part in line for part in parts), line


def test_balance_needs_classes() -> None:
    source = Path(__file__).parents[2] / "plugin" / "job.yaml"
    (line,) = mistakes_of(source, "train.examples=balanced")
    assert "train.examples: balanced needs a task whose examples have classes" in line


def test_objectives_of_the_catalogue_say_what_their_classes_say() -> None:
    for name, entry in OBJECTIVES.items():
        made = resolve("objective", name)
        returned = made if inspect.isclass(made) else get_type_hints(made)["return"]
        kinds = get_args(returned) or (returned,)  # the first of several is what the catalogue speaks of
        assert {entry.role} == {kind.role for kind in kinds}, name
        assert entry.source == kinds[0].source, name


def test_a_job_of_an_earlier_version_keeps_its_meaning(tmp_path):
    written = tmp_path / "earlier.yaml"
    written.write_text("name: a\nspace: {name: small_mobilenet_v3}\nsearch: {calibration_images: 77}\n")
    assert load_job(written).search.calibration_examples == 77


@pytest.mark.parametrize(
    ("name", "text"), [("J.YAML", "name: mine"), ("j.Yml", "name: mine"), ("J.JSON", '{"name": "mine"}')]
)
def test_job_files_in_capitals_and_with_a_byte_order_mark_are_read(tmp_path, name, text):
    space = (
        ', "space": {"name": "small_mobilenet_v3"}}' if text.endswith("}") else "\nspace: {name: small_mobilenet_v3}\n"
    )
    (tmp_path / name).write_text("\ufeff" + text.removesuffix("}") + space)
    assert load_job(tmp_path / name).name == "mine"
