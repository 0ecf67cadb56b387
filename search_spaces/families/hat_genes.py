"""Other forms of HAT architectures: the released files, genes of whole numbers, and ten features for predictors.

Paper: Wang et al., HAT, arXiv 2005.14187, section 3.2; names and order as in the released code.
Differs: features are means over the layers that run, divided by what is largest in the space, so that they lie in
[0, 1]; the released code divides hidden units by 2048, which is less than the largest of `space0`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from search_spaces.architecture import Choice, Decision, InvalidArchitecture

RELEASED = (
    "encoder-embed-dim-subtransformer",
    "encoder-ffn-embed-dim-all-subtransformer",
    "encoder-self-attention-heads-all-subtransformer",
    "decoder-embed-dim-subtransformer",
    "decoder-layer-num-subtransformer",
    "decoder-ffn-embed-dim-all-subtransformer",
    "decoder-self-attention-heads-all-subtransformer",
    "decoder-ende-attention-heads-all-subtransformer",
    "decoder-arbitrary-ende-attn-all-subtransformer",
)
"""Keys of the released files of single networks."""
GENE = "gene"
FEATURES = (
    "encoder_embed_dim",
    "encoder_layer_num",
    "encoder_ffn_embed_dim_avg",
    "encoder_self_attention_heads_avg",
    "decoder_embed_dim",
    "decoder_layer_num",
    "decoder_ffn_embed_dim_avg",
    "decoder_self_attention_heads_avg",
    "decoder_ende_attention_heads_avg",
    "decoder_arbitrary_ende_attn_avg",
)
"""Columns of the released tables of latencies, in the order of the published predictor."""
_GENE_LAYERS = 6
_SIDES = ("encoder", "decoder")
_READS: Mapping[Choice, int] = {-1: 1, 1: 2, 2: 3}


def parse_released(*entries: object) -> dict[str, Choice]:
    """Return the decisions of the entries of a released file, lists or their texts, in the order of `RELEASED`.

    Raises:
        InvalidArchitecture: An entry has no whole numbers, or fewer than there are layers.
    """
    found = {name: _numbers(name, entry) for name, entry in zip(RELEASED, entries)}
    encoder, hidden, heads, decoder, depth, *of_decoder = found.values()
    values: dict[str, Choice] = {"encoder.embed": encoder[0]}
    values |= _layers("encoder", len(hidden), {"hidden": hidden, "heads": heads})
    values |= {"decoder.embed": decoder[0], "decoder.depth": depth[0]}
    return values | _layers("decoder", depth[0], dict(zip(("hidden", "heads", "cross_heads", "reads"), of_decoder)))


def parse_gene(gene: object) -> dict[str, Choice]:
    """Return the decisions of a gene of 40 whole numbers: width, layers, hidden units and heads of the encoder; width,
    layers, hidden units, heads, heads to the encoder and encoder layers read of the decoder; six of each.

    Raises:
        InvalidArchitecture: There are others, or another number of them.
    """
    numbers = _numbers(GENE, gene)
    most = _GENE_LAYERS
    if len(numbers) != 4 + 6 * most:
        raise InvalidArchitecture(f"{GENE} = {gene!r} must have {4 + 6 * most} entries, got {len(numbers)}")
    encoder, layers, *rest = numbers
    if layers != most:
        raise InvalidArchitecture(f"{GENE} = {gene!r}: the encoder must have {most} layers, got {layers}")
    decoder, depth = rest[2 * most : 2 * most + 2]
    parts = [rest[start : start + most] for start in (0, most, *(2 + most * i for i in range(2, 6)))]
    values: dict[str, Choice] = {"encoder.embed": encoder}
    values |= _layers("encoder", layers, {"hidden": parts[0], "heads": parts[1]})
    values |= {"decoder.embed": decoder, "decoder.depth": depth}
    return values | _layers("decoder", depth, dict(zip(("hidden", "heads", "cross_heads", "reads"), parts[2:])))


def features(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the ten published features [N, 10], in the order of `FEATURES`.

    Args:
        columns: Values [N] of every decision.
    """
    reads = {name: _read(column) for name, column in columns.items() if name.endswith(".reads")}
    of = {**columns, **reads}
    encoder, decoder = (sum(re.fullmatch(rf"{s}\.layer\d+\.heads", name) is not None for name in of) for s in _SIDES)
    depth = columns["decoder.depth"].astype(float)
    everywhere = np.full(len(depth), float(encoder))
    rows = [columns["encoder.embed"], everywhere]
    rows += [_mean(of, f"encoder.layer{{}}.{name}", everywhere, encoder) for name in ("hidden", "heads")]
    rows += [columns["decoder.embed"], depth]
    named = ("hidden", "heads", "cross_heads", "reads")
    rows += [_mean(of, f"decoder.layer{{}}.{name}", depth, decoder) for name in named]
    return np.stack([row.astype(float) for row in rows], axis=1)


def features_of(decisions: Sequence[Decision], encodings: np.ndarray) -> np.ndarray:
    """Return the ten published features [N, 10] of encodings [N, D] of a space with these decisions.

    Raises:
        ValueError: The space is none of HAT's.
    """
    names = {decision.name for decision in decisions}
    if not {"encoder.embed", "decoder.embed", "decoder.depth"} <= names:
        raise ValueError(
            f"features of HAT are those of encoders and decoders; there are {', '.join(sorted(names)[:3])}"
        )
    return features({one.name: np.array(one.choices)[encodings[:, i]] for i, one in enumerate(decisions)})


def scaled_features(decisions: Sequence[Decision], columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the ten features [N, 10] divided by what is largest in a space.

    Args:
        decisions: Decisions of the space.
        columns: Values [N] of every decision.
    """
    largest = np.array([[len(decision.choices) - 1 for decision in decisions]])
    return features(columns) / features_of(decisions, largest)


def _read(column: np.ndarray) -> np.ndarray:
    return np.array([_READS[choice] for choice in column.tolist()])


def _mean(columns: Mapping[str, np.ndarray], name: str, depth: np.ndarray, layers: int) -> np.ndarray:
    """Return the mean [N] over the first `depth` layers [N]."""
    values = np.stack([columns[name.format(layer)] for layer in range(1, layers + 1)]).astype(float)
    running = np.arange(layers)[:, None] < depth
    return (values * running).sum(0) / depth


def _layers(side: str, number: int, parts: Mapping[str, Sequence[int]]) -> dict[str, Choice]:
    """Return the decisions of so many layers."""
    values: dict[str, Choice] = {}
    for name, numbers in parts.items():
        if len(numbers) < number:
            raise InvalidArchitecture(f"{side} {name}: {number} layers need as many entries, got {list(numbers)}")
        values |= {f"{side}.layer{layer + 1}.{name}": numbers[layer] for layer in range(number)}
    return values


def _numbers(name: str, entry: object) -> list[int]:
    """Return the whole numbers of a list, or of its text."""
    parts = entry if isinstance(entry, list | tuple) else re.split(r"[\s,]+", str(entry).strip(" []()"))
    try:
        return [int(part) for part in parts]
    except ValueError as error:
        raise InvalidArchitecture(f"{name} = {entry!r} must be whole numbers") from error
