"""Sources of data that are no pictures, as a user would write them."""

import torch

from nas.data import DataConfig, TensorSource


def vectors(config: DataConfig, *, examples: int = 50, features: int = 6) -> TensorSource:
    """Return vectors with the sum of their elements as targets."""
    x = torch.randn(examples, features, generator=torch.Generator().manual_seed(0))
    return TensorSource(
        config=config,
        name="sums",
        task="regression",
        facts={"features": features, "outputs": 1},
        train=(x, x.sum(1, keepdim=True)),
        preprocessing={"layout": "vector, element"},
    )


def sequences(config: DataConfig, *, examples: int = 40, length: int = 5, tokens: int = 7) -> TensorSource:
    """Return sequences with their lengths and targets, all integers; splits respect whether they are long."""
    generator = torch.Generator().manual_seed(0)
    symbols = torch.randint(tokens, (examples, length), generator=generator)
    lengths = torch.randint(1, length + 1, (examples,), generator=generator, dtype=torch.int32)
    held_out = (symbols[:10].flip(1), lengths[:10], symbols[:10])
    return TensorSource(
        config=config,
        name="copies",
        task="copying",
        facts={"tokens": tokens, "length": length},
        train=(symbols, lengths, symbols.flip(1)),
        test=held_out,
        classes=lengths.long() > 2,
    )
