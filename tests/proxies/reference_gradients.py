"""Batch-level proxies as their definitions say, with hooks, loops and plain autograd on a copy; one pass for each.

Scores of layers are lists in the order of modules.
"""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, replace_all_batch_norm_modules_
from torch.nn.modules.batchnorm import _BatchNorm

from tests.proxies.reference_samples import alone

LAYERS = (nn.Conv2d, nn.Linear)


def modules(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, LAYERS)]


def loss_of_weights(model: nn.Module, images: Tensor, labels: Tensor) -> Callable[[dict[str, Tensor]], Tensor]:
    model = replace_all_batch_norm_modules_(model)  # no running statistics: they cannot change inside of `grad`
    return lambda weights: F.cross_entropy(functional_call(model, weights, (images,)), labels)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {f"{name}.weight" if name else "weight": module.weight.detach() for name, module in modules(model)}


def mask_gradients(model: nn.Module, images: Tensor, labels: Tensor) -> list[Tensor]:
    """Gradients with respect to masks of ones on the weights."""
    model = alone(model)
    weights = weights_of(model)
    loss = loss_of_weights(model, images, labels)
    masks = {name: torch.ones_like(weight) for name, weight in weights.items()}
    masked = grad(lambda m: loss({name: weights[name] * mask for name, mask in m.items()}))(masks)
    return list(masked.values())


def plain(model: nn.Module, images: Tensor, labels: Tensor) -> list[float]:
    return [g.sum().item() for g in mask_gradients(model, images, labels)]


def snip(model: nn.Module, images: Tensor, labels: Tensor) -> list[float]:
    return [g.abs().sum().item() for g in mask_gradients(model, images, labels)]


def grad_norm(model: nn.Module, images: Tensor, labels: Tensor) -> list[float]:
    model = alone(model)
    F.cross_entropy(model(images), labels).backward()
    return [float(module.weight.grad.norm()) for _, module in modules(model)]


def l2_norm(model: nn.Module, images: Tensor, labels: Tensor) -> list[float]:
    return [float(np.sqrt((module.weight.detach().numpy() ** 2).sum())) for _, module in modules(model)]


def grasp(model: nn.Module, images: Tensor, labels: Tensor) -> list[float]:
    """The Hessian times the gradient as a derivative along the gradient, forward over reverse."""
    model = alone(model)
    weights = weights_of(model)
    gradient = grad(loss_of_weights(model, images, labels))
    _, products = jvp(gradient, (weights,), (gradient(weights),))
    return [-(weights[name] * product).sum().item() for name, product in products.items()]


def grasp_by_differences(model: nn.Module, images: Tensor, labels: Tensor, step: float = 1e-5) -> list[float]:
    """The same by central differences of the gradient."""
    model = alone(model)
    weights = weights_of(model)
    gradient = grad(loss_of_weights(model, images, labels))
    g = gradient(weights)
    up = gradient({name: weight + step * g[name] for name, weight in weights.items()})
    down = gradient({name: weight - step * g[name] for name, weight in weights.items()})
    return [-(weights[n] * (up[n] - down[n]) / (2 * step)).sum().item() for n in weights]


def absolute(model: nn.Module) -> nn.Module:
    """Double precision, absolute values, no batch norm."""
    model = deepcopy(model).double().eval()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(parent, name, nn.Identity())
    for tensor in model.state_dict().values():
        tensor.abs_()
    return model


def synflow(model: nn.Module, images: Tensor, labels: Tensor) -> list[float]:
    model = absolute(model)
    model(torch.ones_like(images[:1]).double()).sum().backward()
    return [(module.weight * module.weight.grad).abs().sum().item() for _, module in modules(model)]


def logsynflow(model: nn.Module, images: Tensor, labels: Tensor) -> list[float]:
    model = absolute(model)
    model(torch.ones_like(images[:1]).double()).sum().backward()
    return [(m.weight.abs() * torch.log(m.weight.grad.abs() + 1)).sum().item() for _, m in modules(model)]


def fisher(model: nn.Module, images: Tensor, labels: Tensor) -> list[float]:
    """Outputs and their gradients by hooks; positions are all dimensions but the first and that of the channels."""
    model = alone(model)
    outputs: dict[nn.Module, list[Tensor]] = {}

    def keep(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        output.retain_grad()
        outputs.setdefault(module, []).append(output)
        return output.clone()  # so that nothing in place touches it

    for _, module in modules(model):
        module.register_forward_hook(keep)
    F.cross_entropy(model(images), labels).backward()
    scores = []
    for _, module in modules(model):
        products = 0
        for output in outputs[module]:
            product = output * output.grad
            channels = product.movedim(1 if isinstance(module, nn.Conv2d) else -1, -1)
            products = products + channels.reshape(len(images), -1, channels.shape[-1]).sum(1)
        delta = 0.5 * (products**2).mean(0)
        scores.append(delta.sum().item() * module.weight[0].numel())
    return scores


def input_gradients(model: nn.Module, images: Tensor) -> np.ndarray:
    model, images = alone(model), images.clone().requires_grad_(True)
    logits = model(images)
    logits.backward(torch.ones_like(logits))
    return images.grad.flatten(1).numpy()


def jacov(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    values, _ = np.linalg.eig(np.corrcoef(input_gradients(model, images)))
    shifted = values.real + 1e-5
    return -float(np.sum(np.log(shifted) + 1 / shifted))


def epe_nas(model: nn.Module, images: Tensor, labels: Tensor, *, many: bool = False) -> float:
    rows = input_gradients(model, images)
    sums = []
    for label in sorted(set(labels.tolist())):
        members = [row for row, of in zip(rows, labels.tolist()) if of == label]
        if len(members) > 1:
            total = np.log(np.abs(np.corrcoef(members)) + 1e-5).sum()
            sums.append(total / len(members) if many else total)
    if not many:
        return float(np.abs(sums).sum())
    return sum(abs(a - b) for a in sums for b in sums) / len(sums)


def nwot(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    model = alone(model)
    kernel = np.zeros((len(images), len(images)))

    def count(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        code = (inputs[0] > 0).flatten(1).double().numpy()
        kernel[:] += code @ code.T + (1 - code) @ (1 - code).T

    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(count)
    model(images)
    return float(np.linalg.slogdet(kernel)[1])


def params(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    return float(sum(int(np.prod(p.shape)) for p in model.parameters()))


def macs(model: nn.Module, images: Tensor, labels: Tensor) -> list[float]:
    """One image, with batch norm in evaluation mode."""
    model = deepcopy(model).eval()
    counts = dict.fromkeys((module for _, module in modules(model)), 0)

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            taps = module.kernel_size[0] * module.kernel_size[1] * module.in_channels // module.groups
        else:
            taps = module.in_features
        counts[module] += taps * output.numel()

    for module in counts:
        module.register_forward_hook(count)
    model(images[:1])
    return [float(count) for count in counts.values()]


def layers(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Layers whose weight, when it is disturbed, changes the logits."""
    model = alone(model)
    before, taking_part = model(images).detach(), 0
    for _, module in modules(model):
        kept = module.weight.data.clone()
        module.weight.data += 0.1 * torch.randn_like(kept)
        taking_part += int((model(images).detach() - before).abs().max() > 1e-9)
        module.weight.data = kept
    return float(taking_part)
