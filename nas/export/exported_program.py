"""`torch.export` archives (.pt2), which torch alone loads and runs."""

import json
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim

from nas.export.deployable import Deployable
from nas.hardware.examples import batch_of


def write_exported_program(deployable: Deployable, path: Path) -> dict[str, Any]:
    """Write the network as a `.pt2` of any batch size, its card inside as `card.json`, and run the file.

    Lengths may be any, too, where the space says so.

    Raises:
        ValueError: The file gives another output than the network.
    """
    example = batch_of(deployable.examples, 2)  # a batch of one would become a constant
    batch = Dim("batch")
    shapes = tuple({0: batch, **{place + 1: Dim.AUTO for place in lengths}} for lengths in deployable.lengths)
    with torch.no_grad():
        program = torch.export.export(deployable.network, example, dynamic_shapes=shapes, strict=False)
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # this would name folders of this machine
    torch.export.save(program, path, extra_files={"card.json": json.dumps(deployable.card)})
    loaded = torch.export.load(path).module()
    with torch.no_grad():
        return {"torch": torch.__version__, **deployable.agreement(loaded, any_length=True)}
