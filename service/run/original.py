"""The network that a supernet began as, adapted to the data alone: what the networks of the front are compared with."""

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from nas.objectives import Latency
from service.job.certainty_keys import ORIGINAL
from service.job.folder import read_json, write_json
from service.job.front_file import judged_front
from service.run.front import measured_again
from service.run.stages.outputs import ADAPTED, FRONT, SUPERNET
from service.run.testing import Judge, scores_of
from service.run.weights import save_weights
from supernets import Supernet, load_supernet
from supernets.calibration import calibrated_subnet
from supernets.device import judging
from supernets.estimate import Estimate, checked

if TYPE_CHECKING:
    from service.run.context import JobContext

_ROUNDS = 4  # of the measurement, as for the front
WEIGHTS = "front/original.safetensors"


def original_network(context: "JobContext") -> nn.Module | None:
    """Return the largest network as it was when it alone had been trained, ready to be judged.

    It is judged by the statistics of its own batch norms, as in the search where they are the supernet's.

    Returns:
        None where the training had no such part.
    """
    adapted = context.place_of(SUPERNET).parent / ADAPTED
    found: Supernet = context.supernet
    if adapted.is_file():
        with torch.random.fork_rng(devices=[]):
            found = load_supernet(context.space, adapted).to(device=context.device)
    largest = context.space.largest()
    if found.own_statistics != largest:
        return None
    return calibrated_subnet(found, largest, lambda: context.batches.calibration(1), memory_format=torch.channels_last)


def described_original(context: "JobContext") -> dict[str, Any]:
    """Return the entry of `front.json` on the original network: its quality, costs and latency; empty without one."""
    network = original_network(context)
    if network is None:
        return {}
    largest, space = context.space.largest(), context.space
    costs = space.costs([largest])
    values: dict[str, float] = {name: costs[name][0].item() for name in space.cost_names}
    intervals = {}
    with judging(network):
        quality = checked(context.task.evaluate(network, context.batches.validation()), context.task)
    measured = {context.task.metric.name: quality, Latency.name: measured_again(context.latency, [largest], _ROUNDS)[0]}
    for name, estimate in measured.items():
        if not isinstance(estimate, Estimate):
            continue  # a latency that cannot be measured is left out
        values[name] = estimate.value
        if estimate.low is not None and estimate.high is not None:
            intervals[name] = (estimate.low, estimate.high)
    named = {} if space.origin is None else {"model": space.origin.model}
    member = {**named, "key": largest.key, "architecture": largest.to_json(), "values": values, "intervals": intervals}
    return {ORIGINAL: member}


def test_original(context: "JobContext") -> None:
    """Evaluate the original network once on the test split; its weights are kept beside those of the front."""
    path = context.adopted(FRONT)
    front = read_json(path) or {}
    entry = front.get(ORIGINAL)
    if entry is None or "test_quality" in entry:
        return
    network = original_network(context)
    if network is not None:
        save_weights(network, path.parent / WEIGHTS)
        with judging(network):
            tested = Judge(path.parent, context.task, context.batches).tested(network, ORIGINAL)
        whole = {**front, ORIGINAL: {**entry, "weights": WEIGHTS, **tested}}
        write_json(path, judged_front(whole, partial(scores_of, path.parent)))
