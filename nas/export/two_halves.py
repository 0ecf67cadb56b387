"""Networks in two halves as files: one for the device, one for the server, and a manifest that says what is sent.

The manifest has the card of the whole network, the form of the message between the halves, and the names of both files.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nas.export.deployable import Deployable, describe
from nas.export.onnx import forget_sources, runtime
from nas.export.safetensors_card import published_space
from nas.hardware.onnx_model import onnx_bytes
from nas.offload.halved import Halved
from nas.offload.link import SENT
from nas.offload.message import Message
from search_spaces import Architecture, Space
from search_spaces.plain import ElasticOnMeta
from search_spaces.wire import Wire
from search_spaces.wire_bits import WHOLE_BITS

SIDES = ("device", "server")
WEIGHTS, ONNX = "halves", "halves_onnx"
"""Names of the manifests, without their ending."""
Run = Callable[[Tensor], Tensor]


class LoadedHalves(NamedTuple):
    """Two halves of a network, read from files.

    Attributes:
        device: What runs on the device: inputs [B, ...] -> what is sent.
        server: What runs on the server: what arrives -> outputs [B, ...].
        message: Form of what is sent.
        manifest: Everything that is known of them.
    """

    device: Run
    server: Run
    message: Message
    manifest: Mapping[str, Any]


def write_halves(deployable: Deployable, path: Path) -> dict[str, Any]:
    """Write the weights of both halves as safetensors and the manifest, and rebuild the network from the files.

    Raises:
        ValueError: The network has no halves, or the rebuilt ones give another output.
    """
    content, halves = _manifest(deployable, WEIGHTS, "safetensors"), _halves(deployable)
    for side, half in zip(SIDES, halves):
        weights = {name: tensor.contiguous().clone() for name, tensor in half.state_dict().items()}
        save_file(weights, _beside(path, f".{side}.safetensors"), metadata={"half": side})
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    files = [_beside(path, f".{side}.safetensors") for side in SIDES]
    device, server = _rebuilt(deployable.space, deployable.architecture, files)
    with torch.inference_mode():
        return {SENT: content["message"]["bytes"], **deployable.agreement(lambda x: server(device(x)))}


def write_halves_onnx(deployable: Deployable, path: Path) -> dict[str, Any]:
    """Write both halves as ONNX with any batch size and the manifest, and run the files in ONNX Runtime.

    Raises:
        ImportError: The exporter is not installed.
        ValueError: The network has no halves, or the files give another output.
    """
    import onnx
    import onnxruntime

    content, (device, server) = _manifest(deployable, ONNX, "onnx"), _halves(deployable)
    with torch.inference_mode():
        sent = device(*deployable.examples).clone()
    for side, half, example in zip(SIDES, (device, server), (deployable.examples, (sent,))):
        model = onnx.load_model_from_string(onnx_bytes(half, example, dynamic_batch=True))
        forget_sources(model)
        onnx.checker.check_model(model)
        _beside(path, f".{side}.onnx").write_bytes(model.SerializeToString())
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    first, second = (runtime(_beside(path, f".{side}.onnx")) for side in SIDES)
    agreement = deployable.agreement(lambda x: second(first(x)))
    return {SENT: content["message"]["bytes"], "checked_with": f"onnxruntime {onnxruntime.__version__}", **agreement}


def load_halves(manifest: Path, *, space: Space | None = None) -> LoadedHalves:
    """Return the halves that a manifest describes, from the files beside it.

    Args:
        manifest: The file `halves.json` or `halves_onnx.json`.
        space: What the architecture is of, where that is a space of one's own; files of ONNX need none.

    Raises:
        ValueError: The space of the card is not in `search_spaces`, and no space was given.
        FileNotFoundError: A file is missing.
    """
    content = json.loads(Path(manifest).read_text(encoding="utf-8"))
    files = [Path(manifest).parent / content["files"][side] for side in SIDES]
    message = Message(content["message"]["shape"], content["message"]["bits"])
    if files[0].suffix == ".onnx":
        device, server = (runtime(file) for file in files)
    else:
        card = content["card"]
        known = space or published_space(card["space"])
        device, server = _rebuilt(known, Architecture.from_json(card["architecture"]), files)
    return LoadedHalves(device, server, message, content)


def _halves(deployable: Deployable) -> tuple[nn.Module, nn.Module]:
    if not isinstance(deployable.network, Halved):
        raise ValueError("the network has no halves, only networks of the space split have; export it whole")
    device, server = deployable.network.halves()
    return device.eval(), server.eval()


def _manifest(deployable: Deployable, name: str, ending: str) -> dict[str, Any]:
    """Return what is known of both halves, ready for JSON."""
    device, _ = _halves(deployable)
    with torch.inference_mode():
        sent = device(*deployable.examples)
    wire = next((layer for layer in device.modules() if isinstance(layer, Wire)), None)
    bits = WHOLE_BITS if wire is None else wire.bits
    message = Message(tuple(sent.shape[1:]), bits)
    form = {"shape": list(message.shape), "bits": bits, "bytes": message.length}
    return {
        "halves": 1,
        "files": {side: f"{name}.{side}.{ending}" for side in SIDES},
        "device": {"input": describe(deployable.input_names, deployable.examples)[0]},
        "message": {**describe(["message"], [sent])[0], **form},
        "server": {"output": describe(["output"], [deployable.expected])[0]},
        "card": dict(deployable.card),
    }


def _rebuilt(space: Space, architecture: Architecture, files: list[Path]) -> tuple[nn.Module, nn.Module]:
    """Return the halves of an architecture with saved weights, in evaluation mode, on the CPU."""
    with torch.random.fork_rng(devices=[]):  # the fresh weights are overwritten at once
        network = ElasticOnMeta(space.build).subnet(space.architecture(architecture))
    if not isinstance(network, Halved):
        raise ValueError(f"networks of {space.name} have no halves")
    device, server = network.halves()
    for half, file in zip((device, server), files):
        half.load_state_dict(load_file(file))
    return device.eval(), server.eval()


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.stem}{ending}")
