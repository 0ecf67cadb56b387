"""First values of tensors that no layer of torch holds, such as class tokens, tables of positions and layer scales."""

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from search_spaces.elastic.graph.active import Active
from search_spaces.elastic.graph.plain_graph import Fresh
from search_spaces.elastic.graph.tensors import Held, cut_to


def first_values(active: Active, name: str, held: Held) -> Fresh | None:
    """Return how the active part of a tensor gets its first values; None for a buffer that keeps those it has.

    Weights of what was a convolution or linear layer are drawn as those are. Other parameters are drawn with mean and
    deviation of the whole tensor in the network that was traced. Buffers take over its values.

    Raises:
        TypeError: The values are needed, and the network that was traced has none either.
    """
    tensor = held.tensor
    drawn = isinstance(tensor, nn.Parameter) and tensor.requires_grad and tensor.is_floating_point()
    if drawn and isinstance(held.owner, (_ConvNd, nn.Linear)) and held.key == "weight" and tensor.dim() > 1:
        return Fresh(is_layer=True)
    if not drawn and not tensor.is_meta:
        return None
    traced = traced_values(active, name)
    if traced.is_meta:
        raise TypeError(f"{name} has no values: neither the network nor the one that was traced holds them")
    if not drawn:
        return Fresh(values=cut_to(traced.detach(), active.cut(name)).cpu().clone())
    values = traced.detach().double()
    return Fresh(mean=float(values.mean()), std=float(values.std(correction=0)))


def traced_values(active: Active, name: str) -> Tensor:
    """Return a tensor of the network that was traced."""
    traced = active.source.traced
    if name in traced.constants:
        return traced.constants[name]
    path, _, key = name.rpartition(".")
    owner = traced.module.get_submodule(path)
    found = owner._parameters.get(key)
    return found if found is not None else owner._buffers[key]  # type: ignore[return-value]
