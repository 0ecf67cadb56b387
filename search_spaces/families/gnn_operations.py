"""The operations of layers on graphs, by name, each list with the cheapest first."""

ATTENTIONS = ("const", "gcn", "linear", "gat", "gat_sym", "cos", "generalized_linear")
SOFTMAXED = frozenset(ATTENTIONS[2:])
"""Attentions whose scores are soft-maxed over the messages of a node."""
COMPARED = frozenset(("cos", "generalized_linear"))
"""Attentions that compare projections of nodes with several features."""
ATTENTION_WIDTH = 64
"""Features of these projections."""
AGGREGATES = ("sum", "mean", "max", "mlp")
TRANSFORMED = frozenset(AGGREGATES[1:])
"""Aggregates that first pass each message through a layer."""
COMBINES = ("identity", "mlp")
ACTIVATIONS = ("linear", "sigmoid", "tanh", "softplus", "relu6", "leaky_relu", "elu", "relu")
HEADS = (1, 2, 4, 6, 8, 16)
WIDTHS = (4, 8, 16, 32, 64, 128, 256)
