"""The models that coverage of timm is measured on, chosen by rules that know nothing of what works.

    python -m benchmarks.timm_names > benchmarks/timm_names.txt

* first: of each family (module) of timm, the model with the fewest parameters.
* second: of each family that has more, the next one.
* random: 200 others. Families come in a random order, and each gives one random model of its own, again and again until
  there are enough.

Models made for tests are left out. So are those of more than 60 million parameters (30 million for `random`), unless a
family has no other.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

Part = Literal["first", "second", "random"]
PARTS: tuple[Part, ...] = ("first", "second", "random")
FILE = Path(__file__).with_name("timm_names.txt")
LARGEST, LARGEST_RANDOM = 60_000_000, 30_000_000
RANDOM = 200
Families = dict[str, list[tuple[int, str]]]
"""Family -> parameters and name of its models, the smallest first."""


def names(part: Part) -> list[str]:
    """Return the models of a part, as the file lists them."""
    lines = (line.split() for line in FILE.read_text().splitlines())
    return [line[1] for line in lines if line[0] == part]


def families() -> Families:
    """Return the families of the installed timm; it takes many minutes to build all of them without weights."""
    import timm
    import torch

    found: Families = {}
    for family in timm.list_modules():
        sizes = []
        for name in timm.list_models(module=family):
            with torch.device("meta"):
                network = timm.create_model(name, pretrained=False)
            sizes.append((sum(parameter.numel() for parameter in network.parameters()), name))
        found[family] = sorted(size for size in sizes if not size[1].startswith("test_"))
    return found


def chosen(found: Families) -> Iterator[tuple[Part, str]]:
    """Yield the parts and their models."""
    taken = set()
    for rank, part in enumerate(PARTS[:2]):
        for ranked in found.values():
            fitting = [name for parameters, name in ranked if parameters <= LARGEST] or [ranked[0][1]]
            for name in fitting[rank : rank + 1]:
                taken.add(name)
                yield part, name
    draw, others = random.Random(0), []
    for ranked in found.values():
        rest = [name for parameters, name in ranked if parameters <= LARGEST_RANDOM and name not in taken]
        others.append(draw.sample(rest, len(rest)))
    draw.shuffle(others)
    rounds = [rest[place] for place in range(max(map(len, others))) for rest in others if place < len(rest)]
    yield from (("random", name) for name in rounds[:RANDOM])


def main() -> None:
    """Print the parts and their models."""
    for part, name in chosen(families()):
        print(part, name)


if __name__ == "__main__":
    main()
