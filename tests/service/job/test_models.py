"""Models that the space `timm` reads: by name, or made by a function of the user's own; what is refused and how."""

from typing import Any

import pytest
import torch
from torch import nn

from search_spaces import FieldError, Space
from search_spaces.traced_spaces import reading
from service.errors import InvalidJob
from service.job.job import Job
from service.job.loading import job_of

NETWORKS = "tests.search_spaces.traced_spaces.networks"
BASE = {"name": "a", "data": {"source": "noise", "image_size": 32}}


def job_with(model: str, **options: Any) -> Job:
    return job_of({**BASE, "space": {"name": "timm", "options": {"model": model, **options}}})


def mistakes_of(model: str, **options: Any) -> list[str]:
    with pytest.raises(InvalidJob) as error:
        job_with(model, **options)
    return error.value.mistakes


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("", "must name a model of timm, such as resnet18, or package.module:function"),
        ("resnet19", "must be a name of timm or package.module:function, got 'resnet19'; did you mean resnet18, "),
        ("resnet18.mine", "has no weights 'mine' of resnet18; there are resnet18.a1_in1k, "),
        (f"{NETWORKS}:pyramid", "gives 2 tensors; a classifier gives [B, 10], one number for each class"),
        (f"{NETWORKS}:text", "returned str, not a torch.nn.Module"),
        (f"{NETWORKS}:broken", "failed: KeyError: 'weights'"),
        (f"{NETWORKS}:needs_depth", "needs a value for depth; offered are classes, channels, image_size"),
        (f"{NETWORKS}:gone", "has no 'gone'"),
        (f"{NETWORKS}:fixed", "Fixed has nothing that can be left out"),
        (f"{NETWORKS}:flipped", "the operation flip depends on order here: point.weight (dimension 0: 16), "),
        (f"{NETWORKS}:flat", "does not run on images of 32 pixels ("),
        (f"{NETWORKS}:flat", "nor on any other usual size"),
    ],
)
def test_a_model_that_cannot_be_read_is_refused_in_one_line(model: str, said: str) -> None:
    (line,) = mistakes_of(model)
    assert said.replace("Fixed has", f"{model} has") in line
    assert line.startswith("space.options.model: ")


@pytest.mark.parametrize("model", ["resnet19", f"{NETWORKS}:broken", f"{NETWORKS}:text", f"{NETWORKS}:gone"])
def test_sizes_of_images_are_not_blamed_where_there_is_no_network(model: str) -> None:
    assert "pixels" not in mistakes_of(model)[0]


def test_a_network_that_cannot_be_exported_is_refused_with_its_own_line(capfd: pytest.CaptureFixture[str]) -> None:
    (line,) = mistakes_of(f"{NETWORKS}:branching")
    assert "depends on the values of its input (line " in line
    assert line.endswith(" of networks.py)")
    assert capfd.readouterr() == ("", "")  # the exporter prints graphs and advice for its own developers


def test_sizes_that_fit_are_named() -> None:
    (line,) = mistakes_of(f"{NETWORKS}:from_48_pixels")
    assert line.endswith("sizes that fit: 48, 64")


def test_a_function_is_called_with_what_its_signature_names() -> None:
    job = job_with(f"{NETWORKS}:small")
    assert job.space.options == {"model": f"{NETWORKS}:small"}


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("widths", [0.5], "space.options.widths: must be fractions from more than 0, up to 1, with 1 among them"),
        ("call_own", "x", "space.options.call_own: timm has no such option"),
        ("divisor", "eight", "space.options.divisor: must be a whole number, got 'eight'"),
    ],
)
def test_options_of_a_model_are_refused_in_one_line(option: str, value: object, said: str) -> None:
    (line,) = mistakes_of(f"{NETWORKS}:small", **{option: value})
    assert line.startswith(said)


def test_a_function_is_not_found_without_a_job() -> None:
    from search_spaces.families.timm_elastic import timm

    with pytest.raises(FieldError, match=r"must be a name of timm outside a job, got .+; see Space.from_module"):
        timm(model=f"{NETWORKS}:small")


class Shuffled(nn.Module):
    """Two layers, to be traced wrongly."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


def test_a_model_whose_groups_are_not_proven_is_refused_with_the_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*given: Any, **options: Any) -> Any:
        from dataclasses import replace

        from search_spaces.tracing import trace

        traced = trace(*given, **options)
        return replace(traced, tensors={**traced.tensors, "second.weight": (None, None)})

    monkeypatch.setattr(reading, "trace", wrong)
    said = r"Shuffled cannot be made elastic: linear_1 \(aten.linear.default\) in second changes where the channels"
    with pytest.raises(FieldError, match=said):
        Space.from_module(Shuffled(), torch.zeros(2, 8))
