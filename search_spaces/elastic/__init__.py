"""Layers whose setting follows an architecture.

Activation and extraction are written here once: a network is made of ordinary containers and these leaves.
"""

from search_spaces.elastic.branches import Branch, Branches, ElasticBranches
from search_spaces.elastic.choice import ElasticChoice
from search_spaces.elastic.chunked_linear import ElasticChunkedLinear
from search_spaces.elastic.conv import ElasticConv2d, KernelTransforms
from search_spaces.elastic.cropped_conv import CroppedConv2d
from search_spaces.elastic.depth import ElasticDepth, ElasticStack
from search_spaces.elastic.embedding import ElasticClassToken, ElasticEmbedding, ElasticPositions
from search_spaces.elastic.heads import ElasticAttend
from search_spaces.elastic.layer import Elastic, elastic_layers, extracted, following_layers, governed
from search_spaces.elastic.layer_norm import ElasticLayerNorm
from search_spaces.elastic.linear import ElasticLinear
from search_spaces.elastic.masked import Masked, MaskedConv2d, MaskedLinear, masked_layers
from search_spaces.elastic.norm import ElasticBatchNorm2d, with_shared_norms
from search_spaces.elastic.quantized import Weighted, quantized_layers
from search_spaces.elastic.quantizer import Bank, Quantizer
from search_spaces.elastic.resize import ElasticResize
from search_spaces.elastic.side_by_side import ElasticSideBySide, SideBySide
from search_spaces.elastic.span import ElasticSpan
from search_spaces.sizes import AnySize, JointSize, LayerSize, Size, largest, resolve

__all__ = [
    "AnySize",
    "Bank",
    "Branch",
    "Branches",
    "CroppedConv2d",
    "Elastic",
    "ElasticAttend",
    "ElasticBatchNorm2d",
    "ElasticBranches",
    "ElasticChoice",
    "ElasticChunkedLinear",
    "ElasticClassToken",
    "ElasticConv2d",
    "ElasticDepth",
    "ElasticEmbedding",
    "ElasticLayerNorm",
    "ElasticLinear",
    "ElasticPositions",
    "ElasticResize",
    "ElasticSideBySide",
    "ElasticSpan",
    "ElasticStack",
    "JointSize",
    "KernelTransforms",
    "LayerSize",
    "Masked",
    "MaskedConv2d",
    "MaskedLinear",
    "Quantizer",
    "SideBySide",
    "Size",
    "Weighted",
    "elastic_layers",
    "extracted",
    "following_layers",
    "governed",
    "largest",
    "masked_layers",
    "quantized_layers",
    "resolve",
    "with_shared_norms",
]
