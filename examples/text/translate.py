"""Translate with an exported network: ONNX Runtime, tokenizers and numpy alone.

    python examples/text/translate.py runs/my/export/KEY "A man is riding a bike."

The folder is one that `nas export` wrote. Each step takes the most likely token, and reads again all that was written:
slower than the beam search that judged the network, which keeps keys and values, but one file is enough.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

BEGIN, END, SPECIAL = 1, 2, 4  # the first four tokens are padding, begin, end and mask
NEVER = [0, 1, 3]


def translate(folder: Path, lines: list[str]) -> list[str]:
    """Return the translation of each line."""
    longest = json.loads((folder / "card.json").read_text())["preprocessing"]["longest"]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    network = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    rows = [[*tokenizer.encode(line, add_special_tokens=False).ids, END] for line in lines]
    source = np.zeros((len(rows), max(map(len, rows))), np.int64)  # padding is 0
    for row, tokens in zip(source, rows):
        row[: len(tokens)] = tokens
    written = np.full((len(rows), 1), BEGIN)
    while written.shape[1] < min(longest, 2 * source.shape[1] + 8) and not (written == END).any(1).all():
        (scores,) = network.run(None, {"input1": source, "input2": written})
        scores[:, -1, NEVER] = -np.inf
        written = np.concatenate([written, scores[:, -1:].argmax(-1)], 1)
    ends = [row.index(END) if END in row else len(row) for row in written.tolist()]
    texts = [[token for token in row[:end] if token >= SPECIAL] for row, end in zip(written.tolist(), ends)]
    return [tokenizer.decode(text).strip() for text in texts]


if __name__ == "__main__":
    print("\n".join(translate(Path(sys.argv[1]), sys.argv[2:])))
