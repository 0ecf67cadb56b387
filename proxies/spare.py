"""One copy of a model, used again and again: copying a network of hundreds of modules takes as long as a pass."""

from copy import deepcopy

import torch
from torch import Tensor, nn

_REGISTRIES = ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks", "_backward_hooks")


class Spare:
    """A copy of a model that can be brought back to how the model was, with tensors of its own each time.

    Args:
        model: Model whose tensors are those to begin with; they are never changed.
    """

    def __init__(self, model: nn.Module) -> None:
        tensors = [*model.parameters(), *model.buffers()]
        self.copy = deepcopy(model, {id(tensor): tensor for tensor in tensors})
        self.tensors = {id(tensor): tensor for tensor in tensors}
        self.modules = list(self.copy.modules())
        self.states = [(vars(one).copy(), [dict(vars(one)[name]) for name in _REGISTRIES]) for one in self.modules]

    def renewed(self) -> nn.Module:
        """Return the copy as it was, with new tensors; what was made with it before keeps the tensors it had."""
        fresh = _copies(self.tensors)
        for module, (attributes, registries) in zip(self.modules, self.states):
            vars(module).clear()
            vars(module).update(attributes)
            for name, registry in zip(_REGISTRIES, registries):
                held = vars(module)[name] = type(attributes[name])(registry)
                if name in ("_parameters", "_buffers"):
                    held.update({key: None if old is None else fresh[id(old)] for key, old in registry.items()})
        return self.copy


def _copies(tensors: dict[int, Tensor]) -> dict[int, Tensor]:
    """Return copies of tensors by the identity of each, those of one type made by one operation."""
    found: dict[int, Tensor] = {}
    for kind in {(one.dtype, one.device, isinstance(one, nn.Parameter)) for one in tensors.values()}:
        some = [t for t in tensors.values() if (t.dtype, t.device, isinstance(t, nn.Parameter)) == kind]
        flat = torch.cat([one.detach().flatten() for one in some])
        for one, numbers in zip(some, flat.split([one.numel() for one in some])):
            copy = numbers.view(one.shape)
            found[id(one)] = nn.Parameter(copy, one.requires_grad) if kind[2] else copy
    return found
