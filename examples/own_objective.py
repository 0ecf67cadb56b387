"""An objective of one's own: the largest activation a subnet holds, in kilobytes.

nas run quickstart --set "search.objectives=[accuracy, 'examples.own_objective:ActivationMemory']"
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nas import Estimate, Objective
from search_spaces import Architecture


class ActivationMemory(Objective):
    """Kilobytes of the largest output of any layer for one digit.

    Args:
        subnet: Gives the calibrated subnet of an architecture; every objective named in a job is made with it.
    """

    name, unit, maximise, role = "activations_kb", "kB", False, "cost"

    def __init__(self, subnet: Callable[[Architecture], nn.Module]) -> None:
        self.subnet = subnet

    @torch.inference_mode()
    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        model, sizes = self.subnet(architecture), [0]

        def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            sizes.append(output.numel() * output.element_size())

        hooks = [layer.register_forward_hook(note) for layer in model.modules()]
        model(torch.zeros(1, 1, 8, 8))
        for hook in hooks:
            hook.remove()
        return Estimate(max(sizes) / 1024)
