"""The figures of `benchmarks.gpu` that one process measures: steps, evaluations and proxies, beside plain torch."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import gpu_shapes
from benchmarks import proxies as proxy_times
from benchmarks.gpu_networks import changes_in_bfloat16, spaces
from benchmarks.gpu_shapes import milliseconds
from nas.objectives import Quality
from nas.subnets import Subnets
from search_spaces import Space
from search_spaces.families.mobilenet_v3 import ofa_mobilenet_v3
from supernets import Classification, Moment, Supernet, TrainConfig, phases
from supernets.device import computing
from supernets.training.capture.capturing import capturing
from supernets.training.steps.supernet import SupernetStep

CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is measured on what.

    Args:
        device: The device.
        tiny: Whether sizes are those of a trial of the program.
        output: Folder for trainings.
        data, table, column, epochs: See the options of the command.
        end: When time is up, on the monotonic clock.
    """

    device: torch.device
    tiny: bool
    output: Path
    data: Path | None = None
    table: Path | None = None
    column: str = ""
    epochs: float = 250.0
    end: float = math.inf

    def pick(self, full: Any, tiny: Any) -> Any:
        """Return one of two sizes."""
        return tiny if self.tiny else full


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table.

    Args:
        name: What was measured.
        value: The number.
        unit: Its unit.
        goal: What it has to be, such as `<= 90`; empty where nothing is asked.
        ratio: The number divided by that of plain torch on the same card in the same run.
    """

    name: str
    value: float
    unit: str
    goal: str = ""
    ratio: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if not self.goal:
            return None
        sign, limit = self.goal.split()
        return self.value <= float(limit) if sign == "<=" else self.value >= float(limit)


# ---- convolutions ---------------------------------------------------------------------------------------------------


def convolutions(setting: Setting) -> Iterator[Figure]:
    """Yield what convolutions of elastic layers take, the first time for a shape and again."""
    with computing(setting.device):
        for kernel in setting.pick((3, 5, 7, 1), (3, 1)):
            ours, native = (
                gpu_shapes.measured(kernel, way, setting.device, batch=setting.pick(gpu_shapes.BATCH, 1))
                for way in gpu_shapes.WAYS
            )
            about = f"{kernel}x{kernel} {'depthwise' if kernel > 1 else ''}".strip()
            first = median(ours.first_ms[1:])
            yield Figure(name=f"{about}, new shape", value=first, unit="ms", ratio=first / median(native.first_ms[1:]))
            yield Figure(name=f"{about}, again", value=ours.again_ms, unit="ms", ratio=ours.again_ms / native.again_ms)


# ---- steps ----------------------------------------------------------------------------------------------------------


def once_for_all(setting: Setting) -> Iterator[Figure]:
    """Yield the steps of Once-for-All MobileNetV3 at 224 pixels with elastic resolution, in bfloat16."""
    batch, side = setting.pick((256, 224), (2, 32))
    options: dict[str, Any] = setting.pick({}, {"resolutions": (24, 32), "classes": CLASSES})
    space = ofa_mobilenet_v3(**options)
    images, labels = examples(batch, side, 1000 if not setting.tiny else CLASSES, setting.device)
    steps = Steps(space, TrainConfig(batch_size=batch, capture="off"), (images, labels), setting.device)
    times = [steps.milliseconds() for _ in range(setting.pick(200, 4))]
    later = times[setting.pick(20, 2) :]
    yield Figure(name="first step", value=times[0] / 1000, unit="s", goal="<= 3")
    yield Figure(name="random subnets, mean of steps 21 to 200", value=fmean(later), unit="ms")
    yield Figure(name="the slowest of these steps", value=max(later), unit="ms")
    yield Figure(name="random subnets", value=1000 * batch / fmean(later), unit="images/s", goal=">= 3000")
    busy = steps.busy_ms(setting.pick(20, 2))
    if busy is not None:
        yield Figure(name="random subnets, step / busy time", value=fmean(later) / busy, unit="times", goal="<= 1.3")
    supernet = steps.supernet
    supernet.activate(space.largest())
    work = both_passes(supernet, images, labels)
    largest = typical(work, setting)
    plain = typical(both_passes(supernet.extract(space.largest()).train(), images, labels), setting)
    yield Figure(name="largest subnet, both passes", value=largest, unit="ms", goal="<= 90", ratio=largest / plain)
    import timm

    name = setting.pick("mobilenetv3_large_100", "mobilenetv3_small_050")
    other = typical(both_passes(timm.create_model(name).to(setting.device).train(), images, labels), setting)
    yield Figure(name=f"timm {name}, both passes", value=other, unit="ms")


def small_networks(setting: Setting) -> Iterator[Figure]:
    """Yield the steps of networks that wait for launches, without and with captured passes."""
    goals = {"cifar10": "<= 4.5", "nasbench201": "<= 11"}
    for name, (space, batch) in spaces().items():
        count = setting.pick(batch, 2)
        shown = examples(count, 32, CLASSES, setting.device)
        taken, losses = {}, {}
        for capture in ("off", "on"):
            steps = Steps(space, TrainConfig(batch_size=count, capture=capture), shown, setting.device)
            times = [steps.milliseconds() for _ in range(setting.pick(300, 2))]
            taken[capture], losses[capture] = median(times[setting.pick(200, 0) :]), steps.losses
        subnet = Supernet(space).to(setting.device).extract(space.sample(np.random.default_rng(0)))
        plain = typical(both_passes(subnet.train(), *shown), setting)
        yield Figure(name=f"{name}, one subnet a step", value=taken["off"], unit="ms", ratio=taken["off"] / plain)
        yield Figure(
            name=f"{name}, captured", value=taken["on"], unit="ms", goal=goals[name], ratio=taken["on"] / plain
        )
        apart = max(abs(float(a) - float(b)) for a, b in zip(losses["off"], losses["on"], strict=True))
        yield Figure(name=f"{name}, losses with and without", value=apart, unit="apart")
        if name == "nasbench201":
            minutes = 250 * (50_000 // 256) * taken["on"] / 60_000
            yield Figure(name="250 epochs of CIFAR-10 at this pace", value=minutes, unit="minutes", goal="<= 9")


class Steps:
    """Steps of a training on the same random examples.

    Args:
        space: Space of the supernet.
        config: Settings of the training.
        shown: Images and labels on the device.
        device: The device.
    """

    def __init__(self, space: Space, config: TrainConfig, shown: tuple[Tensor, Tensor], device: torch.device) -> None:
        torch.manual_seed(0)
        self.supernet = Supernet(space).to(device, memory_format=torch.channels_last)
        self.shown, self.device, self.taken = shown, device, 0
        self.losses: list[Tensor] = []
        self.step = SupernetStep(
            supernet=self.supernet,
            phases=phases(space, config),
            config=config,
            task=Classification(),
            capturing=capturing(self.supernet, config, lambda event: None),
        )
        self.step.begin_phase(0)

    def __call__(self) -> None:
        number = self.taken
        self.taken += 1
        draws = np.random.default_rng([0, number])
        moment = Moment(step=number, epoch=0, batch=0, lr=0.02, progress=0.0, generator=draws)
        torch.manual_seed(number)
        with computing(self.device):
            self.losses.append(self.step(self.shown, moment))

    def milliseconds(self) -> float:
        """Return how long the next step takes."""
        return milliseconds(self, self.device)

    def busy_ms(self, steps: int) -> float | None:
        """Return how long the card computes in each of the next steps, on average; None where nothing says so."""
        if self.device.type != "cuda":
            return None
        activities = [torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profile:
            for _ in range(steps):
                self()
            torch.cuda.synchronize()
        return sum(event.self_device_time_total for event in profile.key_averages()) / 1000 / steps


def both_passes(network: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """Return a forward and backward pass in bfloat16 on CUDA."""
    network.to(memory_format=torch.channels_last)
    device = images.device

    def work() -> None:
        network.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"), computing(device):
            loss = F.cross_entropy(network(images), labels)
        loss.backward()

    return work


# ---- evaluation and proxies -----------------------------------------------------------------------------------------


def evaluation(setting: Setting) -> Iterator[Figure]:
    """Yield what a candidate of the recipe `cifar10` takes: extraction, calibration on 1,000, test on 5,000 images."""
    space, _ = spaces()["cifar10"]
    few, many, part = setting.pick((1000, 5000, 200), (8, 8, 4))
    supernet = Supernet(space).to(setting.device)
    images, labels = examples(few + many, 32, CLASSES, setting.device)
    calibration = list(images[:few].split(part))
    batches = [(images[few:], labels[few:])]
    generator = np.random.default_rng(0)
    candidates = [space.sample(generator) for _ in range(setting.pick(20, 1))]
    for bf16 in setting.pick((False, True), (False,)):
        subnets = Subnets(supernet, lambda: calibration, bf16=bf16)
        quality = Quality(Classification(CLASSES), subnets, lambda _: iter(batches), bf16=bf16)
        times = [milliseconds(partial(quality.evaluate, one), setting.device) for one in candidates]
        subnet = supernet.extract(candidates[-1]).eval().to(memory_format=torch.channels_last)
        plain = typical(partial(testing, subnet, images), setting)
        about = "a candidate in bfloat16" if bf16 else "a candidate"
        goal = "" if bf16 else "<= 60"
        yield Figure(name=about, value=median(times), unit="ms", goal=goal, ratio=median(times) / plain)
    if not setting.tiny:
        changes = changes_in_bfloat16(setting.device, epochs=20, candidates=20)
        yield Figure(name="accuracy in bfloat16, mean change", value=fmean(changes), unit="points")
        yield Figure(name="accuracy in bfloat16, largest change", value=max(changes), unit="points")


def testing(subnet: nn.Module, images: Tensor) -> None:
    """Run a network on images, as plain torch does."""
    with torch.inference_mode():
        subnet(images)


def proxies(setting: Setting) -> Iterator[Figure]:
    """Yield what proxies take beside one plain forward and backward pass of the same batch."""
    batch, repeats = setting.pick((64, 5), (2, 1))
    cells: dict[str, str] = setting.pick(proxy_times.CELLS, {"mixed": proxy_times.CELLS["mixed"]})
    for name, cell in cells.items():
        found = proxy_times.ratios(cell, batch, setting.device, repeats)
        yield Figure(name=f"{name}: plain pass", value=1000 * found.plain_s, unit="ms")
        yield Figure(name=f"{name}: GradSign", value=found.gradsign, unit="passes", goal="<= 3", ratio=found.gradsign)
        yield Figure(name=f"{name}: loop / GradSign", value=found.loop, unit="times", goal=">= 20")
        yield Figure(name=f"{name}: all proxies", value=found.all, unit="passes", goal="<= 20", ratio=found.all)


# ---- measuring ------------------------------------------------------------------------------------------------------


def examples(count: int, side: int, classes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return random images and labels on the device."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, side, side, generator=generator).contiguous(memory_format=torch.channels_last)
    return images.to(device), torch.randint(0, classes, (count,), generator=generator).to(device)


def typical(work: Callable[[], object], setting: Setting) -> float:
    """Return the median milliseconds of some work that was done before."""
    times = [milliseconds(work, setting.device) for _ in range(setting.pick(25, 2))]
    return median(times[setting.pick(5, 1) :])
