"""Split computing on CIFAR-10: one slimmable encoder for all widths against one encoder trained for each.

    python -m benchmarks.split_computing cifar10_train_jpeg.npz

A small ResNet is trained alone and becomes the teacher. It is cut behind its second stage. A slimmable encoder of four
widths, four bottlenecks and two numbers of bits is then trained together with it: the whole network, and the widest,
two random and the narrowest encoder in every step, by soft labels and by the features at the cut. Beside it, an encoder
of each width, with 12 channels of 8 bits, is trained alone for as many steps on the same network. All are judged on
5,000 images that no training has seen; differences have paired 95 % intervals.

Then both halves of every member are measured here, and the policy picks a member at each rate of the link: the most
accurate within the deadline. The device counts as slower than this machine by a factor.

By default 10,000 images of 16x16 pixels are shown twelve times in each training, which takes about 20 minutes of one
core. The same command goes on where an earlier one stopped; `--seeds` names a part of the rows.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn

from benchmarks.cifar_resnet import CifarResNet
from benchmarks.pretrained import Processor
from benchmarks.relaxed_rows import Row, few_images, fresh, table
from nas.data import Data
from nas.hardware import LatencyConfig, Meter
from nas.offload import Link, Member, choose, measured_halves
from search_spaces import Architecture, Space
from search_spaces.families.split import split
from supernets import Supernet, TrainConfig
from supernets.calibration import calibrated_subnet
from supernets.samplers import Fixed, PartSandwich
from supernets.tasks import Classification
from supernets.training.phases import Phase

WIDTHS, BOTTLENECKS, BITS, CUT = (0.25, 0.5, 0.75, 1.0), (3, 6, 12, 24), (4, 8), "stage2"
COMPARED = {"bottleneck": 12, "bits": 8}
_VALIDATION, _CALIBRATION, _BATCH = 5000, 1000, 250
_RATES = np.geomspace(0.01, 1000, 11)
_Z = 1.96


def network(target: str, offered: Mapping[str, int]) -> nn.Module:
    """Return ResNet-8 with fresh weights."""
    return CifarResNet(1, offered["classes"])


@dataclass(frozen=True, kw_only=True)
class Study:
    """The trainings on one set of images.

    Args:
        arguments: Of the command line.
        data: Images for training and validation.
    """

    arguments: argparse.Namespace
    data: Data

    @cached_property
    def space(self) -> Space:
        """The network and its encoders."""
        return split(
            model="benchmarks:network",
            call_own=network,
            image_size=self.arguments.image_size,
            cuts=(CUT,),
            widths=WIDTHS,
            bottlenecks=BOTTLENECKS,
            bits=BITS,
            encoder=self.arguments.encoder,
        )

    def member(self, **values: Any) -> Architecture:
        """Return the network that is cut, with these choices."""
        return self.space.architecture({"cut": CUT, **COMPARED, **values})

    @property
    def members(self) -> dict[str, Architecture]:
        """All networks that are cut, by width, channels and bits."""
        return {
            f"{width} {bottleneck} {bits}": self.member(width=width, bottleneck=bottleneck, bits=bits)
            for width in WIDTHS
            for bottleneck in BOTTLENECKS
            for bits in BITS
        }

    def row(self, name: str, seed: int) -> dict[str, Any]:
        """Return what a training comes to with a seed."""
        given = self.arguments
        names = ("images", "image_size", "epochs", "batch_size", "lr", "encoder")
        settings = {"data": self.data.fingerprint, **{one: getattr(given, one) for one in names}}
        makers = {"base": self.base, "slimmable": self.slimmable, "halves": self.halves}
        return Row(output=given.output, name=name, seed=seed, settings=settings).made(makers.get(name, self.alone))

    # ---- trainings ------------------------------------------------------------------------------------------------

    def base(self, row: Row, spent: Processor) -> dict[str, Any]:
        """Train the whole network alone."""
        largest = self.space.largest()
        supernet = self._trained(row, spent, Fixed(architecture=largest), fresh(self.space))
        return {"right": {"whole": self._right(supernet, largest)}}

    def slimmable(self, row: Row, spent: Processor) -> dict[str, Any]:
        """Train the encoders of all sizes together; return which images every member gets right."""
        supernet = self._taught(row, spent, PartSandwich(space=self.space, subnets=5))
        right = {name: self._right(supernet, architecture) for name, architecture in self.members.items()}
        return {"right": {**right, "whole": self._right(supernet, self.space.largest())}}

    def alone(self, row: Row, spent: Processor) -> dict[str, Any]:
        """Train the encoder of one width."""
        member = self.member(width=float(row.name.removeprefix("alone")))
        supernet = self._taught(row, spent, Fixed(architecture=member))
        return {"right": {row.name: self._right(supernet, member)}}

    def _taught(self, row: Row, spent: Processor, sampler: Any) -> Supernet:
        """Train encoders before the network of the seed, which teaches."""
        self.row("base", row.seed)
        path = Row(output=row.output, name="base", seed=row.seed, settings=row.settings).folder / "supernet.safetensors"

        def begun() -> Supernet:
            supernet = Supernet(self.space)
            fresh_ones = {name: one.clone() for name, one in supernet.network.state_dict().items()}
            supernet.load(path)
            of_pieces = {name: one for name, one in supernet.network.state_dict().items() if name.startswith("tail.")}
            supernet.network.load_state_dict({**fresh_ones, **of_pieces})
            return supernet

        teacher = calibrated_subnet(begun(), self.space.largest(), self._calibration)
        return self._trained(row, spent, sampler, begun, teacher=teacher, feature_weight=1.0)

    def _trained(
        self, row: Row, spent: Processor, sampler: Any, make: Any, *, teacher: nn.Module | None = None, **more: Any
    ) -> Supernet:
        given = self.arguments
        plain = {"epochs": given.epochs, "batch_size": given.batch_size, "lr": given.lr}
        config = TrainConfig(**plain, label_smoothing=0.0, weight_decay=5e-4, **more)
        phase = Phase(name=row.name, sampler=sampler, epochs=given.epochs, lr=given.lr, warmup_fraction=0.04)
        return row.trained(make, config, self.data.train, spent, schedule=[phase], teacher=teacher)

    # ---- judging --------------------------------------------------------------------------------------------------

    def _calibration(self) -> Any:
        batches = self.data.train.batches(_BATCH, epoch=0, seed=0, augment=False)  # type: ignore[call-arg]
        return (images for images, _ in islice(batches, _CALIBRATION // _BATCH))

    def _right(self, supernet: Supernet, architecture: Architecture) -> str:
        """Return for every image whether the member gets it right, one bit each, in hexadecimal digits."""
        subnet = calibrated_subnet(supernet, architecture, self._calibration)
        scores = Classification().outcomes(subnet, self.data.validation.sequential(_BATCH)).scores
        return np.packbits(scores > 0).tobytes().hex()

    def halves(self, row: Row, spent: Processor) -> dict[str, Any]:
        """Measure both halves of all members, and the whole network in either place."""
        supernet = Supernet(self.space).eval()
        ends = {cut: self.space.architecture({"cut": cut}) for cut in ("input", "none")}
        quick = LatencyConfig(repeats=10, warmup_s=0.1)
        found = {}
        with Meter(quick) as meter:
            for name, architecture in {**ends, **self.members}.items():
                subnet = supernet.extract(architecture).eval()
                times = measured_halves(subnet, self.space.example(), meter, meter)
                sent = int(self.space.costs([architecture])["sent_bytes"][0])
                found[name] = {"sent_bytes": sent, "device": times.device.value, "server": times.server.value}
        return {"members": found}


def right_of(row: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return for each member of a row whether it gets each image right [N], as 0 and 100."""
    return {
        name: 100.0 * np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))[:_VALIDATION]
        for name, text in row["right"].items()
    }


def interval(differences: np.ndarray) -> tuple[float, float]:
    """Return the mean of paired differences [N] and half the width of its 95 % interval."""
    return float(differences.mean()), float(_Z * differences.std(ddof=1) / len(differences) ** 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="npz of the training images; the test images lie beside it")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--images", type=int, default=10_000, help="images for training")
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--epochs", type=float, default=12.0, help="of each training")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--encoder", choices=["slimmable", "ensemble"], default="slimmable")
    parser.add_argument("--deadline-ms", type=float, default=10.0, help="of the policy")
    parser.add_argument("--slower", type=float, default=50.0, help="how much slower the device is than this machine")
    parser.add_argument("--output", type=Path, default=Path("runs/split_computing"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = few_images(given.data, given.images, given.image_size, given.output, validation=_VALIDATION)
    study = Study(arguments=given, data=data)
    names = ["base", "slimmable", *(f"alone{width}" for width in WIDTHS)]
    rows = {name: [study.row(name, seed) for seed in given.seeds] for name in names}
    right = {name: [right_of(row) for row in of] for name, of in rows.items()}
    show_widths(right, rows)
    slimmable = {name: np.mean([one[name] for one in right["slimmable"]], axis=0) for name in right["slimmable"][0]}
    show_grid(slimmable)
    show_policy(study.row("halves", given.seeds[0])["members"], slimmable, given)


def show_widths(right: Mapping[str, Sequence[Mapping[str, np.ndarray]]], rows: Mapping[str, Any]) -> None:
    """Print each width of the slimmable encoder beside the encoder that was trained for it."""
    headings = ("width", "slimmable", "alone", "difference", "core minutes alone")
    shown = table("accuracy with 12 channels of 8 bits", *headings)
    for width in WIDTHS:
        ours = np.mean([one[f"{width} 12 8"] for one in right["slimmable"]], axis=0)
        other = np.mean([one[f"alone{width}"] for one in right[f"alone{width}"]], axis=0)
        mean, half = interval(ours - other)
        minutes = np.mean([row["processor_s"] for row in rows[f"alone{width}"]]) / 60
        shown.add_row(
            f"{width}", f"{ours.mean():.2f} %", f"{other.mean():.2f} %", f"{mean:+.2f} ± {half:.2f}", f"{minutes:.1f}"
        )
    Console(width=120).print(shown)
    before, after = (np.mean([one["whole"].mean() for one in right[name]]) for name in ("base", "slimmable"))
    minutes = np.mean([row["processor_s"] for row in rows["slimmable"]]) / 60
    print(f"whole network: {before:.2f} % alone, {after:.2f} % with encoders; these took {minutes:.1f} core minutes")


def show_grid(slimmable: Mapping[str, np.ndarray]) -> None:
    """Print the accuracy by width and bottleneck, and the largest fall where one of them grows."""
    shown = table("accuracy of the slimmable encoder, 8 bits", "width", *(f"{c} channels" for c in BOTTLENECKS))
    grid = np.array([[slimmable[f"{w} {c} 8"].mean() for c in BOTTLENECKS] for w in WIDTHS])
    for width, accuracies in zip(WIDTHS, grid):
        shown.add_row(f"{width}", *(f"{one:.2f} %" for one in accuracies))
    Console(width=120).print(shown)
    falls = [before - after for lines in (grid, grid.T) for line in lines for before, after in pairwise(line)]
    print(f"largest fall where width or bottleneck grows: {max(0.0, *falls):.2f} points of {len(falls)} steps")


def show_policy(measured: Mapping[str, Mapping[str, float]], slimmable: Mapping[str, Any], given: Any) -> None:
    """Print the member that the policy picks at each rate of the link."""
    members = [
        Member(
            key=name,
            quality=float(slimmable["whole" if name in ("input", "none") else name].mean()),
            sent_bytes=int(one["sent_bytes"]),
            device_ms=given.slower * one["device"],
            server_ms=one["server"],
        )
        for name, one in measured.items()
    ]
    title = f"most accurate within {given.deadline_ms:g} ms, the device {given.slower:g} times slower"
    shown = table(title, "Mbit/s", "width, channels, bits", "bytes", "ms", "accuracy")
    for rate in _RATES:
        link = Link(rate_mbit_s=float(rate))
        chosen = choose(members, link, deadline_ms=given.deadline_ms)
        shown.add_row(
            f"{rate:g}", chosen.key, f"{chosen.sent_bytes}", f"{chosen.ms(link):.2f}", f"{chosen.quality:.2f} %"
        )
    Console(width=120).print(shown)
    fits = [one.key for one in members if one.device_ms + one.server_ms <= given.deadline_ms]
    print(f"{len(fits)} of {len(members)} members keep the deadline without the time of the link")


if __name__ == "__main__":
    main()
