"""Steps of one's own in the loop: what they learn, and that a stopped training goes on bit for bit."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.killing import kill_after_progress
from tests.supernets.training.steps.toys import ANSWER, SHIFT, Bilevel, flattened, imitate, solve


class Interrupted(Exception):
    pass


def interrupting(after: int):
    """An observer that ends the run at a `train` event."""
    seen = []

    def observe(event):
        seen.append(event)
        if [e["event"] for e in seen].count("train") > after:
            raise Interrupted

    return observe


def assert_same(one, other) -> None:
    tensors = [flattened(step.state_dict()) for step in (one, other)]
    assert len(tensors[0]) == len(tensors[1]) > 4
    assert all(torch.equal(left, right) for left, right in zip(*tensors))


def test_a_bilevel_step_finds_the_known_answer():
    events = []
    step = solve(observer=events.append)
    assert torch.allclose(step.alpha, ANSWER, atol=1e-4)
    assert torch.allclose(step.weights, ANSWER + SHIFT, atol=1e-4)
    told = [event for event in events if event["event"] == "alpha"]
    assert len(told) == 100
    assert told[-1].keys() == {"event", "time", "phase", "step", "epoch", "alpha"}
    assert told[-1]["alpha"] == pytest.approx(ANSWER.tolist(), abs=1e-4)


def test_an_adversarial_step_finds_both_sides_of_a_mixture():
    step = imitate()
    torch.manual_seed(1)
    made = step.generate(2000).detach()
    near = [((made - side).abs() < 1).float().mean() for side in (-2, 2)]
    assert min(near) > 0.3
    assert sum(near) > 0.85


@pytest.mark.parametrize("training", [solve, imitate])
def test_a_training_stopped_three_times_equals_an_uninterrupted_one(training, tmp_path):
    whole = training()
    for after in (1, 3, 20):
        with pytest.raises(Interrupted):
            training(folder=tmp_path, observer=interrupting(after))
    assert_same(whole, training(folder=tmp_path))


def _solve_slowly(folder: str) -> None:
    torch.set_num_threads(1)
    torch.save(solve(pause_s=0.003, folder=Path(folder)).state_dict(), Path(folder) / "final.pt")


def _imitate_slowly(folder: str) -> None:
    torch.set_num_threads(1)
    torch.save(imitate(pause_s=0.003, folder=Path(folder)).state_dict(), Path(folder) / "final.pt")


@pytest.mark.integration
@pytest.mark.parametrize(("training", "in_process"), [(solve, _solve_slowly), (imitate, _imitate_slowly)])
def test_a_training_killed_at_random_moments_equals_an_uninterrupted_one(training, in_process, tmp_path):
    """SIGKILL; the whole state is the same bit for bit."""
    torch.set_num_threads(1)
    whole = training()
    for delay in np.random.default_rng().uniform(0.0, 0.5, size=1):
        kill_after_progress(in_process, tmp_path, tmp_path / "checkpoint.pt", delay)
    process = multiprocessing.get_context("spawn").Process(target=in_process, args=(str(tmp_path),))
    process.start()
    process.join()
    states = [flattened(state) for state in (whole.state_dict(), torch.load(tmp_path / "final.pt"))]
    assert all(torch.equal(left, right) for left, right in zip(*states, strict=True))


def test_the_state_of_a_step_does_not_change_when_it_goes_on():
    step = solve()
    state = step.state_dict()
    kept = [tensor.clone() for tensor in flattened(state)]
    other = Bilevel()
    other.load_state_dict(state)
    with torch.no_grad():
        other.alpha.add_(1)
        step.weights.add_(1)
    assert all(torch.equal(left, right) for left, right in zip(kept, flattened(state)))


def test_a_checkpoint_of_another_schedule_is_refused(tmp_path):
    solve(folder=tmp_path)
    with pytest.raises(ValueError, match="is of a training with another schedule or seed"):
        imitate(folder=tmp_path)
