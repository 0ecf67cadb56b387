"""Nested language models against separate ones, with as many passes in all, on the English side of Multi30k.

    python -m benchmarks.nested_language multi30k

One supernet of the space `language` is trained as SortedNet says: every step draws four of four nested sizes, and
averages their losses. Its checkpoint serves all sizes. Beside it, a model of each size is trained alone from fresh
weights of its own, for a quarter of the passes: each takes as many steps as the supernet, on the same lines, so all
four together have as many passes. A pass is one line forward and backward through one model. All have the same
optimizer and learning rate, which were not tuned.

For every size: parameters, multiply-accumulates of 32 tokens, the perplexity of the test lines (of a token; the
vocabulary has 1,000), nested and separate, and the ratio of both. Intervals are 95 % over seeds (Student's t), of the
ratio by its logarithm, paired by seed. The last line has the sizes of the files.

The defaults take about 40 minutes of one core. The same command goes on where an earlier one stopped; `--seeds` and
`--only` name a part of the rows.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import nn

from benchmarks.pretrained import Processor
from benchmarks.relaxed_rows import Row, fresh, table
from benchmarks.supertickets import column, interval
from nas.data import Data, DataConfig, load_data
from nas.retraining import train_from_scratch
from nas.student_interval import student_half
from search_spaces import Architecture, Space
from search_spaces.families.language import language
from supernets import Sorted, TrainConfig, calibrate, load_supernet
from supernets.tasks import Language

CHOICES: Mapping[str, tuple[int, ...]] = {
    "embeds": (48, 64, 80, 96),
    "ratios": (1, 2, 3, 4),
    "heads": (1, 2, 3, 4),
    "depths": (1, 2, 3, 4),
}
SIZES = len(CHOICES["embeds"])


def space_of(vocabulary: int, longest: int, size: int | None = None) -> Space:
    """Return the nested space, or that of one size alone, whose fresh weights are its own."""
    choices = {name: values if size is None else values[size : size + 1] for name, values in CHOICES.items()}
    return language(vocabulary=vocabulary, length=32, longest=longest, head_width=24, **choices)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The comparison on one text.

    Args:
        arguments: Of the command line.
        data: Lines of English.
        longest: Longest line in tokens.
    """

    arguments: argparse.Namespace
    data: Data
    longest: int

    def space(self, size: int | None = None) -> Space:
        """Return the nested space, or that of one size."""
        return space_of(self.arguments.vocabulary, self.longest, size)

    def config(self, *, nested: bool) -> TrainConfig:
        """Return how models are trained, together or alone."""
        given = self.arguments
        together: dict[str, Any] = {
            "sampler": "sorted",
            "sampler_options": {"points": SIZES},
            "subnets_per_step": SIZES,
        }
        return TrainConfig(
            epochs=given.epochs,
            batch_size=given.batch_size,
            lr=given.lr,
            optimizer="adamw",
            beta2=0.98,
            weight_decay=0.01,
            warmup_fraction=0.1,
            **(together if nested else {}),
        )

    def nested(self, seed: int) -> dict[str, Any]:
        """Return the row of the supernet: the perplexity of every size, read from one file."""

        def learn(row: Row, spent: Processor) -> dict[str, Any]:
            space, config = self.space(), self.config(nested=True)
            row.trained(fresh(space), config, self.data.train, spent, task=Language())
            file = row.folder / "supernet.safetensors"
            supernet = load_supernet(space, file)
            found = [self._perplexity(supernet.extract(one)) for one in sizes(space)]
            return {"perplexities": found, "bytes": file.stat().st_size, "passes": config.epochs * SIZES}

        return self._row("nested", seed, nested=True).made(learn)

    def separate(self, size: int, seed: int) -> dict[str, Any]:
        """Return the row of a model of one size that is trained alone."""

        def learn(row: Row, spent: Processor) -> dict[str, Any]:
            space, config = self.space(size), self.config(nested=False)
            given: dict[str, Any] = {"folder": row.folder / "train", "observer": spent}
            network = train_from_scratch(
                space, space.largest(), self.data.train, config, task=Language(), seed=seed, **given
            )
            file = row.folder / "model.safetensors"
            save_file({name: one.contiguous() for name, one in network.state_dict().items()}, file)
            return {"perplexity": self._perplexity(network), "bytes": file.stat().st_size, "passes": config.epochs}

        return self._row(f"separate{size}", seed, nested=False).made(learn)

    def _row(self, name: str, seed: int, *, nested: bool) -> Row:
        settings = {"data": self.data.fingerprint, "choices": CHOICES, "train": repr(self.config(nested=nested))}
        return Row(output=self.arguments.output, name=name, seed=seed, settings=settings)

    def _perplexity(self, network: nn.Module) -> float:
        return Language().evaluate(calibrate(network, []), self.data.test.sequential(100)).value


def sizes(space: Space) -> Sequence[Architecture]:
    """Return the nested architectures, the smallest first."""
    return Sorted(space=space, points=SIZES).nested


def show(trial: Trial, nested: Sequence[dict[str, Any]], separate: Sequence[Sequence[dict[str, Any]]]) -> None:
    """Print the perplexity of every size.

    Args:
        trial: What was compared.
        nested: A row for each seed.
        separate: For each size, a row for each seed.
    """
    space, epochs = trial.space(), trial.arguments.epochs
    costs = space.costs(list(sizes(space)))
    title = f"perplexity of a token on the test lines; {epochs * SIZES:g} passes of all sizes together, both ways"
    shown = table(title, "size", "M weights", "M MACs", "nested", "separate", "nested / separate", "core minutes")
    for size, rows in enumerate(separate):
        ours, theirs = np.array([row["perplexities"][size] for row in nested]), column(list(rows), "perplexity")
        numbers = [f"{costs[name][size] / 1e6:.2f}" for name in ("params", "macs")]
        minutes = f"{np.mean(column(list(rows), 'processor_s')) / 60:.1f}"
        shown.add_row(f"{size + 1}", *numbers, interval(ours), interval(theirs), ratio(ours / theirs), minutes)
    Console(width=130).print(shown)
    minutes = np.mean(column(list(nested), "processor_s")) / 60
    alone = sum(np.mean(column(list(rows), "processor_s")) for rows in separate) / 60
    kept = nested[0]["bytes"] / 1e6, sum(rows[0]["bytes"] for rows in separate) / 1e6
    print(f"a seed takes {minutes:.1f} core minutes nested, {alone:.1f} separate")
    print(f"one checkpoint of {kept[0]:.2f} MB serves all sizes; separate models have {kept[1]:.2f} MB")


def ratio(values: np.ndarray) -> str:
    """Return the geometric mean of ratios with its 95 % interval."""
    logs = np.log(values)
    mean, half = logs.mean(), student_half(logs) if len(logs) > 1 else None
    if half is None:
        return f"{np.exp(mean):.3f}"
    return f"{np.exp(mean):.3f} [{np.exp(mean - half):.3f}, {np.exp(mean + half):.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "data", type=Path, help="folder of lines: train.en.gz, val.en.gz and test*.en.gz, or without gz"
    )
    parser.add_argument("--only", choices=("nested", "separate"), help="part that is made, without the table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=float, default=4.5, help="of the supernet, and of every separate model")
    parser.add_argument("--batch-size", type=int, default=64, help="lines of one step")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--vocabulary", type=int, default=1000)
    parser.add_argument("--language", default="en")
    parser.add_argument("--output", type=Path, default=Path("runs/nested_language"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    options = {"language": given.language, "vocabulary": given.vocabulary, "longest": 128}
    config = DataConfig(source="text", path=str(given.data.resolve()), options=options)
    trial = Trial(arguments=given, data=load_data(config, device=torch.device("cpu")), longest=128)
    nested = [trial.nested(seed) for seed in given.seeds if given.only != "separate"]
    every = range(SIZES if given.only != "nested" else 0)
    separate = [[trial.separate(size, seed) for seed in given.seeds] for size in every]
    if given.only is None:
        show(trial, nested, separate)


if __name__ == "__main__":
    main()
