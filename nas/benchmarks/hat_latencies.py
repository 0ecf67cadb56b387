"""Published latencies of transformers, described by ten features and not by single architectures.

Paper: Wang et al., HAT, arXiv 2005.14187, section 3.2.
Differs: the released files hold one device each; here all stand in one table, with a column for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nas.benchmarks.published_tables import read_cells
from search_spaces.families.hat_genes import FEATURES

Part = Literal["encoder", "decoder", "both"]
_TASK, _DEVICE = "task", "device"
_MS = {"encoder": "latency_mean_encoder_ms", "decoder": "latency_mean_decoder_ms"}


@dataclass(frozen=True, kw_only=True)
class HatLatencies:
    """Latencies of N networks on one device.

    Attributes:
        task: Task that the networks are for, such as `wmt14ende`.
        device: Device, such as `cpu_xeon`.
        features: Features of each network [N, 10], see `hat_genes.FEATURES`.
        encoder_ms: Milliseconds of the encoder [N].
        decoder_ms: Milliseconds of the decoder, token by token [N].
    """

    task: str
    device: str
    features: np.ndarray
    encoder_ms: np.ndarray
    decoder_ms: np.ndarray

    def milliseconds(self, part: Part) -> np.ndarray:
        """Return the milliseconds [N] of a part of the networks."""
        parts = {"encoder": self.encoder_ms, "decoder": self.decoder_ms, "both": self.encoder_ms + self.decoder_ms}
        return parts[part]


def read_hat_latencies(path: Path) -> list[HatLatencies]:
    """Return the latencies of each task and device of a csv or csv.gz, in their order there.

    Raises:
        OSError: The file cannot be read.
        ValueError: A column is missing, or a cell holds no number above 0; the message names file, line and column.
    """
    cells, lines = read_cells(path)
    needed = (_TASK, _DEVICE, *FEATURES, *_MS.values())
    if missing := [name for name in needed if name not in cells]:
        raise ValueError(f"{path} has no column {missing[0]!r}; it has {', '.join(cells)}")
    numbers = {name: _positive(path, name, cells[name], lines) for name in (*FEATURES, *_MS.values())}
    keys = list(zip(cells[_TASK], cells[_DEVICE]))
    found = []
    for task, device in dict.fromkeys(keys):
        rows = np.array([key == (task, device) for key in keys])
        found.append(
            HatLatencies(
                task=task,
                device=device,
                features=np.stack([numbers[name][rows] for name in FEATURES], axis=1),
                encoder_ms=numbers[_MS["encoder"]][rows],
                decoder_ms=numbers[_MS["decoder"]][rows],
            )
        )
    return found


def _positive(path: Path, name: str, texts: Sequence[str], lines: Sequence[int]) -> np.ndarray:
    values = []
    for text, line in zip(texts, lines):
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{path}, line {line}: {name} = {text!r} is not a number above 0")
        values.append(value)
    return np.array(values)
