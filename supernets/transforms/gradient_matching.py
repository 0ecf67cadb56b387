"""Choices of a decision that should stop sharing weights: those whose gradients on the shared weights disagree.

Paper: GM-NAS, arXiv 2203.15207. As in the released code, the gradients of the weights in cells are compared; those of
stem, last norm and classifier are not.
Differs: in networks without cells, the parts in which a layer follows a decision are compared. Where all weights follow
a decision, such as the width of a transformer, those that run with every choice are compared. Weights without a
gradient count as zeros; the released code leaves them out, which compares different weights with each other where
choices use different ones. Nothing of the supernet changes; the released code lets running statistics drift. The
decision with the largest cut is split, as the paper says; the code released for DARTS and ProxylessNAS splits the one
with the least distance inside groups (`least_within`). Weights without per-choice logits have no softmax to relax with:
relaxed means equal weights of all choices.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from search_spaces import Architecture, Choice, Decision, InvalidArchitecture, Relaxation, Space
from search_spaces.elastic import governed
from supernets.supernet import Supernet, left_as_it_was
from supernets.tasks.task import Batch, Task
from supernets.transforms.grouping import Sizes, partition, sum_of_pairs, sum_within
from supernets.transforms.split import decision_named, where_active

Distance = Literal["cosine", "filter_cosine", "mse"]
Others = Literal["random", "relaxed"]
_EPSILON = 1e-6
_DRAWS = 1000


def parameters_of(network: nn.Module, decision: str) -> list[nn.Parameter]:
    """Return the weights that one or more choices of a decision let run; all others are shared by its choices."""
    found: dict[nn.Parameter, None] = {}
    for name, _, module in governed(network):
        if name == decision:
            found.update(dict.fromkeys(module.parameters()))
    return list(found)


def compared_parameters(network: nn.Module, decision: str) -> list[nn.Parameter]:
    """Return the weights whose gradients are compared: those of the cells that all choices of a decision share.

    Cells are the outermost parts of a network in which something follows a decision, with all that is inside them:
    neither stem nor head. Where they hold nothing but weights of the decision, all other weights are compared. Where
    there are none, those of layers that run with every choice are, of which a choice uses a part.
    """
    own = {id(parameter) for parameter in parameters_of(network, decision)}
    cells = [part for part in network.children() if next(governed(part), None) is not None]
    inside = list(dict.fromkeys(parameter for cell in cells for parameter in cell.parameters()))
    for found in (inside, list(network.parameters())):
        shared = [parameter for parameter in found if id(parameter) not in own and parameter.requires_grad]
        if shared:
            return shared
    return [parameter for parameter in _with_every_choice(network, decision) if parameter.requires_grad]


def _with_every_choice(network: nn.Module, decision: str) -> list[nn.Parameter]:
    """Return the weights of the layers that run with every choice of a decision."""
    choices: dict[nn.Module, set[Choice]] = {}
    every: set[Choice] = set()
    for name, choice, module in governed(network):
        if name == decision:
            every.add(choice)
            choices.setdefault(module, set()).add(choice)
    sized = [module for module, found in choices.items() if found == every]
    return list(dict.fromkeys(parameter for module in sized for parameter in module.parameters()))


def distances(
    supernet: Supernet,
    decision: str,
    batches: Iterable[Batch],
    *,
    task: Task,
    repeats: int,
    generator: np.random.Generator,
    others: Others = "random",
    distance: Distance = "cosine",
) -> np.ndarray:
    """Return how much the gradients of the choices of a decision differ on the shared weights of cells, [n, n].

    Every repeat has one batch and one setting of the other decisions, and every choice its gradient of the loss
    there; distances are averaged over repeats. Weights, running statistics, gradients, training mode and
    active architecture of the supernet stay as they were, and so does torch's global generator.

    Args:
        supernet: Supernet whose space has the decision.
        decision: Name of the decision.
        batches: Training data; at least as many batches as repeats.
        task: Task whose loss is compared, without what only training adds to it.
        repeats: Number of batches to average over.
        generator: Draws the other decisions, and seeds dropout.
        others: `random` choices, the same for all choices of the decision; or `relaxed`: all choices with equal
            weights.
        distance: `cosine`, 1 - cosine of the whole gradients; `filter_cosine`, the mean of that over the output
            channels that have a gradient; or `mse`, the mean squared difference.

    Raises:
        ValueError: There are too few batches, nothing to relax or to share, or a gradient is not finite.
    """
    shared = compared_parameters(supernet.network, decision)
    if not shared:
        raise ValueError(f"decision {decision}: its choices share no weights, so there is nothing to compare")
    choices = decision_named(supernet.space, decision).choices
    total = torch.zeros(len(choices), len(choices), dtype=torch.float64, device=shared[0].device)
    done = 0
    devices = {p.device for p in supernet.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)), left_as_it_was(supernet):
        supernet.train()
        for batch in islice(batches, repeats):
            settings = _settings(supernet.space, decision, generator, others)
            torch.manual_seed(int(generator.integers(2**62)))
            total += _pairwise([_gradients(supernet, s, batch, task.plain(), shared) for s in settings], distance)
            done += 1
    if done < repeats:
        raise ValueError(f"repeats must be at most the number of batches, {done}, got {repeats}")
    averaged = (total / repeats).cpu().numpy()
    if not np.isfinite(averaged).all():
        raise ValueError(f"distances between the choices of {decision} are not finite: training has diverged")
    return averaged


def _settings(
    space: Space, decision: str, generator: np.random.Generator, others: Others
) -> list[Architecture] | list[Relaxation]:
    """Return one setting for each choice of the decision; the settings differ in nothing else."""
    choices = decision_named(space, decision).choices
    if others == "relaxed":
        free: dict[str, Any] = {d.name: dict.fromkeys(d.choices, 1 / len(d.choices)) for d in space.decisions}
        return [space.relaxation({**free, decision: choice}) for choice in choices]
    within = where_active(space, decision)
    for _ in range(_DRAWS):
        drawn = zip(within.decisions, generator.integers(0, within.choice_counts))
        values: dict[str, Choice] = {d.name: d.choices[index] for d, index in drawn}
        try:
            architectures = [within.architecture({**values, decision: choice}) for choice in choices]
        except InvalidArchitecture:
            if space.fold is None:
                raise
            continue
        if all(decision in architecture for architecture in architectures):
            return architectures
    raise ValueError(
        f"none of {_DRAWS} random architectures is a member of {space.name} with every choice of {decision}"
    )


def _gradients(
    supernet: Supernet, setting: Architecture | Relaxation, batch: Batch, task: Task, shared: list[nn.Parameter]
) -> list[Tensor]:
    """Return the gradient of the loss on every shared weight; zeros where it is not used."""
    if isinstance(setting, Relaxation):
        supernet.relax(setting)
    else:
        supernet.activate(setting)
    loss = task.loss(supernet(*task.inputs(batch)).to(shared[0].dtype), batch)
    found = torch.autograd.grad(loss, shared, allow_unused=True, materialize_grads=True)
    return [gradient.detach() for gradient in found]


def _pairwise(gradients: Sequence[Sequence[Tensor]], distance: Distance) -> Tensor:
    """Return the distances [n, n] in double precision between n gradients, each a list with one tensor a weight."""
    if distance == "filter_cosine":
        return _filter_cosine(gradients)
    rows = torch.stack([torch.cat([part.reshape(-1) for part in gradient]) for gradient in gradients]).double()
    gram = rows @ rows.T
    square = gram.diagonal()
    if distance == "mse":
        return (square[:, None] + square[None, :] - 2 * gram).clamp_min(0) / rows.shape[1]
    norm = square.sqrt()
    return 1 - gram / (norm[:, None] * norm[None, :] + _EPSILON)


def _filter_cosine(gradients: Sequence[Sequence[Tensor]]) -> Tensor:
    """Mean over output channels of 1 - cosine; channels whose gradients are both zero say nothing and are left out."""
    n, device = len(gradients), gradients[0][0].device
    total = torch.zeros(n, n, dtype=torch.float64, device=device)
    count = torch.zeros_like(total)
    for parts in zip(*gradients):
        if parts[0].dim() < 2:
            continue  # norms and biases are no filters
        rows = torch.stack([part.flatten(1) for part in parts], dim=1).double()  # [filters, n, weights]
        gram = rows @ rows.transpose(1, 2)
        norm = gram.diagonal(dim1=1, dim2=2).sqrt()
        one, other = norm[:, :, None], norm[:, None, :]
        counts = (one > 0) | (other > 0)
        total += ((1 - gram / (one * other + _EPSILON)) * counts).sum(0)
        count += counts.sum(0)
    return total / count.clamp_min(1)


# ---- which decision is split, and how ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """A decision whose choices are put into groups.

    Attributes:
        decision: Name of the decision.
        groups: The choices of each group.
        distances: Between its choices [n, n]; None where none were needed.
        within: Sum of the distances inside groups.
        between: Sum of the distances across groups: the cut.
    """

    decision: str
    groups: tuple[tuple[Choice, ...], ...]
    distances: np.ndarray | None = None
    within: float = 0.0
    between: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the cut for JSON."""
        matrix = None if self.distances is None else self.distances.tolist()
        groups = [list(group) for group in self.groups]
        return {
            "decision": self.decision,
            "groups": groups,
            "within": self.within,
            "cut": self.between,
            "distances": matrix,
        }


def eligible(space: Space, part: Space, patterns: Sequence[str], groups: int | None = None) -> list[Decision]:
    """Return the decisions of a part that can be split: still whole, named by a pattern, with enough choices."""
    least = 2 if groups is None else groups
    whole = {decision.name: decision.choices for decision in space.decisions}
    return [
        decision
        for decision in part.decisions
        if decision.choices == whole[decision.name]
        and len(decision.choices) >= least
        and any(fnmatchcase(decision.name, pattern) for pattern in patterns)
    ]


def cut_of(decision: Decision, matrix: np.ndarray, groups: int | None, sizes: Sizes = "balanced") -> Cut:
    """Return the best groups of the choices of a decision; every choice alone where `groups` is None."""
    found = partition(matrix, len(matrix) if groups is None else groups, sizes)
    within = sum_within(matrix, found)
    named = tuple(tuple(decision.choices[i] for i in group) for group in found)
    return Cut(decision.name, named, matrix, within, sum_of_pairs(matrix) - within)


def best_cut(cuts: Iterable[Cut], choose: Literal["largest_cut", "least_within"] = "largest_cut") -> Cut:
    """Return the cut that separates most, or leaves least within groups; the first of equally good ones."""
    return max(cuts, key=lambda cut: cut.between if choose == "largest_cut" else -cut.within)
