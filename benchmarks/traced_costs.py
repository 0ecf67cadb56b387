"""Exact costs of spaces that are read off timm models, against counting hooks, and their speed.

    python -m benchmarks.traced_costs [equal | fast] [--subnets 50] [--models NAME ...]

* equal: of one small variant of each of 20 families, random subnets are extracted; params and multiply-accumulates are
  counted on them (`torch.utils.flop_counter`), and compared with the stated costs.
* fast: costs of 100,000 random architectures of resnet50 and mobilenetv3_large_100.

Each model has a process of its own, so that one at a time is in memory.
"""

import argparse
import multiprocessing
import time

import numpy as np

from search_spaces import Space
from search_spaces.counted_costs import Difference, count
from search_spaces.families.timm_elastic import timm

FAMILIES = {
    **dict.fromkeys(("resnet18", "resnext50_32x4d", "regnety_002", "densenet121", "ghostnet_050", "repvit_m0_9"), 64),
    **dict.fromkeys(("mobilenetv3_small_050", "efficientnet_lite0", "mnasnet_small", "hardcorenas_a"), 64),
    **dict.fromkeys(("convnext_atto", "mobilevit_xxs", "shvit_s1", "convmixer_768_32", "mixer_s32_224"), 64),
    **dict.fromkeys(("vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "levit_128s", "efficientformer_l1"), 224),
    "pit_ti_224": 224,
}
"""A small variant of each family -> side of its images in pixels."""
LARGE = ("resnet50", "mobilenetv3_large_100")
ARCHITECTURES = 100_000


def wrong(space: Space, subnets: int) -> list[Difference]:
    """Return where stated costs of the smallest, the largest and random subnets differ from counted ones."""
    generator, found = np.random.default_rng(0), []
    architectures = [space.smallest(), space.largest(), *(space.sample(generator) for _ in range(subnets))]
    stated = space.costs(architectures)
    for place, architecture in enumerate(architectures):
        counted = count(space, architecture)
        for name, key in (("params", "params"), ("macs", "all_macs")):
            if stated[name][place] != counted[key]:
                found.append(Difference(name, float(stated[name][place]), counted[key], architecture))
    return found


def compare(model: str, side: int, subnets: int) -> None:
    """Compare stated with counted costs of the smallest, the largest and random subnets, and print the result."""
    began = time.perf_counter()
    space = timm(model=model, classes=10, resolutions=(side,))
    read_s = time.perf_counter() - began
    differs = {one.architecture for one in wrong(space, subnets)}
    few = f"{len(space.decisions)} decisions, {space.count():.3g} architectures, read in {read_s:.1f} s"
    print(f"{model} at {side} px: {len(differs)} of {subnets + 2} differ ({few})", flush=True)


def time_costs(model: str) -> None:
    """Print how long the costs of many architectures take."""
    space = timm(model=model)
    encodings = space.sample_encodings(ARCHITECTURES, np.random.default_rng(0))
    began = time.perf_counter()
    costs = space.costs(encodings)
    seconds = time.perf_counter() - began
    low, high = (f"{number / 1e6:,.0f}" for number in (costs["macs"].min(), costs["macs"].max()))
    print(f"{model}: costs of {ARCHITECTURES:,} architectures in {seconds:.2f} s, {low} to {high} MMACs", flush=True)


def alone(function: object, *given: object) -> None:
    """Call a function in a process of its own."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=given)  # type: ignore[arg-type]
    process.start()
    process.join()
    if process.exitcode:
        print(f"{given[0]}: failed", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["equal", "fast"])
    parser.add_argument("--subnets", type=int, default=50)
    parser.add_argument("--models", nargs="+", choices=FAMILIES, default=FAMILIES, metavar="NAME")
    arguments = parser.parse_args()
    if arguments.part != "fast":
        for model in arguments.models:
            alone(compare, model, FAMILIES[model], arguments.subnets)
    if arguments.part != "equal":
        for model in LARGE:
            alone(time_costs, model)


if __name__ == "__main__":
    main()
