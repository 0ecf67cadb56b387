"""Mixture of supernets on language models: does a blend of experts train better than weights that are shared as such?

    python -m benchmarks.mixture_of_supernets multi30k

Small decoders on the English side of Multi30k (`language`: 22,113 architectures from 43,360 to 252,608 weights, a
vocabulary of 1,000). Supernets of four kinds are trained for as many steps each, with one random architecture a step:
weights that are shared as they are (one expert, which is the same bit for bit); two experts with one blend for each
feed-forward layer; two experts with one blend for each neuron; and two experts whose routers read a constant, so that
all architectures have one blend. `independent` is a fifth kind, made only if it is named: a blend for each layer, and
experts that begin with weights of their own. All kinds begin with the same first expert, and see the same batches and
architectures.

For every kind: the mean validation loss of 50 random architectures with the weights that they inherit, in nats per
token; its difference to plain sharing on the same architectures and seeds; Kendall's tau of the losses of twelve
architectures with their losses after training alone from fresh weights, for as many steps, one seed; and the lead of
this tau over plain sharing. Numbers of weights and of multiply-accumulates are baselines that need no training.
Intervals are 95 %, over architectures and seeds. Weights are those of the supernet with its routers; each network has
as many as without experts.

With three seeds, all of it takes about 45 minutes of one core: a supernet 2, a network alone 1.5. The same command goes
on where an earlier one stopped; `--methods` and `--seeds` name a part of the rows, so that several processes can share
a folder. The table is that of the rows of the command.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn

from benchmarks.pretrained import Processor
from benchmarks.relaxed_rows import Row, fresh, table
from nas.benchmarks.method_comparison import compare
from nas.data import Data, DataConfig, load_data
from nas.retraining import train_from_scratch
from nas.student_interval import student_half
from search_spaces import Architecture, Space
from search_spaces.families.language import language
from supernets import ExpertsConfig, TrainConfig, calibrate, with_experts
from supernets.tasks import Language

METHODS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "shared": ("plain sharing", {"experts": 1}),
    "layer": ("2 experts, by layer", {"experts": 2, "routing": "layer"}),
    "neuron": ("2 experts, by neuron", {"experts": 2, "routing": "neuron"}),
    "constant": ("2 experts, constant input", {"experts": 2, "routing": "layer", "input": "constant"}),
    "independent": ("2 independent experts, by layer", {"experts": 2, "routing": "layer", "start": "independent"}),
}
"""Name -> title, and settings of the experts."""
ALONE = "alone"
_DEFAULT = ("shared", "layer", "neuron", "constant", ALONE)
_BASELINES = {"params": "number of weights", "macs": "MACs"}
_NORMAL = 1.959964
_SIZES: Mapping[str, Any] = {"embeds": (32, 48, 64), "heads": (1, 2, 3), "head_width": 16, "depths": (2, 3, 4)}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Supernets of all kinds, and networks alone.

    Args:
        arguments: Of the command line.
        data: Lines for training and validation.
    """

    arguments: argparse.Namespace
    data: Data

    @cached_property
    def space(self) -> Space:
        """The space without experts."""
        facts = {name: self.data.facts[name] for name in ("vocabulary", "longest")}
        return language(length=20, dropout=0.0, **_SIZES, **facts)

    @cached_property
    def architectures(self) -> list[Architecture]:
        """Different random architectures; the first of them are trained alone as well."""
        generator, drawn = np.random.default_rng(0), dict[Architecture, None]()
        while len(drawn) < self.arguments.architectures:
            drawn[self.space.sample(generator)] = None
        return list(drawn)

    @property
    def config(self) -> TrainConfig:
        """How everything is trained."""
        given = self.arguments
        return TrainConfig(
            epochs=given.steps / max(1, len(self.data.train) // given.batch_size),
            batch_size=given.batch_size,
            optimizer="adamw",
            beta2=0.98,
            lr=given.lr,
            warmup_fraction=0.1,
            weight_decay=1e-4,
            label_smoothing=0.0,
        )

    def _row(self, name: str, seed: int, **more: Any) -> Row:
        given = self.arguments
        names = ("steps", "batch_size", "lr")
        settings = {"data": self.data.fingerprint, **{name: getattr(given, name) for name in names}, **more}
        return Row(output=given.output, name=name, seed=seed, settings=settings)

    def _loss(self, network: nn.Module) -> float:
        """Return the mean loss of the validation split in nats per token."""
        value = Language().evaluate(calibrate(network, []), self.data.validation.sequential(100)).value
        return round(float(np.log(value)), 5)

    def supernet(self, method: str, seed: int) -> dict[str, Any]:
        """Return what a kind of supernet comes to with a seed."""
        experts = ExpertsConfig(**METHODS[method][1])
        space = with_experts(self.space, experts)

        def judged(row: Row, spent: Processor) -> dict[str, Any]:
            supernet = row.trained(fresh(space), self.config, self.data.train, spent, task=Language())
            losses = [self._loss(supernet.extract(one)) for one in self.architectures]
            weights = sum(weight.numel() for weight in supernet.parameters())
            return {"loss": round(float(np.mean(losses)), 5), "weights": weights, "losses": losses}

        settings = {"experts": repr(experts), "architectures": len(self.architectures)}
        return self._row(method, seed, **settings).made(judged)

    def alone(self, number: int) -> dict[str, Any]:
        """Return what one of the architectures comes to alone."""
        architecture, costs = self.architectures[number], self.space.costs(self.architectures)

        def judged(row: Row, spent: Processor) -> dict[str, Any]:
            network = train_from_scratch(
                self.space,
                architecture,
                self.data.train,
                self.config,
                task=Language(),
                folder=row.folder / "train",
                observer=spent,
            )
            return {"loss": self._loss(network), "params": int(costs["params"][number])}

        return self._row(f"{ALONE}{number}", 0, architecture=architecture.key).made(judged)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of Multi30k: train.en.gz, val.en.gz, test_2016_flickr.en.gz")
    parser.add_argument("--methods", nargs="+", choices=(*METHODS, ALONE), default=_DEFAULT)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=2500, help="of a supernet, and of a network alone")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--architectures", type=int, default=50, help="that supernets are judged on")
    parser.add_argument("--alone", type=int, default=12, help="of these, trained alone as well")
    parser.add_argument("--vocabulary", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=Path("runs/mixture_of_supernets"))
    given = parser.parse_args()
    options = {"language": "en", "test": "test_2016_flickr", "vocabulary": given.vocabulary, "longest": 80}
    config = DataConfig(source="text", path=str(given.data), options=options)
    comparison = Comparison(arguments=given, data=load_data(config, device=torch.device("cpu")))
    rows = [comparison.supernet(method, seed) for seed in given.seeds for method in given.methods if method != ALONE]
    alone = [comparison.alone(number) for number in range(given.alone)] if ALONE in given.methods else []
    show(comparison, rows, alone)


def show(comparison: Comparison, rows: Sequence[Mapping[str, Any]], alone: Sequence[Mapping[str, Any]]) -> None:
    """Print losses, differences to the first kind of supernet, and how well each ranks."""
    found = {name: {row["seed"]: row for row in rows if row["method"] == name} for name in METHODS}
    found = {name: seeds for name, seeds in found.items() if seeds}
    title = f"{len(comparison.architectures)} architectures, {comparison.arguments.steps:,} steps"
    headings = ("supernet", "weights", "mean loss", "less plain sharing", "Kendall's tau", "its lead", "core minutes")
    shown, taus = table(title, *headings), _taus(comparison, found, alone)
    for name, seeds in found.items():
        losses = {seed: np.array(row["losses"]) for seed, row in seeds.items()}
        minutes = np.mean([row["processor_s"] for row in seeds.values()]) / 60
        difference = ""
        if name != "shared" and (both := losses.keys() & found.get("shared", {}).keys()):
            plain = {seed: np.array(found["shared"][seed]["losses"]) for seed in both}
            difference = _interval(np.stack([losses[seed] - plain[seed] for seed in sorted(both)]), sign="+")
        weights = f"{next(iter(seeds.values()))['weights']:,}"
        mean = _interval(np.stack(list(losses.values())))
        shown.add_row(METHODS[name][0], weights, mean, difference, *taus.get(name, ("", "")), f"{minutes:.1f}")
    for name, words in _BASELINES.items():
        if name in taus:
            shown.add_row(words, "", "", "", *taus[name])
    if alone:
        minutes = np.mean([row["processor_s"] for row in alone]) / 60
        mean = _interval(np.array([[row["loss"] for row in alone]]))
        shown.add_row(f"{len(alone)} networks alone", "", mean, "", "", "", f"{minutes:.1f}")
    Console(width=170).print(shown)


def _interval(values: np.ndarray, sign: str = "") -> str:
    """Return the mean of values [seeds, architectures] and its interval, over both, as text."""
    mean = float(values.mean())
    half = _NORMAL * float(values.mean(0).std(ddof=1)) / np.sqrt(values.shape[1])
    if len(values) > 1:
        half = float(np.hypot(half, student_half(values.mean(1))))
    return f"{mean:{sign}.3f} [{mean - half:{sign}.3f}, {mean + half:{sign}.3f}]"


def _taus(
    comparison: Comparison, found: Mapping[str, Mapping[int, Mapping[str, Any]]], alone: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[str, str]]:
    """Return Kendall's tau of each kind of supernet, and its lead over the first one, with intervals as text."""
    if len(alone) < 3:
        return {}
    scores = {
        name: {seed: -np.array(row["losses"][: len(alone)]) for seed, row in seeds.items()}
        for name, seeds in found.items()
    }
    costs = comparison.space.costs(comparison.architectures[: len(alone)])
    baselines = {name: np.asarray(costs[name], dtype=float) for name in _BASELINES}
    ranked = compare(scores, -np.array([row["loss"] for row in alone]), baselines=baselines)
    told = {}
    for name, one in ranked.items():
        tau, lead = one.measures["kendall"], one.lead.get("kendall")
        ahead = "" if lead is None else f"{lead.value:+.3f} [{lead.low:+.3f}, {lead.high:+.3f}]"
        told[name] = (f"{tau.value:.3f} [{tau.low:.3f}, {tau.high:.3f}]", ahead)
    return told


if __name__ == "__main__":
    main()
