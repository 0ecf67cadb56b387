"""The first job as a file for people: every line says why it is there."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from service.starting.first_job import FirstJob

_WIDTH = 44


class _Line(NamedTuple):
    depth: int
    key: str
    value: Any
    why: str


def yaml_text(first: FirstJob, file: str) -> str:
    """Return the job as YAML with a comment on every line.

    Args:
        first: The job, with the facts behind its choices.
        file: Name of the file, for the commands on top.
    """
    head = [
        f"# {first.job.name}: {_data_words(first)}",
        "#",
        f"#   command   nas run {file}",
        f"#   cost      {_minutes(first)}",
        f"#   measured  {_speed_words(first)}",
        "#",
        "# What a field means and what it may be: nas show FIELD, such as nas show train.epochs",
        "",
    ]
    return "\n".join([*head, *(_written(line) for line in _lines(first))]) + "\n"


def summary_lines(first: FirstJob, file: str, output: str) -> list[str]:
    """Return what a person reads after the file was written, and what to type next."""
    left_out = [f"left out   {_left_out_words(first)}"] if first.left_out else []
    return [
        f"wrote      {file}: {first.space.about}",
        f"data       {_data_words(first)}",
        *left_out,
        f"measured   {_speed_words(first)}",
        f"predicted  {_minutes(first)}",
        f"next       nas run {file} --output {output}",
    ]


def _data_words(first: FirstJob) -> str:
    facts, sizes = first.facts, first.sizes
    split = f"{sizes['train']:,} to train, {sizes['validation']:,} to search, {sizes['test']:,} to test"
    colour = "grey" if facts["channels"] == 1 else "colour"
    return f"{facts['classes']} classes, {facts['image_size']} x {facts['image_size']} {colour} pixels, {split}"


def _left_out_words(first: FirstJob) -> str:
    count = len(first.left_out)
    more = f", and {count - 1} more; all of them: nas check {first.wish.data}" if count > 1 else ""
    return f"{first.left_out[0]}{more}"


def _speed_words(first: FirstJob) -> str:
    speed, (smallest, largest) = first.speed, first.latencies
    evaluation = speed.quality_s + speed.latency_s
    networks = f"networks take {smallest.value:.3g} to {largest.value:.3g} ms an image here"
    return f"{speed.step_s:.2g} s a training step, {evaluation:.2g} s an evaluation; {networks}"


def _minutes(first: FirstJob) -> str:
    shares = first.shares
    parts = f"training {_min(shares.train_s)}, search {_min(shares.search_s)}, all else {_min(shares.rest_s)}"
    return f"{_min(shares.total_s)} min of {_min(first.wish.budget_s)} ({parts})"


def _min(seconds: float) -> str:
    return f"{seconds / 60:.1f}".removesuffix(".0")


def _lines(first: FirstJob) -> Iterator[_Line | None]:
    job, shares = first.job, first.shares
    yield _Line(0, "name", job.name, "the folder in runs/ and the run in MLflow are called so")
    yield _Line(0, "seed", job.seed, "the same seed gives the same job")
    yield _Line(0, "device", job.device, "auto takes a CUDA device where there is one")
    yield None
    yield from _data_lines(first)
    yield None
    yield from _space_lines(first)
    yield None
    yield _Line(0, "train", None, "one training holds all networks of the space")
    if job.train.schedule == "adapted":
        yield _Line(1, "schedule", "adapted", "the whole network first; then it teaches the others")
        yield _Line(1, "adapt", None, "the training of the whole network")
        yield _Line(2, "share", job.train.adapt.share, "its part of the epochs")
        yield _Line(2, "lr", job.train.adapt.lr, "its peak learning rate: low, to keep the given weights")
        yield _Line(1, "weight_decay", job.train.weight_decay, "as weights are usually fine-tuned")
    yield _Line(1, "sampler", job.train.sampler, "the largest network teaches the smallest and random ones")
    yield _Line(1, "subnets_per_step", job.train.subnets_per_step, "the largest, the smallest, a random one")
    yield _Line(1, "epochs", shares.epochs, f"passes over the data that fit into {_min(shares.train_s)} min here")
    yield _Line(1, "batch_size", job.train.batch_size, f"for {first.sizes['train']:,} training images")
    yield _Line(1, "lr", job.train.lr, "peak learning rate, in proportion to the batch")
    yield None
    yield _Line(0, "search", None, "evaluates networks of the trained supernet")
    yield _Line(1, "searcher", job.search.searcher, "evolves a Pareto front; others: nas list searcher")
    yield _Line(1, "evaluations", shares.evaluations, f"networks that fit into {_min(shares.search_s)} min here")
    yield _Line(1, "population", job.search.population, "networks of one generation")
    yield _Line(1, "objectives", job.search.objectives, "what is traded off")
    if job.search.constraints:
        yield _Line(1, "constraints", None, "hard limits")
        for name, limit in job.search.constraints.items():
            yield _Line(2, name, limit, f"ms of one image; {_range_words(first)}")
    yield _Line(1, "calibration_examples", job.search.calibration_examples, "images that set each batch norm")
    yield None
    yield _Line(0, "latency", None, "how latency is measured")
    yield _Line(1, "backend", job.latency.backend, "what runs the networks; others: nas list backend")
    yield _Line(1, "batch_size", job.latency.batch_size, "images of one forward pass")
    yield _Line(1, "threads", job.latency.threads, "processor threads of one forward pass")


def _range_words(first: FirstJob) -> str:
    smallest, largest = (one.value for one in first.latencies)
    return f"the space has networks of {smallest:.3g} to {largest:.3g} ms"


def _data_lines(first: FirstJob) -> Iterator[_Line]:
    data = first.job.data
    yield _Line(0, "data", None, "what is learned from")
    yield _Line(
        1, "source", data.source, {"folder": "one folder of images for each class"}.get(data.source, "its kind")
    )
    for name in ("path", "dataset"):
        if (value := getattr(data, name)) is not None:
            yield _Line(1, name, value, "where the images are")
    if first.left_out:
        count = len(first.left_out)
        yield _Line(1, "on_error", data.on_error, f"{count} of the images cannot be decoded; refuse names them")
    model = str(first.space.options.get("model", ":"))  # a model of one's own, with a colon, does not say its size
    found = "found in the data" if ":" in model else "as the weights were trained"
    why = "as asked for" if first.wish.size else f"{found}; larger is slower: --size"
    yield _Line(1, "image_size", first.facts["image_size"], f"side of the square images in pixels, {why}")
    yield _Line(1, "validation_fraction", data.validation_fraction, "held out for the search, where there is no folder")
    yield _Line(1, "test_fraction", data.test_fraction, "held out for the report, where there is no folder")


def _space_lines(first: FirstJob) -> Iterator[_Line]:
    why = {
        "stem_stride": "2 halves the images at once: four times cheaper",
        "stem_width": "channels of the first layer",
        "first_width": "channels of the first block",
        "stage_widths": "channels of each stage",
        "strides": "by how much each stage makes the images smaller",
        "depths": "the search chooses: blocks of a stage",
        "kernels": "the search chooses: sizes of depthwise kernels",
        "expands": "the search chooses: how much wider a block is inside",
        "last_width": "channels before the images are averaged",
        "feature_width": "channels before the classes",
        "width": "how wide the published network is made",
        "model": "the largest network; the others are parts of it",
        "pretrained": "begin with the weights of timm; a file instead: checkpoint",
        "checkpoint": "file of the weights that the training begins with",
    }
    given = first.space.options.get("model")
    yield _Line(0, "space", None, "which networks there are")
    yield _Line(1, "name", first.space.name, first.space.about)
    yield _Line(1, "options", None, "see: nas show " + first.space.name + (f":{given}" if given else ""))
    for name, value in first.space.options.items():
        yield _Line(2, name, value, why[name])


def _written(line: _Line | None) -> str:
    if line is None:
        return ""
    value = "" if line.value is None else f" {_as_yaml(line.value)}"
    return f"{'  ' * line.depth}{line.key}:{value}".ljust(_WIDTH) + f" # {line.why}"


def _as_yaml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_as_yaml(one) for one in value)}]"
    if isinstance(value, float):
        return f"{value:g}"
    if (
        isinstance(value, str)
        and not value.replace("_", "").replace("/", "").replace(".", "").replace("-", "").isalnum()
    ):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
