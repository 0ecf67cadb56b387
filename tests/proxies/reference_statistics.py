"""Slow versions straight from the published definitions; nothing of `proxies` is used."""

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def zen(model, x, noisy, before_pooling, *, running=False):
    """One repetition, weights and inputs given; `before_pooling` is the module whose output is compared."""
    kept, variances = [], []
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks = [before_pooling.register_forward_hook(lambda m, i, o: kept.append(o))]
    for norm in norms:
        hooks.append(norm.register_forward_pre_hook(lambda m, i: variances.append(i[0].transpose(0, 1).flatten(1))))
    with torch.no_grad():
        model(x)
        model(noisy)
    for hook in hooks:
        hook.remove()
    total = float((kept[0] - kept[1]).abs().sum([1, 2, 3]).mean().log())
    for i, norm in enumerate(norms):
        variance = norm.running_var if running else variances[i].var(1)
        total += float(variance.mean().sqrt().log())
    return total


def weight_modules(model):
    return {name: m for name, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}


def zico(model, batches):
    gradients = {name: [] for name in weight_modules(model)}
    for images, labels in batches:
        model.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        for name, module in weight_modules(model).items():
            gradients[name].append(module.weight.grad.flatten().numpy().copy())
    layers = {}
    for name, rows in gradients.items():
        stacked = np.array(rows, dtype=np.float64)
        deviation = stacked.std(0)
        which = deviation > 0
        total = (np.abs(stacked).mean(0)[which] / deviation[which]).sum()
        if total > 0:
            layers[name] = float(np.log(total))
    return layers


def meco(model, image, *, leaves_only=False):
    values = []

    def hook(module, inputs, out):
        rows = out[0].detach().double().reshape(out.shape[1], -1)
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            matrix = np.nan_to_num(np.atleast_2d(np.corrcoef(rows.numpy())), nan=0, posinf=0, neginf=0)
        values.append(float(np.linalg.eigvals(matrix).real.min()))

    modules = [m for m in model.modules() if not (leaves_only and list(m.children()))]
    hooks = [m.register_forward_hook(hook) for m in modules]
    model(image)
    for h in hooks:
        h.remove()
    return sum(values)


def relu_patterns(model, images):
    """[samples, neurons] of 0 and 1: outputs of ReLUs that are positive."""
    patterns = []
    hooks = [
        m.register_forward_hook(lambda m, i, o: patterns.append(o.detach().sign().flatten(1)))
        for m in model.modules()
        if isinstance(m, (nn.ReLU, nn.ReLU6))
    ]
    model(images)
    for hook in hooks:
        hook.remove()
    return torch.cat(patterns, 1).numpy()


def kernel(model, batches, parameters):
    """One backward pass for each sample of each batch; a batch is normalised as one."""
    rows = []
    for images in batches:
        logits = model(images)
        for i in range(len(images)):
            model.zero_grad()
            logits[i : i + 1].backward(torch.ones_like(logits[i : i + 1]), retain_graph=True)
            rows.append(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).double())
    stacked = torch.stack(rows)
    return (stacked @ stacked.T).numpy()


def condition_number(matrix):
    values = np.linalg.eigvalsh(matrix)
    return values[-1] / values[0]


def entropies(features):
    scores = []
    for feature in features:
        rows = feature.detach().permute(0, 2, 3, 1).reshape(-1, feature.shape[1]).double()
        rows = rows - rows.mean(0, keepdim=True)
        values = torch.linalg.eigvalsh(rows.T @ rows / len(rows))
        shares = values / values.sum()
        scores.append(float((-shares * torch.log(shares + 1e-8)).sum()))
    return np.array(scores)


def trainability(features, signs):
    """`signs`: what enters each block from above, the last block first."""
    scores = []
    for i, g_out in zip(reversed(range(1, len(features))), signs):
        (g_in,) = torch.autograd.grad(features[i], features[i - 1], g_out, retain_graph=True)
        if g_in.shape[2] != g_out.shape[2]:
            g_in = nn.PixelUnshuffle(g_in.shape[2] // g_out.shape[2])(g_in)
        b, c, h, w = g_out.shape
        outer = torch.bmm(
            g_in.permute(0, 2, 3, 1).reshape(b * h * w, -1, 1), g_out.permute(0, 2, 3, 1).reshape(-1, 1, c)
        )
        sigma = float(torch.linalg.svdvals(outer.mean(0)).max())
        scores.append(2 - sigma - 1 / (sigma + 1e-6))
    return float(np.mean(scores))
