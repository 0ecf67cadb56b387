"""AZ-NAS: three scores of how features and gradients go through the blocks of a network.

Paper: Lee and Ham, AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search, CVPR 2024, arXiv 2403.19232,
eq. 1 to 8: Kaiming initialisation (fan-in), 64 inputs N(0, 1), features F_0 to F_L of the blocks. Expressivity: sum of
the entropies s_i of the spectrum of the covariance of channels. Progressivity: least s_i - s_(i-1). Trainability: mean
of 2 - sigma - 1 / (sigma + 1e-6), sigma the largest singular value between the gradient that enters a block from above
(random signs) and what the block makes of it. The fourth part is the number of multiply-accumulates; `log_rank` of
`proxies.aggregate` makes one score of all.
Differs: blocks are what `model.blocks()` gives. A model without that method: walking down from the model through
Sequential and ModuleList, every other module that contains a convolution or linear layer is a block, and the last map
before the first of them is F_0; where there are fewer than two, every convolution is a block. A block whose output size
does not divide its input size has its input gradient padded with zeros to a multiple. Eigenvalues are computed in
double precision, negative ones set to 0. Where the published score is minus infinity (a block passes gradients on
unchanged, constant features), there is no score.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from inspect import ismethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proxies.passes import WEIGHT_LAYERS, Passes, output_of
from proxies.proxy import Proxy
from proxies.redrawn import draw_kaiming
from proxies.scores import Score, ScoreError


@dataclass(frozen=True, kw_only=True)
class Expressivity(Proxy):
    """A zero-cost proxy; the module defines its score. Args: batch: Number of random inputs."""

    batch: int = 64

    def __post_init__(self) -> None:
        _check_batch(self.batch)

    def __call__(self, passes: Passes) -> Score:
        return Score(float(passes.shared(BlockPass(self.batch)).entropies.sum()))


@dataclass(frozen=True, kw_only=True)
class Progressivity(Proxy):
    """A zero-cost proxy; the module defines its score. Args: batch: Number of random inputs."""

    batch: int = 64

    def __post_init__(self) -> None:
        _check_batch(self.batch)

    def __call__(self, passes: Passes) -> Score:
        return Score(float(passes.shared(BlockPass(self.batch)).entropies.diff().min()))


@dataclass(frozen=True, kw_only=True)
class Trainability(Proxy):
    """A zero-cost proxy; the module defines its score. Args: batch: Number of random inputs."""

    batch: int = 64

    def __post_init__(self) -> None:
        _check_batch(self.batch)

    def __call__(self, passes: Passes) -> Score:
        generator = passes.generator("az_nas gradients")
        return Score(float(trainabilities(passes.shared(BlockPass(self.batch)).features, generator).mean()))


def _check_batch(batch: int) -> None:
    if batch < 2:
        raise ValueError(f"batch must be at least 2, got {batch}")


@dataclass(frozen=True)
class Blocks:
    """Features of the blocks of one network, in its graph, and the entropies of their spectra [L + 1]."""

    features: list[Tensor]
    entropies: Tensor


@dataclass(frozen=True)
class BlockPass:
    """The pass that all three scores share; equal ones are made once."""

    batch: int

    def __call__(self, passes: Passes) -> Blocks:
        features = block_features(passes, self.batch)
        return Blocks(features, spectral_entropies([feature.detach() for feature in features]))


def block_features(passes: Passes, batch: int) -> list[Tensor]:
    """Return outputs [B, C, H, W] or [B, tokens, C] of the blocks of a freshly initialised copy on Gaussian inputs.

    Raises:
        ScoreError: The model has fewer than two blocks with such outputs.
    """
    generator = passes.generator("az_nas")
    model = passes.duplicate().requires_grad_(False)
    draw_kaiming(model, generator)
    given = passes.batch.only_input
    inputs = torch.empty_like(given[:1]).expand(batch, *given.shape[1:]).clone()
    inputs.normal_(generator=generator).requires_grad_()
    features: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, out: Any) -> None:
        if isinstance(out, Tensor) and out.dim() in (3, 4):
            features.append(out)

    for block in feature_blocks(model):
        block.register_forward_hook(keep)
    with torch.enable_grad():
        output_of(model, (inputs,))
    if len(features) < 2:
        raise ScoreError(f"{len(features)} blocks with feature maps were found, two or more are needed")
    return features


def feature_blocks(model: nn.Module) -> list[nn.Module]:
    """Return the modules whose outputs are compared, by the rule above."""
    own = getattr(model, "blocks", None)
    if ismethod(own):
        return list(own())
    elements = list(_elements(model))
    blocks = [i for i, e in enumerate(elements) if not isinstance(e, WEIGHT_LAYERS) and _has_weights(e)]
    if len(blocks) < 2:
        return [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    return elements[max(blocks[0] - 1, 0) : blocks[0]] + [elements[i] for i in blocks]


def spectral_entropies(features: list[Tensor]) -> Tensor:
    """Return the entropy of the normalised eigenvalues of the covariance of channels, for each map [L]."""
    covariances = []
    for feature in features:
        rows = _rows(feature)
        rows = rows - rows.mean(0)
        covariances.append(rows.T @ rows / len(rows))
    values = _by_shape(covariances, lambda stack: _entropy(torch.linalg.eigvalsh(stack.double())))
    if not bool(torch.isfinite(values).all()):
        block = int((~torch.isfinite(values)).nonzero()[0])
        raise ScoreError(f"the features of block {block} are constant or not finite")
    return values


def trainabilities(features: list[Tensor], generator: torch.Generator) -> Tensor:
    """Return 2 - sigma - 1 / (sigma + 1e-6) of each block after the first, the last one first [L]."""
    products = []
    for lower, upper in zip(features[-2::-1], features[:0:-1]):
        above = _random_signs(upper, generator)
        (below,) = torch.autograd.grad(upper, lower, above, retain_graph=True, allow_unused=True)
        below = torch.zeros_like(lower) if below is None else below
        if below.shape == above.shape and torch.equal(below, above):
            raise ScoreError("a block passes gradients on unchanged")
        g_in, g_out = _rows(_same_size(below, above)), _rows(above)
        product = g_in.T @ g_out / len(g_out)
        products.append(product if product.shape[0] >= product.shape[1] else product.T)
    sigma = _by_shape(products, lambda stack: torch.linalg.matrix_norm(stack.double(), 2))
    return 2 - sigma - 1 / (sigma + 1e-6)


def _elements(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, (nn.Sequential, nn.ModuleList)):
            yield from _elements(child)
        else:
            yield child


def _has_weights(module: nn.Module) -> bool:
    return any(isinstance(m, WEIGHT_LAYERS) for m in module.modules())


def _rows(feature: Tensor) -> Tensor:
    """Return [B, C, H, W] or [B, tokens, C] as [rows, C]."""
    return feature.movedim(1, -1).flatten(0, 2) if feature.dim() == 4 else feature.flatten(0, 1)


def _random_signs(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw -1 and 1 with equal probability, with channels last like the features."""
    shape = like.movedim(1, -1).shape if like.dim() == 4 else like.shape
    draws = torch.empty(shape, dtype=like.dtype, device=like.device).uniform_(generator=generator)
    signs = draws.lt_(0.5).mul_(2).sub_(1)
    return signs.movedim(-1, 1) if like.dim() == 4 else signs


def _same_size(below: Tensor, above: Tensor) -> Tensor:
    """Return a gradient with the positions of a smaller one; what was one patch of positions becomes channels."""
    if below.dim() != above.dim() or below.dim() == 3:
        if below.shape[:-1] != above.shape[:-1]:
            raise ScoreError(f"blocks give {tuple(below.shape)}, then {tuple(above.shape)}, which do not correspond")
        return below
    if below.shape[2:] == above.shape[2:]:
        return below
    height, width = above.shape[2:]
    stride = max(-(-below.shape[2] // height), -(-below.shape[3] // width))
    missing = (stride * width - below.shape[3], stride * height - below.shape[2])
    return F.pixel_unshuffle(F.pad(below, (0, missing[0], 0, missing[1])), stride)


def _entropy(eigenvalues: Tensor) -> Tensor:
    shares = eigenvalues.clamp_min(0)
    shares = shares / shares.sum(-1, keepdim=True)
    return -(shares * (shares + 1e-8).log()).sum(-1)


def _by_shape(matrices: list[Tensor], function: Any) -> Tensor:
    """Return a function of each matrix, those of one shape computed together."""
    values = torch.empty(len(matrices), dtype=torch.float64, device=matrices[0].device)
    for shape in dict.fromkeys(matrix.shape for matrix in matrices):
        which = [i for i, matrix in enumerate(matrices) if matrix.shape == shape]
        values[which] = function(torch.stack([matrices[i] for i in which]))
    return values
