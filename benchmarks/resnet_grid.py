"""A ResNet of CIFAR-10 from scratch: 512 subnets ranked by a supernet, and the best ones against pruning by L1 norms.

    python -m benchmarks.resnet_grid cifar10_train_jpeg.npz --output runs/resnet_grid

The network (`--model`: resnet20, resnet56) is trained alone by a job with the schedule `adapted` and share 1. Then:

1. A supernet begins with its weights and is trained by the sandwich rule; the network teaches its largest, and that the
   others. The grid has 512 subnets: in each of three stages all blocks or one block in three fewer, and a quarter, a
   half, three quarters or all of the channels inside its blocks. Residual channels stay.
2. All of them are ranked: calibrated, and judged on images of the validation split.
3. Some (`--sample`), one from each stretch of the multiply-accumulates, drawn by seed, are fine-tuned one by one from
   the weights of the supernet; how well the ranks agree with their test accuracies, and how well those of plain
   multiply-accumulates and weights do. The intervals are bootstrap intervals over these subnets.
4. At each `--reduction`, the best subnet by validation images is fine-tuned, and compared with the trained network
   pruned to one share of all channels by L1 norms: after the same fine-tuning, and after as many passes in all.

One pass of a supernet trains four subnets in each step, so it costs more than one of a single network; the table says
the processor time of each row. One seed: the 95 % interval of an accuracy of 88 % on 10,000 images is 0.6 points wide
to each side. The defaults are for a GPU. This takes about 75 minutes of one processor core, more where others use it:

    python -m benchmarks.resnet_grid cifar10_train_jpeg.npz --epochs 15 --supernet-epochs 2 --retrain-epochs 0.3
        --fine-tune 1 --ranked 1000

The same command goes on where an earlier one stopped; another one does again only what its settings change.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.pretrained import Processor
from nas import retrain
from nas.data import Data, DataConfig, load_data
from nas.rank_agreement import rank_agreement
from search_spaces import Architecture, Space
from service.job.building import build_space
from service.job.job import Job
from service.job.loading import job_of
from service.job.preparation import prepare_folder
from service.run.run import run
from service.run.stages.plan import Plan
from supernets import Classification, Supernet, TrainConfig, load_supernet, phases, train
from supernets.calibration import calibrated_subnet
from supernets.transforms.importance import by_weights, orders_by
from supernets.transforms.units import reorder, unit_groups

_GRID: Mapping[str, Any] = {
    **{"widths": [1.0], "ratios": [0.25, 0.5, 0.75, 1.0], "depths": [0.6, 1.0]},  # 2 of 3 blocks, 6 of 9
    **{"divisor": 4, "least_width": 4},
}
_BATCH, _DECAY = 128, 5e-4
_LR, _FINE_LR = 0.1, 0.05  # from scratch; from trained weights, of the supernet and of all that is fine-tuned
_BEST = 8  # of the ranking, judged again on the whole validation split
_CALIBRATION, _LONG_CALIBRATION = 2, 16  # batches: in the ranking, and of what is reported


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is trained and judged, each in a folder whose name follows from the settings that it depends on.

    Args:
        arguments: Of the command line.
        data: Images of CIFAR-10, on the device.
        device: Where networks are trained and judged.
    """

    arguments: argparse.Namespace
    data: Data
    device: torch.device

    # ---- folders ----------------------------------------------------------------------------------------------------

    def place(self, name: str, **settings: Any) -> Path:
        """Return the folder of a name and its settings."""
        settings = {"model": self.arguments.model, "data": self.data.fingerprint, **settings}
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
        folder: Path = self.arguments.output / f"{name}-{digest}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "settings.json").write_text(json.dumps(settings, indent=2))
        return folder

    @property
    def _of_base(self) -> dict[str, Any]:
        return {"epochs": self.arguments.epochs}

    @property
    def _of_supernet(self) -> dict[str, Any]:
        return {**self._of_base, "supernet_epochs": self.arguments.supernet_epochs}

    # ---- the network and its supernet -------------------------------------------------------------------------------

    @cached_property
    def space(self) -> Space:
        """The grid."""
        return self._space(**_GRID)

    @cached_property
    def base(self) -> Path:
        """The folder of the job that trains the network alone."""
        folder, job = self.place("base", **self._of_base), self._job(**_GRID)
        spent = Processor(folder / "processor_s.json")
        run(prepare_folder(job, folder / "job"), job, told(spent), Plan(stages=("train",)))
        return folder

    def whole(self) -> dict[str, Any]:
        """Return the figures of the network."""
        supernet = self._loaded(self._weights)
        return {**self._judged(supernet, self.space.largest()), "passes": self.arguments.epochs}

    @property
    def _weights(self) -> Path:
        return self.base / "job" / "supernet.safetensors"

    @property
    def supernet_folder(self) -> Path:
        """The folder of the supernet."""
        return self.place("supernet", **self._of_supernet)

    @cached_property
    def supernet(self) -> Supernet:
        """The supernet, trained from the weights of the network with the network as teacher."""
        folder = self.supernet_folder
        if (folder / "supernet.safetensors").exists():
            return self._loaded(folder / "supernet.safetensors")
        supernet = self._loaded(self._weights)
        teacher, config = supernet.extract(self.space.largest()), self._config(self.arguments.supernet_epochs)
        made = phases(self.space, replace(config, sampler="sandwich"))
        spent = Processor(folder / "processor_s.json")
        train(supernet, made, self.data.train, config, folder=folder, observer=told(spent), teacher=teacher)
        supernet.save(folder / "supernet.safetensors")
        spent()
        return supernet

    def of_supernet(self) -> dict[str, Any]:
        """Return the figures of the largest network of the supernet."""
        passes = self.arguments.epochs + self.arguments.supernet_epochs
        return {**self._judged(self.supernet, self.space.largest()), "passes": passes}

    # ---- ranks ------------------------------------------------------------------------------------------------------

    @cached_property
    def grid(self) -> list[Architecture]:
        """All subnets, those with fewer multiply-accumulates first."""
        decisions = self.space.decisions
        rows = product(*(decision.choices for decision in decisions))
        found = [self.space.architecture({d.name: c for d, c in zip(decisions, row, strict=True)}) for row in rows]
        return [found[i] for i in np.argsort(self.space.costs(found)["macs"], kind="stable")]

    @cached_property
    def ranking(self) -> np.ndarray:
        """Validation accuracies of the grid by the supernet, in percent."""
        folder = self.place("ranking", **self._of_supernet, ranked=self.arguments.ranked)
        file, spent = folder / "accuracies.jsonl", Processor(folder / "processor_s.json")
        done = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        few = self.data.validation.subset(self.arguments.ranked, seed=0)
        calibration = list(self._calibration(_CALIBRATION))
        supernet = self.supernet
        with file.open("a") as lines:
            for number, architecture in enumerate(self.grid[len(done) :], len(done)):
                network = self._subnet(supernet, architecture, calibration)
                done.append(Classification().evaluate(network, few.sequential(250)).value)
                lines.write(f"{done[-1]}\n")
                lines.flush()
                if number % 32 == 0:
                    print(f"ranked {number} of {len(self.grid)}, {spent():.0f} s", flush=True)
        spent()
        return np.array(done)

    def sample(self) -> list[int]:
        """Return subnets to fine-tune: one from each of equal stretches of the grid, by seed."""
        generator = np.random.default_rng(0)
        stretches = np.array_split(np.arange(len(self.grid)), self.arguments.sample)
        return [int(generator.choice(stretch)) for stretch in stretches]

    def retrained(self, number: int) -> dict[str, Any]:
        """Return the figures of one subnet of the grid after fine-tuning it alone."""
        passes = self.arguments.retrain_epochs
        folder = self.place(f"retrained/{number}", **self._of_supernet, retrain_epochs=passes)
        return self._tuned(folder, lambda: (self.supernet, self.grid[number]), passes, splits=("test",))

    # ---- within limits ----------------------------------------------------------------------------------------------

    def most(self, reduction: float) -> int:
        """Return the multiply-accumulates that a reduction leaves."""
        return int(self.space.costs([self.space.largest()])["macs"][0] / reduction)

    def found(self, reduction: float) -> dict[str, Any]:
        """Return the figures of the best subnet within a limit, fine-tuned."""
        passes = self.arguments.fine_tune
        settings = {**self._of_supernet, "ranked": self.arguments.ranked, "fine_tune": passes}
        folder = self.place(f"found-{reduction:g}", **settings)
        row = self._tuned(folder, lambda: (self.supernet, self._best(reduction)), passes)
        return {**row, "passes": row["passes"] + self.arguments.supernet_epochs}

    def _best(self, reduction: float) -> Architecture:
        """Return the subnet within a limit that has the best accuracy on the whole validation split."""
        macs = self.space.costs(self.grid)["macs"]
        within = np.flatnonzero(macs <= self.most(reduction))
        best = within[np.argsort(-self.ranking[within], kind="stable")][:_BEST]
        accuracies = {int(i): self._judged(self.supernet, self.grid[i], ("validation",))["validation"] for i in best}
        return self.grid[max(accuracies, key=lambda i: accuracies[i])]

    def pruned(self, reduction: float, passes: float) -> dict[str, Any]:
        """Return the figures of the network that keeps a share of its channels by L1 norms, fine-tuned."""

        def start() -> tuple[Supernet, Architecture]:
            space = self._uniform(self.most(reduction))
            supernet = Supernet(space)
            supernet.network.load_state_dict(load_file(self._weights))
            reorder(supernet, orders_by(by_weights(unit_groups(supernet), power=1)))
            return supernet.to(self.device), space.smallest()

        return self._tuned(self.place(f"pruned-{reduction:g}", **self._of_base, fine_tune=passes), start, passes)

    def longer(self, passes: float) -> dict[str, Any]:
        """Return the figures of the network after more passes alone."""
        folder = self.place("longer", **self._of_base, fine_tune=passes)
        return self._tuned(folder, lambda: (self._loaded(self._weights), self.space.largest()), passes)

    def _uniform(self, most: float) -> Space:
        """Return the space whose smallest network has one share of all channels and at most so many MACs."""
        for share in (round(0.01 * percent, 2) for percent in range(95, 10, -1)):
            part = [share, 1.0]
            space = self._space(widths=part, ratios=part, depths=[1.0], divisor=1, least_width=4)
            if space.costs([space.smallest()])["macs"][0] <= most:
                return space
        raise ValueError(f"no share of the channels has at most {most:,} multiply-accumulates")

    # ---- parts of them ----------------------------------------------------------------------------------------------

    def _loaded(self, weights: Path) -> Supernet:
        return load_supernet(self.space, weights).to(self.device)

    def _space(self, **options: Any) -> Space:
        return build_space(self._job(**options))

    def _job(self, **options: Any) -> Job:
        model = self.arguments.model
        return job_of(
            {
                "name": model,
                "data": data_fields(self.arguments.data),
                "space": {"name": "timm", "options": {"model": f"benchmarks.cifar_resnet:{model}", **options}},
                "train": {
                    **{"schedule": "adapted", "epochs": self.arguments.epochs, "batch_size": _BATCH, "lr": _LR},
                    **{"weight_decay": _DECAY, "adapt": {"share": 1.0, "order": "auto", "examples": 512}},
                },
                "tracking": {"enabled": False},
            }
        )

    def _config(self, epochs: float) -> TrainConfig:
        return TrainConfig(epochs=epochs, lr=_FINE_LR, batch_size=_BATCH, weight_decay=_DECAY)

    def _tuned(
        self,
        folder: Path,
        start: Callable[[], tuple[Supernet, Architecture]],
        passes: float,
        *,
        splits: Sequence[str] = ("validation", "test"),
    ) -> dict[str, Any]:
        """Fine-tune an architecture alone where that was not done; return its figures."""
        file = folder / "row.json"
        if not file.exists():
            supernet, architecture = start()
            spent = Processor(folder / "processor_s.json")
            config, place = self._config(passes), folder / "tuned"
            tuned = retrain(supernet, architecture, self.data.train, config, folder=place, observer=told(spent))
            row = {**self._judged(tuned, architecture, splits), "architecture": architecture.to_json()}
            file.write_text(json.dumps({**row, "processor_s": spent()}))
            print(f"{folder.parent.name}/{folder.name}: {file.read_text()}", flush=True)
        return {**json.loads(file.read_text()), "passes": self.arguments.epochs + passes}

    def _judged(
        self, supernet: Supernet, architecture: Architecture, splits: Sequence[str] = ("validation", "test")
    ) -> dict[str, Any]:
        """Return costs and accuracies of a network."""
        network = self._subnet(supernet, architecture, list(self._calibration(_LONG_CALIBRATION)))
        costs, task = supernet.space.costs([architecture]), Classification()
        accuracies = {name: task.evaluate(network, getattr(self.data, name).sequential(250)).value for name in splits}
        return {**{name: int(costs[name][0]) for name in ("params", "macs")}, **accuracies}

    @staticmethod
    def _subnet(supernet: Supernet, architecture: Architecture, calibration: Sequence[Tensor]) -> nn.Module:
        return calibrated_subnet(supernet, architecture, lambda: calibration, memory_format=torch.channels_last)

    def _calibration(self, batches: int) -> Iterator[Tensor]:
        return (images for images, *_ in islice(self.data.train.batches(_BATCH, epoch=0, seed=20_000), batches))


def data_fields(path: Path) -> dict[str, Any]:
    """Return the section `data` of the jobs."""
    return {"source": "npz", "path": str(path.resolve()), "validation_fraction": 0.1}


def told(spent: Processor) -> Callable[[Mapping[str, Any]], None]:
    """Return an observer that counts processor time and prints how a training goes, every half minute."""
    last = 0.0

    def observe(event: Mapping[str, Any]) -> None:
        nonlocal last
        seconds, now, kind = spent(event), time.monotonic(), event.get("event")
        if kind == "order" or (kind == "train" and now > last + 30):
            last = now
            names = ("phase", "step", "steps", "loss", "order", "losses")
            print(f"  { ({name: event[name] for name in names if name in event}) } {seconds:.0f} s", flush=True)

    return observe


def agreement(comparison: Comparison) -> Table:
    """Return how well scores rank the subnets that were fine-tuned."""
    numbers = comparison.sample()
    rows = [comparison.retrained(number) for number in numbers]
    accuracies = np.array([row["test"] for row in rows])
    scores = {"supernet": comparison.ranking[numbers]}
    scores |= {name: np.array([float(row[name]) for row in rows]) for name in ("macs", "params")}
    shown = Table(title=f"ranks of {len(rows)} subnets against their test accuracies after fine-tuning")
    for heading in ("score", "Kendall's tau", "Spearman", "Spearman over MACs"):
        shown.add_column(heading)
    for name, found in rank_agreement(scores, accuracies, resamples=2000).items():
        lead = found.lead.get("macs")
        shown.add_row(name, *(interval(one) for one in (found.kendall, found.spearman)), interval(lead) if lead else "")
    return shown


def interval(found: Any) -> str:
    """Return an estimate with its interval."""
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the figures of networks."""
    shown, most = Table(title=title), max(row["macs"] for row in rows.values())
    headings = ("network", "passes", "k weights", "M MACs", "fewer", "validation", "test", "processor minutes")
    for heading in headings:
        shown.add_column(heading, justify="left" if heading == "network" else "right")
    for name, row in rows.items():
        costs = [f"{row['params'] / 1e3:.0f}", f"{row['macs'] / 1e6:.1f}", f"{most / row['macs']:.2f}x"]
        accuracies = [f"{row[split]:.2f} %" for split in ("validation", "test")]
        minutes = f"{row['processor_s'] / 60:.1f}" if "processor_s" in row else ""
        shown.add_row(name, f"{row['passes']:g}", *costs, *accuracies, minutes)
    return shown


def seconds(folder: Path) -> float:
    """Return the processor time that was spent in a folder."""
    return json.loads((folder / "processor_s.json").read_text())


def compared(comparison: Comparison) -> tuple[dict[str, dict[str, Any]], Table]:
    """Return the figures of the networks, by what they are, and those of the ranks; what matters most comes first."""
    arguments = comparison.arguments
    more = arguments.supernet_epochs + arguments.fine_tune
    rows = {"the network, from scratch": {**comparison.whole(), "processor_s": seconds(comparison.base)}}
    rows["largest of the supernet"] = {**comparison.of_supernet(), "processor_s": seconds(comparison.supernet_folder)}
    print(rows, flush=True)
    assert len(comparison.ranking) == len(comparison.grid)
    for reduction in arguments.reduction:
        rows[f"{reduction:g}x: best of the grid"] = comparison.found(reduction)
        rows[f"{reduction:g}x: L1, as many passes"] = comparison.pruned(reduction, more)
    ranks = agreement(comparison)
    for reduction in arguments.reduction:
        rows[f"{reduction:g}x: L1, same fine-tuning"] = comparison.pruned(reduction, arguments.fine_tune)
    rows["the network, as many passes"] = comparison.longer(more)
    return rows, ranks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="npz of the training images; the test images lie beside it")
    parser.add_argument("--model", choices=["resnet20", "resnet56"], default="resnet20")
    parser.add_argument("--epochs", type=float, default=200, help="passes of the network")
    parser.add_argument("--supernet-epochs", type=float, default=100, help="passes of the supernet")
    parser.add_argument("--ranked", type=int, default=5000, help="validation images that the grid is judged on")
    parser.add_argument("--sample", type=int, default=20, help="subnets that are fine-tuned for the ranks")
    parser.add_argument("--retrain-epochs", type=float, default=50, help="passes of each of them")
    parser.add_argument("--reduction", type=float, nargs="+", default=[2.1, 2.6], help="how many times fewer MACs")
    parser.add_argument("--fine-tune", type=float, default=100, help="passes of a network within a limit")
    parser.add_argument("--output", type=Path, default=Path("runs/resnet_grid"))
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = load_data(DataConfig(**data_fields(arguments.data)), device=device)
    comparison = Comparison(arguments=arguments, data=data, device=device)
    (rows, ranks), console = compared(comparison), Console(width=140)
    console.print(table(f"{arguments.model} on CIFAR-10, {len(data.train):,} training images", rows))
    console.print(ranks)


if __name__ == "__main__":
    main()
