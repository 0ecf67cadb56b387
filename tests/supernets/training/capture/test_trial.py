"""The trial at the start of a training, with a clock that tests move."""

from itertools import count

import pytest
import torch
from torch import nn

from search_spaces.errors import FieldError
from supernets import TrainConfig
from supernets.training.capture.capturing import Capturing, capturing
from tests.supernets.training.capture.stand_in import StandIn


class Clock:
    """Seconds that tests add to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def trained(plain_s: float, captured_s: float) -> tuple[Capturing, list[str], StandIn, int]:
    """Run steps that take so long until the trial is over; return what decided, what it said, and the steps."""
    clock, recorder, said = Clock(), StandIn(), list[str]()
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    tell = lambda event: said.append(event["message"])  # noqa: E731
    found = Capturing(network, recorder, budget=2**30, tried=True, tell=tell, clock=clock)
    for steps in count(1):
        with found.step():
            before = found.captures.replayed
            found.output(network, (torch.ones(2, 1, 2, 2),)).sum().backward()
            clock.now += captured_s if found.captures.replayed > before else plain_s
        if found.trial.verdict is not None:
            return found, said, recorder, steps
    raise AssertionError


def test_capture_stays_on_where_steps_become_faster() -> None:
    found, said, recorder, steps = trained(0.010, 0.004)
    assert found.trial.verdict
    assert len(found.captures) == 1
    assert said == ["capture on: a step takes 4.00 ms with it and 10.00 ms without; 1 passes, 0.00 GiB"]
    assert recorder.waited == 2 * 40, "the host waits in timed steps only"
    assert steps < 80


def test_capture_goes_off_where_they_do_not_and_gives_its_memory_back() -> None:
    found, said, recorder, _ = trained(0.010, 0.0098)
    assert found.trial.verdict is False
    assert len(found.captures) == 0
    assert recorder.held_bytes() == 0
    assert said == ["capture off: a step takes 9.80 ms with it and 10.00 ms without"]


def test_nothing_is_tried_where_nothing_can_be_captured() -> None:
    said: list[str] = []
    found = Capturing(
        nn.Linear(2, 2), StandIn(), budget=2**30, tried=True, tell=lambda event: said.append(event["message"])
    )
    assert found.trial.verdict is False
    assert said == ["capture off: the network has no part with few settings"]


def test_nothing_is_captured_on_a_cpu() -> None:
    assert capturing(nn.Linear(2, 2), TrainConfig(capture="on"), lambda event: None) is None


@pytest.mark.parametrize(
    ("field", "value", "allowed"), [("capture", "yes", "auto, on or off"), ("capture_gb", 0, "more than 0")]
)
def test_settings_are_checked(field: str, value: object, allowed: str) -> None:
    with pytest.raises(FieldError, match=allowed):
        TrainConfig(**{field: value})  # type: ignore[arg-type]
