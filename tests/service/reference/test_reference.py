"""Fields and names are explained from the docstrings of the code, in the terminal, to editors and in the guide."""

import ast
import json
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from service import catalogue
from service.cli import app
from service.job.files import parse_yaml
from service.job.job import Job, to_dict
from service.job.loading import load_job
from service.job.validation import field_paths
from service.reference.docstrings import definition, parsed
from service.reference.field_reference import field_reference
from service.reference.job_fields import NAMES, job_fields
from service.reference.job_schema import job_schema

KINDS = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}
KINDS |= {"array": list, "object": dict}


def shown(*arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, ["show", *arguments], env={"COLUMNS": "140"})
    assert done.exit_code == status, done.output
    return done.stdout if status == 0 else done.stderr


def mistakes(value: Any, schema: dict[str, Any], root: dict[str, Any], place: str = "job") -> list[str]:
    """What a validator of JSON Schema finds, as far as the schema of jobs goes."""
    if "$ref" in schema:
        return mistakes(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, place)
    if "anyOf" in schema:
        found = [mistakes(value, one, root, place) for one in schema["anyOf"]]
        return min(found, key=len)
    if "enum" in schema or "const" in schema:
        allowed = schema.get("enum", [schema.get("const")])
        return [] if value in allowed else [f"{place}: {value!r} is not one of {allowed}"]
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, KINDS[kind]) or (kind != "boolean" and isinstance(value, bool))):
        return [f"{place}: {value!r} is no {kind}"]
    if kind == "array":
        return [line for one in value for line in mistakes(one, schema.get("items", {}), root, f"{place}[]")]
    if kind != "object":
        return []
    found = [f"{place}.{name}: missing" for name in schema.get("required", []) if name not in value]
    for name, inside in value.items():
        below = schema.get("properties", {}).get(name, schema.get("additionalProperties", True))
        if below is False:
            found.append(f"{place}.{name}: unknown")
        elif isinstance(below, dict):
            found += mistakes(inside, below, root, f"{place}.{name}")
    return found


def test_every_field_is_described_and_its_default_is_that_of_the_job() -> None:
    assert [path for path, one in job_fields().items() if not one.about] == []
    defaults = to_dict(load_job("quickstart")) | {"seed": 0}
    assert {path for path, one in job_fields().items() if one.inside is None} <= {
        ".".join(path) for path, _ in field_paths(Job)
    }
    for path in ("train.lr", "search.hours", "latency.repeats", "seed"):
        value: Any = defaults
        for name in path.split("."):
            value = value[name]
        assert yaml.safe_load(job_fields()[path].default or "") == value
    assert set(NAMES) <= set(job_fields())


@pytest.mark.parametrize("recipe", catalogue.recipes())
def test_recipes_keep_the_schema(recipe: str) -> None:
    schema = job_schema()
    written = parse_yaml(catalogue.recipes()[recipe].read_text(), recipe)
    assert mistakes(written, schema, schema) == []
    if written["data"].get("path", "there") is not None:
        assert mistakes(to_dict(load_job(recipe)), schema, schema) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"trian": {}}, "job.trian: unknown"),
        ({"train": {"epoch": 3}}, "job.train.epoch: unknown"),
        ({"train": {"epochs": "many"}}, "is no number"),
        ({"train": {"optimizer": "lion"}}, "is not one of"),
        ({"search": {"constraints": {"macs": [3]}}}, "is no"),
        ({"name": None}, "is no string"),
    ],
)
def test_the_schema_finds_mistakes(change: dict[str, Any], told: str) -> None:
    schema = job_schema()
    job = {"name": "mine", "space": {"name": "small_mobilenet_v3"}}
    assert mistakes(job, schema, schema) == []
    assert any(told in line for line in mistakes(job | change, schema, schema))


def test_the_schema_describes_and_completes() -> None:
    schema = json.loads(shown("--schema"))
    train = schema["$defs"]["TrainConfig"]["properties"]
    assert train["sampler"]["examples"] == list(catalogue.SAMPLERS)
    assert "Peak learning rate" in train["lr"]["description"]
    assert "Args:" not in json.dumps(schema)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["data.image_size"],
            ["a whole number or null, default null", "Side of the square images", "--set data.image_size="],
        ),
        (["image_size"], ["data.image_size: a whole number"]),
        (["search.constraints"], ["a number alone", "--set search.constraints.NAME=VALUE"]),
        (["train"], ["checkpoint_every_s", "Peak learning rate", "nas show stage train"]),
        (["latency"], ["table", "repeats", "batch_size"]),
        (["latency.analytic"], ["bandwidth_gb_s"]),
        (["sampler"], ["path_adaptive", "sandwich"]),
        (["sampler", "path_adaptive"], ["PA&DA", "floor", "train.sampler_options", "supernets.samplers:PathAdaptive"]),
        (["path_adaptive"], ["PA&DA", "floor"]),
        (["stage", "train"], ["service.run.stages.train:Train"]),
        (["proxy", "az_nas"], ["four ranks"]),
        (["sampler", "tests.plugin.ends_and_middle:EndsAndMiddle"], ["middle"]),
    ],
)
def test_show_explains(arguments: list[str], parts: list[str]) -> None:
    text = " ".join(shown(*arguments).split()).lower()
    assert all(part.lower() in text for part in parts), text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train.epoch"], "did you mean train.epochs"),
        (["imagesize"], "did you mean data.image_size"),
        (["lattency"], "latency"),
        (["search.lr"], "did you mean train.lr"),
        (["sampler", "path_adaptve"], "did you mean path_adaptive?"),
        (["samplr", "fair"], "did you mean sampler?"),
        (["nothing-at-all"], "see nas list"),
        ([], "name one thing"),
        (["sampler", "no.such:thing"], "cannot be imported"),
    ],
)
def test_near_misses_are_helped(arguments: list[str], told: str) -> None:
    (line,) = shown(*arguments, status=2).splitlines()
    assert told in line


@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_what_is_listed_is_explained_from_its_source(kind: str) -> None:
    for entry in catalogue.KINDS[kind].values():
        found = definition(entry.target)
        assert found is not None, entry.target
        assert found.docstring.text, entry.target
        for argument in found.arguments:
            assert argument.default is None or ast.parse(argument.default)


def test_docstrings_are_read_in_parts() -> None:
    found = parsed(
        "Do it.\n\nMore of\nit.\n\nArgs:\n    a, b: Both\n        of them.\n    c: Third.\n\nRaises:\n    It: No.\n"
    )
    assert (found.summary, found.text) == ("Do it.", "Do it.\n\nMore of\nit.")
    assert found.arguments == {"a": "Both of them.", "b": "Both of them.", "c": "Third."}


def test_the_reference_of_the_guide_has_every_field() -> None:
    text = field_reference()
    for path, one in job_fields().items():
        if one.inside is None:
            assert f"| `{path.rpartition('.')[2]}` | " in text
        else:
            assert f"## `{path}`" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}
