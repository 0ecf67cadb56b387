"""Trainings that remove channels and weights."""

import copy
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.retraining import retrain
from search_spaces.elastic import masked_layers
from search_spaces.errors import FieldError
from search_spaces.families.hr_multibranch import hr_multibranch
from supernets import Metric, Supernet, Task, TicketConfig, TrainConfig, phases, take_ticket, train
from supernets.calibration import calibrate, require_calibrated
from supernets.estimate import Estimate
from supernets.tasks.classification import Classification
from supernets.training.relaxation_config import RelaxationConfig
from supernets.training.steps.step import Moment
from supernets.training.steps.tickets import TicketStep
from supernets.transforms.dead_channels import paths
from supernets.transforms.masks import counted, prune
from tests.killing import kill_after_progress
from tests.supernets.helpers import Images, Rows, tiny_mobilenet
from tests.supernets.transforms.test_tickets import TINY

SPACE = hr_multibranch(**TINY)
TICKETS = TicketConfig(
    sparsity=0.75,
    prune_interval=1,
    prune_step=0.25,
    rho=0.6,
    rho_epochs=1,
    removal_interval=2,
    threshold=0.9,
    least_macs=0,
)
"""Channels are dead soon: whatever is pulled a little below 1."""
CONFIG = TrainConfig(
    epochs=4, batch_size=16, lr=0.05, tickets=TICKETS, ema_decay=0.5, checkpoint_every_s=0, label_smoothing=0
)


def supernet(seed: int = 0, **options: Any) -> Supernet:
    torch.manual_seed(seed)
    return Supernet(hr_multibranch(**{**TINY, **options}))


def trained(config: TrainConfig = CONFIG, **more: Any) -> Supernet:
    network = supernet()
    return train(network, phases(SPACE, config), Images(n=48), config, **more)


def step_of(network: Supernet, config: TrainConfig = CONFIG, **more: Any) -> TicketStep:
    what: dict[str, Any] = {"supernet": network, "phases": phases(network.space, config), "config": config, **more}
    step = TicketStep(**{"task": Classification(), **what}, epoch_steps=3)
    step.begin_phase(0)
    return step


def same(one: Supernet, other: Supernet) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(name == known and torch.equal(tensor, kept) for (name, tensor), (known, kept) in pairs)


def moment(number: int, lr: float = 0.05) -> Moment:
    return Moment(step=number, epoch=0, batch=number, lr=lr, progress=0.0, generator=None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole() -> tuple[Supernet, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    return trained(observer=events.append), events


# ---- settings -------------------------------------------------------------------------------------------------------


def published(target: float) -> list[float]:
    config = TicketConfig(sparsity=target)
    found = [config.sparsity_after(epoch, 350) for epoch in range(1, 351)]
    assert [epoch for epoch, one in enumerate(found, start=1) if one is not None] == list(range(25, 351, 25))
    return [one for one in found if one is not None]


def test_the_published_ladder():
    rising = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert published(0.9) == rising + [0.9] * 5
    assert published(0.8) == rising[:8] + [0.8] * 6
    assert published(0.95) == [*rising, *[0.95] * 5]
    assert list(TicketConfig(sparsity=0.95).steps()) == [*rising, 0.95]


def test_prunings_can_begin_later():
    config = TicketConfig(sparsity=0.2, prune_interval=2, prune_from=0.5)
    assert [config.sparsity_after(epoch, 8) for epoch in range(1, 9)] == [None] * 5 + [0.1, None, 0.2]


def test_the_pull_rises_to_its_value_and_ends_with_the_search():
    config = TicketConfig(rho=0.4, rho_epochs=2, search_until=0.5)
    assert [config.pull(step, 2, 12) for step in (0, 1, 2, 4, 11)] == pytest.approx([0, 0.1, 0.2, 0.4, 0.4])
    assert config.pull(12, 2, 12) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sparsity": 1.0}, "sparsity must be from 0 to below 1, got 1.0"),
        ({"prune_interval": 0}, "prune_interval must be at least 1, got 0"),
        ({"search_until": 1.5}, "search_until must be from 0 to 1, got 1.5"),
        ({"fresh": True}, "fresh must be false without start, got True"),
    ],
)
def test_wrong_settings_are_refused(change, message):
    with pytest.raises(FieldError, match=message):
        replace(TICKETS, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampler": "fair"}, r"sampler must be uniform \(the default\) with train.tickets, got 'fair'"),
        ({"relaxation": RelaxationConfig()}, r"relaxation must be null .* with train.tickets, got a relaxation"),
        (
            {"tickets": TicketConfig(sparsity=0.8), "epochs": 40.0},
            "tickets.prune_interval must be at most 5, to reach sparsity 0.8 in 40 epochs by 8 prunings of 0.1, got 25",
        ),
        (
            {"tickets": TicketConfig(sparsity=0.8, prune_interval=1), "epochs": 5.0},
            "tickets.prune_step must be at least 0.16, to reach sparsity 0.8 in 5 epochs, got 0.1",
        ),
        (
            {"tickets": TicketConfig(prune_from=0.9), "epochs": 2.0},
            "tickets.prune_from must leave an epoch of 2 for prunings, got 0.9",
        ),
    ],
)
def test_what_cannot_be_reached_or_has_no_meaning_is_refused(change, message):
    with pytest.raises(FieldError, match=message):
        replace(CONFIG, **change)


def test_a_network_without_paths_is_refused():
    space = tiny_mobilenet()
    with pytest.raises(
        FieldError, match="tickets must be null: networks of small_mobilenet_v3 have no paths and masks to remove"
    ):
        train(Supernet(space), phases(space, CONFIG), Images(n=48), CONFIG)


# ---- one step -------------------------------------------------------------------------------------------------------


PLAIN = replace(CONFIG, lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0, clip_norm=None, ema_decay=None)


def without_dropout(network: Any) -> Any:
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


def test_the_pull_is_the_gradient_of_the_weighted_absolute_scales():
    one, other = without_dropout(supernet()), without_dropout(supernet())
    batch = next(Images(n=48).batches(16, epoch=0, seed=0))
    step = step_of(one, PLAIN)
    step(batch, moment(2))
    rho = 0.6 * 2 / 3  # it rises over the 3 steps of the first epoch
    optimizer = torch.optim.SGD(other.parameters(), lr=0.05)
    pulled = sum(step.penalties[p.decision] * p.scale.abs().sum() for p in paths(other, SPACE.largest()))
    (F.cross_entropy(other.train()(batch[0]), batch[1]) + rho * pulled).backward()
    optimizer.step()
    for name, parameter in other.named_parameters():
        torch.testing.assert_close(one.get_parameter(name), parameter, atol=1e-6, rtol=1e-5)


def smaller(config: TrainConfig = PLAIN) -> TicketStep:
    """A step whose network has lost some channels, one path as a whole, and half of its weights."""
    step = step_of(without_dropout(supernet()), config)
    with torch.no_grad():
        for number, path in enumerate(paths(step.supernet, SPACE.largest())):
            path.scale[torch.arange(path.channels) % 3 == number % 3] = 0.0005
            if path.decision == "stage1.row0.block1.k5":
                path.scale.zero_()
    step._fresh_average()
    step._remove(any_macs=True, average_only=False, reuse_mask=True)
    prune(step.supernet.network, 0.5)
    return step


def test_what_is_left_trains_as_a_network_of_its_own():
    step = smaller(replace(PLAIN, tickets=replace(TICKETS, rho=0.0)))
    alone = without_dropout(step.supernet.extract()).train()
    masks = {name: weight != 0 for name, weight in alone.named_parameters()}
    optimizer = torch.optim.SGD(alone.parameters(), lr=0.05)
    before = step._ticket.architecture
    for number, batch in enumerate(Images(n=48).batches(16, epoch=0, seed=0)):
        step(batch, moment(number))
        optimizer.zero_grad()
        F.cross_entropy(alone(batch[0]), batch[1]).backward()
        for name, weight in alone.named_parameters():
            assert weight.grad is not None
            if weight.dim() > 1:
                weight.grad *= masks[name]
        optimizer.step()
    step.supernet.activate(before)
    images = next(Images(n=48).batches(16, epoch=1, seed=0))[0]
    with torch.no_grad():
        torch.testing.assert_close(step.supernet.train()(images), alone(images), atol=1e-5, rtol=1e-4)
    space = step.supernet.space
    assert space.costs([before])["macs"][0] < space.costs([space.largest()])["macs"][0]


def test_momentum_and_average_move_with_their_channels():
    config = replace(CONFIG, optimizer="adamw", lr=0.01, tickets=replace(TICKETS, rho=0.0, threshold=1e-3))
    step = step_of(supernet(), config)
    for number, batch in enumerate(Images(n=48).batches(16, epoch=0, seed=0)):
        step(batch, moment(number))
    path = next(p for p in paths(step.supernet, SPACE.largest()) if p.decision == "stage2.further.k7")
    with torch.no_grad():
        path.scale[torch.tensor([0, 3, 4])] = 0.0
    assert step.average is not None
    averages = dict(zip(map(id, step.average.parameters), step.average.average))
    averages[id(path.scale)][torch.tensor([0, 3])] = 0.0  # the average keeps channel 4
    left = [1, 2, 4, 5, 6, 7]
    project: Any = path.branch.project
    kept = [t.index_select(1, torch.tensor(left)) for t in _following(step, project.weight, averages)]
    counts = step._remove(any_macs=True, average_only=False, reuse_mask=True)
    assert counts["removed_channels"] == 2
    assert step._ticket.architecture["stage2.further.k7"] == 6
    for tensor, expected in zip(_following(step, project.weight, averages), kept):
        assert torch.equal(tensor[:, :6], expected)
        assert not tensor[:, 6:].any()
    assert step._ticket.orders["stage2.further.k7"] == (1, 2, 4, 5, 6, 7, 0, 3)


def _following(step: TicketStep, weight: Tensor, averages: dict[int, Tensor]) -> list[Tensor]:
    state = step.optimizer.state[weight]
    return [weight.detach(), state["exp_avg"], state["exp_avg_sq"], averages[id(weight)]]


def test_few_macs_are_removed_only_at_the_end():
    step = step_of(supernet(), replace(CONFIG, tickets=replace(TICKETS, threshold=1e-3, least_macs=1e9)))
    with torch.no_grad():
        paths(step.supernet, SPACE.largest())[0].scale[0] = 0.0
    step._fresh_average()
    assert step._remove(any_macs=False, average_only=False, reuse_mask=True) == {"removed_channels": 0}
    assert step._remove(any_macs=True, average_only=False, reuse_mask=True)["removed_channels"] == 1


# ---- whole trainings ------------------------------------------------------------------------------------------------


def test_a_training_leaves_a_smaller_network_of_exactly_the_sparsity(whole):
    network, events = whole
    told = [event for event in events if event["event"] == "ticket"]
    assert [event["epoch"] for event in told] == [1, 2, 3, 4]
    assert [event["sparsity"] for event in told] == pytest.approx([0.25, 0.5, 0.75, 0.75], abs=1e-3)
    assert told[1]["removed_channels"] > 0
    assert told[-1]["final"] == 1
    assert [dict(one) for one in network.ticket.history] == [
        {name: value for name, value in event.items() if name in one}
        for one, event in zip(network.ticket.history, told)
    ]
    architecture = network.ticket.architecture
    network.activate(architecture)
    known = counted(network.network)
    assert known.masked == int(0.75 * known.total + 1e-6)
    costs = SPACE.costs([architecture, SPACE.largest()])
    assert costs["macs"][0] < costs["macs"][1]
    assert told[-1]["dense_macs"] == costs["macs"][0]
    assert told[-1]["dense_params"] == costs["params"][0]
    assert told[-1]["sparse_params"] == costs["params"][0] - known.masked
    assert told[-1]["sparse_macs"] < told[-1]["dense_macs"]
    zeros = sum(int((m.weight == 0).sum()) for m in network.extract().modules() if isinstance(m, nn.Conv2d | nn.Linear))
    assert zeros == known.masked


def test_the_largest_network_computes_what_is_left(whole):
    network = copy.deepcopy(whole[0]).eval()
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        network.activate(network.ticket.architecture)
        expected = network(images)
        network.activate(SPACE.largest())
        torch.testing.assert_close(network(images), expected, atol=1e-5, rtol=1e-5)


LONG: Any = Images(n=8 * 20)  # the loop looks, and keeps what it has, every 20 steps


def run(**more: Any) -> Supernet:
    network, config = supernet(), replace(CONFIG, batch_size=8)
    return train(network, phases(SPACE, config), LONG, config, **more)


@pytest.fixture(scope="module")
def straight() -> Supernet:
    return run()


@pytest.mark.parametrize("stop_at", [1, 2, 4])
def test_a_stopped_training_goes_on_to_the_same_weights_and_ticket(tmp_path, straight, stop_at):
    stopped: list[float] = []

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "ticket" and event["epoch"] == stop_at:
            stopped.append(event["epoch"])
        if event["event"] == "train" and stopped:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) if stop_at < 4 else nullcontext():
        run(folder=tmp_path, observer=stop)
    resumed = run(folder=tmp_path)
    assert stopped
    assert same(straight, resumed)
    assert straight.ticket == resumed.ticket
    assert straight.ticket is not None
    assert straight.ticket.architecture != SPACE.largest()


KILLED = replace(CONFIG, epochs=20, tickets=replace(TICKETS, prune_interval=6, removal_interval=5, rho=0.1))


def _killed(folder: str | None = None) -> Supernet:
    torch.set_num_threads(1)
    return trained(KILLED, folder=None if folder is None else Path(folder))


def _in_process(folder: str) -> None:
    _killed(folder)


@pytest.mark.integration
def test_a_killed_training_gives_the_same_weights_masks_and_ticket(tmp_path):
    """SIGKILL; bit for bit the weights of a run that was never killed."""
    for delay in (0.0, 0.3):
        kill_after_progress(_in_process, tmp_path, tmp_path / "checkpoint.pt", delay)
    resumed, never = _killed(str(tmp_path)), _killed()
    assert same(resumed, never)
    assert resumed.ticket == never.ticket
    assert resumed.ticket is not None
    assert sum(one.get("removed_channels", 0) for one in resumed.ticket.history) > 0


def test_masks_return_between_prunings_where_they_are_reset():
    seen: list[float] = []

    class Watched(Images):
        def batches(self, *args: Any, **more: Any) -> Any:
            for batch in super().batches(*args, **more):
                masks = [layer.mask.float() for _, layer in masked_layers(network)]
                seen.append(float(torch.cat([mask.flatten() for mask in masks]).mean()))
                yield batch

    network, config = supernet(), replace(CONFIG, tickets=replace(TICKETS, reset_mask=True, rho=0.0, threshold=0.0))
    train(network, phases(SPACE, config), Watched(n=48), config)
    assert set(seen) == {1.0}
    network.activate(network.ticket.architecture)
    assert counted(network.network).sparsity == pytest.approx(0.75, abs=1e-3)
    assert [one.get("reactivated_by_reset", 0) > 0 for one in network.ticket.history] == [True, True, True, False]


@pytest.mark.parametrize("reuse_mask", [True, False])
def test_a_removal_makes_connections_live_again_unless_masks_are_reused(reuse_mask):
    tickets = replace(
        TICKETS, reuse_mask=reuse_mask, sparsity=0.5, prune_step=0.5, prune_interval=2, removal_interval=3
    )
    events: list[dict[str, Any]] = []
    trained(replace(CONFIG, tickets=tickets), observer=events.append)
    pruned, removed, last = (event for event in events if event["event"] == "ticket")
    assert (pruned["epoch"], removed["epoch"], last["epoch"]) == (2, 3, 4)
    assert removed["removed_channels"] > 0
    assert (removed["reactivated_by_removal"] > 0) == (not reuse_mask)
    assert (removed["sparsity"] < 0.2) == (not reuse_mask)
    assert last["sparsity"] == pytest.approx(0.5, abs=1e-3)


def test_search_can_end_before_prunings_begin():
    tickets = replace(TICKETS, search_until=0.5, prune_from=0.5, sparsity=0.5)
    events: list[dict[str, Any]] = []
    network = trained(replace(CONFIG, tickets=tickets), observer=events.append)
    told = [event for event in events if event["event"] == "ticket"]
    assert [event["epoch"] for event in told] == [2, 3, 4]
    assert [event["sparsity"] for event in told] == pytest.approx([0, 0.25, 0.5], abs=1e-3)
    assert [event.get("removed_channels") for event in told] == [told[0]["removed_channels"], None, None]
    assert told[0]["removed_channels"] > 0
    assert network.ticket.architecture != SPACE.largest()


def test_fine_tuning_keeps_channels_and_masks(whole):
    network = whole[0]
    tuned = retrain(network, network.ticket.architecture, Images(n=48), replace(CONFIG, epochs=1, tickets=None))
    for (name, layer), (_, before) in zip(masked_layers(tuned), masked_layers(network)):
        assert torch.equal(layer.mask, before.mask), name
    assert not same(tuned, network)


def test_a_ticket_of_another_training_is_trained_as_it_is(whole, tmp_path):
    network = whole[0]
    network.save(tmp_path / "found.safetensors")
    config = replace(CONFIG, epochs=1, tickets=TicketConfig(start="found", rho=0.5))
    other = take_ticket(supernet(seed=4), tmp_path / "found.safetensors")
    before = copy.deepcopy(other)
    train(other, phases(SPACE, config), Images(n=48), config)
    assert before.ticket is not None
    assert other.ticket is not None
    assert other.ticket.architecture == before.ticket.architecture
    for (name, layer), (_, kept) in zip(masked_layers(other), masked_layers(before)):
        assert torch.equal(layer.mask, kept.mask), name
    assert not same(other, before)
    with pytest.raises(FieldError, match=r"tickets\.start must be taken into the supernet before, got 'found'"):
        train(supernet(), phases(SPACE, config), Images(n=48), config)


# ---- dense prediction -----------------------------------------------------------------------------------------------


class Pixels(Task):
    """A class of every pixel: images [B, C, H, W] and classes [B, H, W]."""

    metric, examples = Metric("pixel_accuracy", "%", maximise=True, low=0.0, high=100.0), "images"

    def loss(self, output: Tensor, batch: Any, *, teacher: Any = None, weights: Any = None) -> Tensor:
        target = batch[-1] if teacher is None else teacher.softmax(1)
        losses = F.cross_entropy(output, target, reduction="none").mean((1, 2))
        return (losses if weights is None else losses * weights).mean()

    @torch.inference_mode()
    def evaluate(self, model: nn.Module, batches: Iterable[Any]) -> Estimate:
        require_calibrated(model.eval())
        right = torch.cat([(model(x).argmax(1) == y).float().mean((1, 2)) for x, y in batches])
        return Estimate(100 * float(right.mean()))


def shapes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images of a bright square or a bright cross on noise, and the class of every pixel: nothing, square, cross."""
    generator = torch.Generator().manual_seed(seed)
    images, classes = 0.3 * torch.randn(count, 1, 8, 8, generator=generator), torch.zeros(count, 8, 8, dtype=torch.long)
    for i in range(count):
        row, column = torch.randint(0, 4, (2,), generator=generator).tolist()
        shape = torch.zeros(8, 8, dtype=torch.bool)
        if i % 2:
            shape[row : row + 4, column : column + 4] = True
        else:
            shape[row + 1 : row + 3, column : column + 4] = shape[row : row + 4, column + 1 : column + 3] = True
        images[i, 0][shape] += 1.5
        classes[i][shape] = 1 + i % 2
    return images, classes


def test_a_ticket_for_dense_prediction_goes_to_a_classifier(tmp_path):
    images, classes = shapes(96, 0)
    dense = supernet(head="dense", classes=3, stride=1)
    config = replace(
        CONFIG, epochs=8, ema_decay=None, tickets=replace(TICKETS, prune_interval=2, rho=0.02, sparsity=0.5)
    )
    train(dense, phases(dense.space, config), Rows(images, classes), config, task=Pixels())
    assert dense.ticket is not None
    network = calibrate(dense.extract(dense.ticket.architecture), [images])
    held_out = shapes(64, 1)
    quality = Pixels().evaluate(network, [held_out]).value
    nothing = 100 * float((held_out[1] == 0).float().mean())
    assert quality > nothing + 5
    dense.save(tmp_path / "dense.safetensors")

    labels = (classes.flatten(1).amax(1) - 1).long()
    target = take_ticket(supernet(seed=1, classes=2, stride=1), tmp_path / "dense.safetensors")
    config = replace(config, epochs=4, tickets=TicketConfig(start="dense"))
    train(target, phases(target.space, config), Rows(images, labels), config)
    assert target.ticket is not None
    found = calibrate(target.extract(target.ticket.architecture), [images])
    test = (held_out[0], (held_out[1].flatten(1).amax(1) - 1).long())
    assert Classification().evaluate(found, [test]).value > 70
