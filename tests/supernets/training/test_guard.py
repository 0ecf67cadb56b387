"""The divergence guard, by losses that are written down."""

import pytest
import torch

from supernets import LoopConfig, Run, Step, Stretch, train_steps
from supernets.training.loop import CHECK_EVERY
from tests.supernets.helpers import Rows


class Scripted(Step):
    """Has these losses, one for each look at the loss; the second time a look comes round it is the one before.

    After the epoch `changes_after` the network is another one.
    """

    device = torch.device("cpu")

    def __init__(self, losses, changes_after=None):
        self.losses, self.seen, self.changes_after = losses, set(), changes_after

    def end_epoch(self, epoch, progress):
        return {"event": "change", "network_changed": True} if epoch == self.changes_after else {}

    def __call__(self, batch, moment):
        look = moment.step // CHECK_EVERY
        again = moment.step in self.seen
        self.seen.add(moment.step)
        return torch.tensor(self.losses[look - 1] if again else self.losses[look])

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def rolled_back(losses, changes_after=None, **run) -> list[int]:
    """The steps that a training with these losses goes back to."""
    events = []
    schedule = [Stretch(name="s", epochs=len(losses), lr=0.1, warmup_fraction=0.0)]
    data = Rows(torch.zeros(2 * CHECK_EVERY))
    train_steps(
        Scripted(losses, changes_after), schedule, data, LoopConfig(batch_size=2), Run(observer=events.append, **run)
    )
    return [event["step"] // CHECK_EVERY for event in events if event["event"] == "rollback"]


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e6])
def test_what_counts_as_divergence_follows_the_scale_of_the_first_losses(scale):
    falling = [100.0, 100.0, *[10.0] * 60]
    tolerated, diverged = [*falling, 60.0, 10.0], [*falling, 75.0, 10.0]
    assert rolled_back([scale * loss for loss in tolerated]) == []
    assert rolled_back([scale * loss for loss in diverged]) == [62]


def test_losses_below_zero_are_guarded_too():
    assert rolled_back([-100.0, *[-110.0] * 10, 40.0, -110.0]) == []
    assert rolled_back([-100.0, *[-110.0] * 10, 60.0, -110.0]) == [11]


def test_a_training_that_goes_on_from_trained_weights_is_told_the_scale():
    losses = [0.02, *[0.02] * 5, 0.3, 0.02]
    assert rolled_back(losses) == [6]
    assert rolled_back(losses, first_loss=2.3) == []


def test_a_loss_that_is_no_number_is_rolled_back():
    assert rolled_back([1.0, 1.0, float("inf"), 1.0]) == [2]


def test_a_network_that_has_changed_is_judged_by_its_own_losses():
    before = [1.0, *[0.1] * 40]
    assert rolled_back([*before, 3.0, 0.1]) == [41]
    assert rolled_back([*before, 3.0, 0.1], changes_after=40) == []
    assert rolled_back([*before, 3.0, 2.0, 20.0, 1.0], changes_after=40) == [43]
