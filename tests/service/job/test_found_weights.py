"""What the weights of a space ask of its job before anything runs."""

from dataclasses import replace
from typing import Any

import pytest

from search_spaces import Space
from service.errors import InvalidJob
from service.job.building import build_space
from service.job.found_weights import weights_line, with_wanted_data
from service.job.job import Job
from service.job.loading import load_job
from service.job.validation import check_fields

PRETRAINED = {"name": "timm", "options": {"model": "resnet18", "pretrained": True}}


def job(space: dict[str, Any], **sections: Any) -> Job:
    made = check_fields(Job, {"name": "job", "space": space, **sections}, {}).tree
    assert made is not None
    return made


def test_weights_ask_for_the_images_that_they_were_trained_with_where_a_job_leaves_that_open() -> None:
    wanted = with_wanted_data(job(PRETRAINED))
    assert (wanted.data.image_size, wanted.data.mean, wanted.data.std) == (
        224,
        [0.485, 0.456, 0.406],
        [0.229, 0.224, 0.225],
    )
    assert with_wanted_data(wanted) is wanted, "a job that is read again stays as it is"


def test_what_a_job_says_of_its_images_stays() -> None:
    said = job(PRETRAINED, data={"image_size": 64, "mean": [0.5], "std": [0.5]})
    assert with_wanted_data(said) is said
    smaller = {**PRETRAINED, "options": {**PRETRAINED["options"], "resolutions": [64, 96]}}
    assert with_wanted_data(job(smaller)).data.image_size == 96


@pytest.mark.parametrize(
    "space", [{"name": "small_mobilenet_v3"}, {"name": "timm", "options": {"model": "resnet18"}}, {"name": "nope"}]
)
def test_spaces_without_given_weights_ask_for_nothing(space: dict[str, Any]) -> None:
    assert with_wanted_data(own := job(space)) is own


class _Gone:
    def __call__(self, network: object) -> None:
        raise ValueError("they are gone")

    def check(self) -> None:
        raise ValueError("they are gone")

    def describe(self) -> str:
        return "some"


def test_weights_are_looked_for_unless_a_training_goes_on(tmp_path) -> None:
    space = build_space(load_job("quickstart"))
    assert weights_line(space) == ""
    given: Space = replace(space, weights=_Gone())
    with pytest.raises(InvalidJob, match="space: they are gone"):
        weights_line(given, tmp_path / "train")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "checkpoint.pt").write_bytes(b"")
    assert weights_line(given, tmp_path / "train") == "weights: some"
