"""What CONTRIBUTING.md shows, names and lists is there and works."""

import pkgutil
import re
from typing import Any

import pytest
import torch

from nas.data import TensorData
from service import catalogue
from supernets import Step, Supernet, Task, TrainConfig, phases, train
from tests.plugin.elastic_mlp import elastic_mlp
from tests.policy.modules import PACKAGES, ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
NAMES = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))


def shown(base: type) -> tuple[Any, dict[str, Any]]:
    """The class of a protocol that an example shows, and everything that the example defines."""
    for block in BLOCKS:
        defined: dict[str, Any] = {"__name__": "example"}
        exec(compile(block, "CONTRIBUTING.md", "exec"), defined)
        for value in defined.values():
            if isinstance(value, type) and base in value.__mro__ and value.__module__ == "example":
                return value, defined
    raise AssertionError(f"no example of a {base.__name__}")


def rows(count: int = 64) -> TensorData:
    x = torch.randn(count, 10, generator=torch.Generator().manual_seed(0))
    return TensorData(x, x.sum(1, keepdim=True))


def test_the_task_that_is_shown_trains_a_supernet_and_judges_its_subnets() -> None:
    made, _ = shown(Task)
    task, data, supernet = made(), rows(), Supernet(elastic_mlp())
    config = TrainConfig(epochs=30, batch_size=16, lr=0.02, sampler="sandwich")
    batches = list(data.sequential(16))

    def error() -> float:
        return task.evaluate(supernet.extract(supernet.space.largest()), batches).value

    before = error()
    train(supernet, phases(supernet.space, config), data, config, task=task)
    assert error() < 0.5 * before
    assert task.output_errors(torch.zeros(16, 1), batches[0]).shape == (16,)


def test_the_step_that_is_shown_is_trained_by_the_loop_and_goes_on_from_its_state() -> None:
    made, defined = shown(Step)
    data = TensorData(torch.full((64, 1), 3.0))
    assert defined["follow"](data) == pytest.approx(3.0, abs=1e-3)
    step = made()
    step.load_state_dict({"mean": torch.tensor(2.0)})
    assert step.state_dict()["mean"] == 2.0


def test_files_and_folders_that_are_named_exist() -> None:
    paths = [name for name in NAMES if re.fullmatch(r"[\w./-]+", name) and "/" in name]
    assert len(paths) > 60
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_names_of_the_library_exist() -> None:
    dotted = [name for name in NAMES if re.fullmatch(rf"({'|'.join(PACKAGES)})(\.\w+)+", name)]
    assert len(dotted) > 8
    for name in dotted:
        assert pkgutil.resolve_name(name) is not None


def test_every_room_and_every_table_of_the_catalogue_is_listed() -> None:
    folders = [folder for package in PACKAGES for folder in (ROOT / package).iterdir()]
    rooms = [f"{room.relative_to(ROOT).as_posix()}/" for room in folders if (room / "__init__.py").exists()]
    assert [room for room in rooms if room not in NAMES] == []
    tables = {name: value for name, value in vars(catalogue).items() if name.isupper() and isinstance(value, dict)}
    listed = [name for name, value in tables.items() if any(value is table for table in catalogue.KINDS.values())]
    assert len(listed) == len(catalogue.KINDS)
    assert [name for name in listed if name not in NAMES] == []
