"""What a GPU takes for a training step and for the evaluation of a candidate, with captured passes and in bfloat16.

    python -m benchmarks.gpu_steps [--json FILE] [--steps 100]

Steps: the supernet of the recipe `cifar10` with one subnet a step, and that of NAS-Bench-201 in its published size, on
random images, without and with captured passes; `reached` is the largest difference of the losses of both.
Evaluation: candidates of a supernet that is trained on handwritten digits, in float32 and in bfloat16, calibrated on
1,000 examples; `points` is the mean and the largest change of accuracy. It prints one line where there is no GPU.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np
import torch
from torch import Tensor

from nas.data import DataConfig, load_data
from nas.objectives import Quality
from nas.subnets import Subnets
from search_spaces import Architecture, Space
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.families.nasbench201 import nasbench201
from supernets import Classification, Moment, Supernet, TrainConfig, phases, train
from supernets.device import computing
from supernets.training.capture.capturing import capturing
from supernets.training.steps.supernet import SupernetStep

WARM_UP, CANDIDATES, CALIBRATION, EPOCHS = 200, 20, 1000, 20


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Steps of one space.

    Args:
        name: Name of the space.
        plain_ms, captured_ms: Median milliseconds of a step without and with captured passes.
        passes: Recorded passes.
        gib: Memory that they take, in GiB.
        replayed_percent: Calls of operations and blocks that were replayed.
        reached: Largest difference of a loss with and without.
    """

    name: str
    plain_ms: float
    captured_ms: float
    passes: int
    gib: float
    replayed_percent: float
    reached: float


@dataclass(frozen=True, kw_only=True)
class Evaluations:
    """Evaluations of candidates.

    Args:
        float32_ms, bf16_ms: Median milliseconds of extraction, calibration and validation.
        mean_points, most_points: Mean and largest absolute change of the accuracy in bfloat16.
    """

    float32_ms: float
    bf16_ms: float
    mean_points: float
    most_points: float


def spaces() -> dict[str, tuple[Space, int]]:
    """Return the spaces by name, each with its batch size."""
    widths = {"stem_width": 24, "first_width": 24, "stage_widths": (32, 64, 128), "depths": (1, 2), "kernels": (3, 5)}
    narrow = {"stem_stride": 2, "strides": (1, 2, 2), "expands": (2, 3, 4), "last_width": 192, "feature_width": 256}
    return {
        "cifar10": (small_mobilenet_v3(image_size=32, **widths, **narrow), 128),
        "nasbench201": (nasbench201(width=16, cells=5, image_size=32), 256),
    }


def milliseconds(work: Callable[[], object], device: torch.device) -> float:
    """Return how long some work takes, until the device is done."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    work()
    wait()
    return 1000 * (time.perf_counter() - start)


def trained(
    space: Space, batch: int, capture: str, steps: int, device: torch.device
) -> tuple[list[float], list, object]:
    """Return the milliseconds and losses of steps from the same weights on the same images, and what was captured."""
    config = TrainConfig(batch_size=batch, capture=capture)
    torch.manual_seed(0)
    supernet = Supernet(space).to(device)
    found = capturing(supernet, config, lambda event: None)
    step = SupernetStep(
        supernet=supernet, phases=phases(space, config), config=config, task=Classification(), capturing=found
    )
    step.begin_phase(0)
    images = torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last).to(device)
    shown = images, torch.randint(0, 10, (batch,)).to(device)
    times, losses = list[float](), list[Tensor]()
    with computing(device):
        for number in range(WARM_UP + steps):
            moment = Moment(
                step=number, epoch=0, batch=0, lr=0.02, progress=0.0, generator=np.random.default_rng([0, number])
            )
            torch.manual_seed(number)
            taken = milliseconds(lambda moment=moment: losses.append(step(shown, moment)), device)
            times.append(taken)
    return times[WARM_UP:], losses, found


def measured_steps(name: str, space: Space, batch: int, steps: int, device: torch.device) -> Steps:
    """Return a row of the table of steps."""
    plain, plain_losses, _ = trained(space, batch, "off", steps, device)
    captured, losses, found = trained(space, batch, "on", steps, device)
    captures = None if found is None else found.captures
    calls = 0 if captures is None else captures.replayed + captures.run
    return Steps(
        name=name,
        plain_ms=median(plain),
        captured_ms=median(captured),
        passes=0 if captures is None else len(captures),
        gib=0.0 if captures is None else captures.held / 2**30,
        replayed_percent=0.0 if captures is None else 100 * captures.replayed / max(1, calls),
        reached=max(abs(float(one) - float(other)) for one, other in zip(plain_losses, losses, strict=True)),
    )


def evaluated(
    quality: Quality, candidates: list[Architecture], device: torch.device
) -> tuple[list[float], list[float]]:
    """Return the milliseconds that candidates take, and their accuracies."""
    values: list[float] = []
    times = [milliseconds(lambda one=one: values.append(quality.evaluate(one).value), device) for one in candidates]
    return times, values


def measured_evaluations(device: torch.device, epochs: float) -> Evaluations:
    """Return the times and accuracies of candidates of a supernet of handwritten digits."""
    data, task = load_data(DataConfig(), device=device), Classification(10)
    space = small_mobilenet_v3(image_size=8, channels=1, classes=10, stem_width=16, first_width=16)
    config = TrainConfig(epochs=epochs, batch_size=64)
    supernet = train(Supernet(space).to(device), phases(space, config), data.train, config, task=task)
    calibration = [images for images, _ in data.train.batches(200, epoch=0, seed=0)][: CALIBRATION // 200]
    generator = np.random.default_rng(0)
    candidates = [space.sample(generator) for _ in range(CANDIDATES)]
    times, found = {}, {}
    for bf16 in (False, True):
        subnets = Subnets(supernet, lambda: calibration, bf16=bf16)
        quality = Quality(task, subnets, lambda _: data.validation.sequential(10_000), bf16=bf16)
        times[bf16], found[bf16] = evaluated(quality, candidates, device)
    changes = [abs(one - other) for one, other in zip(found[False], found[True], strict=True)]
    return Evaluations(
        float32_ms=median(times[False]),
        bf16_ms=median(times[True]),
        mean_points=fmean(changes),
        most_points=max(changes),
    )


def main() -> None:
    """Print both tables, and write them as JSON where asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="file that the rows are written to")
    parser.add_argument("--steps", type=int, default=100, help="timed steps of each training")
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        print("nothing measured: PyTorch finds no GPU here")
        return
    device = torch.device("cuda")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    rows = [measured_steps(name, space, batch, chosen.steps, device) for name, (space, batch) in spaces().items()]
    for row in rows:
        print(
            f"{row.name:<12} {row.plain_ms:7.2f} ms a step, captured {row.captured_ms:7.2f} ms; {row.passes} passes, "
            f"{row.gib:.2f} GiB, {row.replayed_percent:.0f} % replayed; losses differ by {row.reached:.2g} at most"
        )
    judged = measured_evaluations(device, EPOCHS)
    print(
        f"evaluation   {judged.float32_ms:7.2f} ms, bfloat16 {judged.bf16_ms:7.2f} ms; accuracy changes by "
        f"{judged.mean_points:.2f} points on average, by {judged.most_points:.2f} at most"
    )
    if chosen.json is not None:
        content = {"steps": [asdict(row) for row in rows], "evaluation": asdict(judged)}
        chosen.json.write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
