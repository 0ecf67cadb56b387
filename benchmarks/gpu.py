"""Everything that is claimed of a GPU, measured on one card in one table, beside plain torch on the same card.

    python -m benchmarks.gpu [--minutes 8] [--output gpu] [--data cifar10.npz] [--only proxies evaluation ...]
                             [--table nb201.csv.gz --column c10_test_200 [--epochs 250]]

Each section is measured once: results are in OUTPUT/gpu.json, and the same command goes on with the sections that it
lacks. A section begins only while there is time for it. `commands` trains CIFAR-10 with --data; `ranking` compares ways
to train the supernet of NAS-Bench-201 with --table and --data, and takes hours with the published 250 epochs: its
command goes on where it was cut off. Without a CUDA device it prints one line and ends with status 2; `--device cpu
--tiny` tries everything at a size without meaning.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from benchmarks import gpu_commands, gpu_figures
from benchmarks.gpu_figures import Figure, Setting

SECTIONS: dict[str, tuple[float, Callable[[Setting], Iterator[Figure]]]] = {
    "convolutions": (0.7, gpu_figures.convolutions),
    "once_for_all": (1.5, gpu_figures.once_for_all),
    "small_networks": (1.5, gpu_figures.small_networks),
    "evaluation": (0.5, gpu_figures.evaluation),
    "proxies": (1.0, gpu_figures.proxies),
    "commands": (4.0, gpu_commands.commands),
    "ranking": (1.0, gpu_commands.ranking),
}
"""Name -> minutes that must be left, and what measures it."""


@dataclass
class Remembered:
    """The figures of finished sections, in a file beside which nothing else is needed to go on.

    Args:
        path: The file.
        conditions: Card and versions; figures of others are not taken over.
    """

    path: Path
    conditions: dict[str, str]

    def __post_init__(self) -> None:
        kept = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
        same = kept.get("conditions") == self.conditions
        found = kept.get("sections", {}) if same else {}
        self.sections = {name: [Figure(**figure) for figure in figures] for name, figures in found.items()}
        if kept and not same:
            print(f"{self.path}: figures of other conditions ({kept.get('conditions')}) are measured again")

    def keep(self, name: str, figures: list[Figure]) -> None:
        """Write the figures of a section."""
        self.sections[name] = figures
        content = {
            "conditions": self.conditions,
            "sections": {key: [asdict(figure) for figure in value] for key, value in self.sections.items()},
        }
        unfinished = self.path.with_suffix(".part")
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
        unfinished.replace(self.path)


def conditions(setting: Setting) -> dict[str, str]:
    """Return what figures hold for."""
    card = torch.cuda.get_device_name() if setting.device.type == "cuda" else "CPU"
    size = "tiny, without meaning" if setting.tiny else "full"
    return {"card": card, "torch": torch.__version__, "cuda": str(torch.version.cuda), "size": size}


def measured(setting: Setting, remembered: Remembered, names: list[str], minutes: float) -> list[str]:
    """Measure the sections that are not known yet, as far as time goes; return what is left, with its reason."""
    end, left = time.monotonic() + 60 * minutes, []
    for name in names:
        needed, measure = SECTIONS[name]
        if name in remembered.sections:
            continue
        if end - time.monotonic() < 60 * needed and not setting.tiny:
            left.append(f"{name}: not measured, {needed:g} minutes are not left; the same command goes on with it")
            continue
        try:
            figures = list(measure(replace(setting, end=end)))
        except gpu_commands.NotMeasured as reason:
            left.append(f"{name}: not measured, {reason}")
        except (RuntimeError, ValueError, TypeError) as error:  # the other sections are worth having
            left.append(f"{name}: failed: {type(error).__name__}: {error}")
        else:
            remembered.keep(name, figures)
    return left


def printed(remembered: Remembered, names: list[str], *, tiny: bool) -> None:
    """Print the table; at a tiny size no goal is judged."""
    print(", ".join(remembered.conditions.values()))
    print(f"{'':<14} {'figure':<52} {'value':>10} {'':<9} {'beside plain torch':>18}   goal")
    for name in names:
        for figure in remembered.sections.get(name, []):
            beside = "" if figure.ratio is None else f"{figure.ratio:.2f}"
            state = "" if figure.is_met is None or tiny else (" met" if figure.is_met else " NOT MET")
            goal = f"{figure.goal}{state}"
            print(f"{name:<14} {figure.name:<52} {figure.value:>10.4g} {figure.unit:<9} {beside:>18}   {goal}")


def main() -> int:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="no section begins that would end later")
    parser.add_argument("--output", type=Path, default=Path("gpu"), help="folder of gpu.json and of trainings")
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), help="these sections")
    parser.add_argument("--data", type=Path, help="CIFAR-10 as an npz of JPEG bytes")
    parser.add_argument("--table", type=Path, help="accuracies of NAS-Bench-201 as a csv")
    parser.add_argument("--column", default="c10_test_200", help="column of the table")
    parser.add_argument("--epochs", type=float, default=250.0, help="epochs of a ranked training")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes without meaning, to try the program")
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print("nothing measured: PyTorch finds no CUDA device here")
        return 2
    if chosen.device == "cpu" and not chosen.tiny:
        print("nothing measured: on a CPU there is only --tiny, to try the program")
        return 2
    chosen.output.mkdir(parents=True, exist_ok=True)
    setting = Setting(
        device=torch.device(chosen.device),
        tiny=chosen.tiny,
        output=chosen.output,
        data=chosen.data,
        table=chosen.table,
        column=chosen.column,
        epochs=chosen.epochs,
    )
    remembered = Remembered(chosen.output / "gpu.json", conditions(setting))
    left = measured(setting, remembered, chosen.only, chosen.minutes)
    printed(remembered, chosen.only, tiny=chosen.tiny)
    for line in left:
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
