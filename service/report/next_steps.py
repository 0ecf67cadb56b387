"""The next commands: export, retrain, deploy."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from service.report.markup import text


def next_steps(folder: Path, key: str) -> Iterator[str]:
    """Yield the commands that use a network of a front, as HTML.

    Args:
        folder: The job folder, as typed from the current folder.
        key: Key of the network that is best.
    """
    place, member = shlex.quote(str(folder)), shlex.quote(key)
    yield "<h2>What to type next</h2>"
    yield "<p>Another network: write its key from the tables in place of this one.</p>"
    steps = (
        ("Train this network further, from the weights that it has:", f"nas retrain {place} --member {member}"),
        ("Or train it alone from fresh weights, in the larger network that some papers take for that:",
         f"nas retrain {place} --scratch --member {member}"),
        ("Write it as files for other programs; each file is run and compared with the network:",
         f"nas export {place} --member {member}"),
        ("Run the file, here with ONNX Runtime; <code>card.json</code> beside it says what goes in and what comes out "
         "(<code>nas export --help</code> lists more formats, one with the preparation of raw inputs inside):",
         _deployed(folder / "export" / key)),
        ("See all of it in the browser, beside other searches:", f"nas sync {place} && nas ui"),
    )  # fmt: skip
    for what, command in steps:
        yield f"<p>{what}</p><pre>{text(command)}</pre>"


def _deployed(place: Path) -> str:
    """Return a program that runs the exported network on random numbers of the right shape."""
    return f"""import numpy, onnxruntime

folder = {str(place)!r}
session = onnxruntime.InferenceSession(folder + "/model.onnx")
shapes = {{i.name: [d if isinstance(d, int) else 1 for d in i.shape] for i in session.get_inputs()}}
inputs = {{name: numpy.random.rand(*shape).astype("float32") for name, shape in shapes.items()}}
print(session.run(None, inputs)[0])"""
