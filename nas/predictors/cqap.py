"""A deep perceptron on one-hot choices, such as the bits of layers: the conditional accuracy predictor of EQ-Net.

Paper: EQ-Net, arXiv 2308.07650, section 3.4: granularity, symmetry and the bits of each layer as one-hot groups, seven
hidden layers of 200 in its search, 100 epochs with a rate of 4e-4.
Differs: the released code encodes one choice of granularity and of a symmetry as all zeros; here every choice has a
column of its own, as in all features of this project. Its paper names SGD and its settings Adam; here it is AdamW with
the decay of the settings, a rate that falls to 0, and standardised features and targets, as in `MLP`.
"""

from dataclasses import dataclass

from nas.predictors.mlp import MLP


@dataclass(kw_only=True)
class CQAP(MLP):
    """`MLP` with the published sizes; 8,000 evaluated architectures are published.

    Attributes:
        hidden: Width of each hidden layer.
        members: Networks of different initial weights and orders of rows; 1, as published, gives no std.
        epochs: Passes over the training rows.
        batch_size: Rows of a step.
        lr: Learning rate of AdamW, falling to 0 as a cosine.
        weight_decay: Weight decay of AdamW.
        seed: Seed of initial weights and the order of rows.
    """

    hidden: tuple[int, ...] = (200,) * 7
    members: int = 1
    lr: float = 4e-4
    weight_decay: float = 1e-5
