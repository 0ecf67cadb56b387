"""The numbers of tokens that stand for no text, the same in every vocabulary."""

PADDING = 0
"""Fills the end of rows that are shorter than the longest of a batch; nothing is judged there."""
BEGIN = 1
"""Stands before the first token that a network is to write."""
END = 2
"""Stands behind the last token of every row."""
MASK = 3
"""Stands for a token that a network is to guess."""
SPECIAL = ("<pad>", "<s>", "</s>", "<mask>")
"""Names in a file of the vocabulary, in the order of the numbers."""
