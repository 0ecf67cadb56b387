"""Weights that a space was given are taken once: when the training of its supernet begins."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from search_spaces.errors import FieldError
from service.errors import InvalidJob
from service.job.building import build_space
from service.job.job import Job
from service.job.loading import load_job
from service.run.context import JobContext
from service.run.events import Events
from service.run.stages.outputs import SUPERNET
from service.run.stages.train import Train
from supernets import Processes

TINY = [
    *("train.epochs=0.2", "train.lr=1e-9", "train.lr_end=0", "tracking.enabled=false"),
    *("space.options.stage_widths=[8, 16]", "space.options.strides=[1, 2]"),
]


class Halves:
    """Given weights that are one half everywhere; counts how often they are taken."""

    taken = 0

    def __call__(self, network: nn.Module) -> None:
        self.taken += 1
        for parameter in network.parameters():
            nn.init.constant_(parameter, 0.5)


def context(folder: Path, job: Job, weights) -> JobContext:
    events = Events(folder, job, lambda event: None, Processes())
    made = JobContext(folder, job, torch.device("cpu"), events, events.processes)
    made.space = replace(made.space, weights=weights)
    return made


def test_given_weights_are_taken_once_and_stay_where_a_training_goes_on(tmp_path):
    job, given = load_job("quickstart", TINY), Halves()
    first = context(tmp_path, job, given)
    Train().run(first)
    assert given.taken == 1
    assert torch.allclose(next(first.supernet.parameters()), torch.tensor(0.5), atol=1e-3)
    (tmp_path / SUPERNET).unlink()
    again = context(tmp_path, job, given)  # as after a kill: the checkpoint is there, the result is not
    Train().run(again)
    assert given.taken == 1
    assert torch.equal(next(again.supernet.parameters()), next(first.supernet.parameters()))


def test_weights_that_cannot_be_had_are_one_line_about_the_option(tmp_path):
    def missing(network: nn.Module) -> None:
        raise FieldError("checkpoint", "must be a file of weights, got 'none.pth'")

    with pytest.raises(InvalidJob) as caught:
        Train().run(context(tmp_path, load_job("quickstart", TINY), missing))
    assert caught.value.mistakes == ["space.options.checkpoint: must be a file of weights, got 'none.pth'"]


def test_parts_of_a_space_keep_its_weights():
    given = Halves()
    whole = replace(build_space(load_job("quickstart", TINY)), weights=given)
    name = whole.decisions[0].name
    assert whole.restrict({name: whole.decisions[0].choices[:1]}).weights is given
