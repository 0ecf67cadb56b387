"""Networks and accelerators in one job: parts from trained supernets, and limits that nothing can keep."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from nas.objectives import Bound, Objective, costs_of
from nas.search.journal import Journal
from nas.search.loop import search
from nas.search.problem import Problem
from nas.searchers import NSGA2
from search_spaces.families.joined import joined
from search_spaces.families.nasbench_macro import nasbench_macro
from search_spaces.joined_parts import Part
from service.errors import InvalidJob
from service.job.loading import job_of
from service.job.preparation import save_job
from service.run.training import take_parts
from supernets import Supernet
from supernets.estimate import Estimate

OPTIONS: dict[str, Any] = {"width": 4, "depths": [1, 2], "head_width": 8}
ACCELERATORS = {"count": 2, "pes": [16, 32, 64], "bandwidths": [2, 4], "most_pes": 64, "most_bandwidth": 8}
NET = {"name": "nasbench_macro", "options": OPTIONS}


def fields(**search: Any) -> dict[str, Any]:
    parts = {"net": {**NET, "times": 2}}
    return {
        "name": "pair",
        "data": {"source": "digits"},
        "task": {"name": "workload"},
        "space": {"name": "joined", "options": {"parts": parts, "accelerators": ACCELERATORS}},
        "search": {"objectives": ["mean_accuracy", "energy_nj"], **search},
        "tracking": {"enabled": False},
    }


def mistakes(**search: Any) -> list[str]:
    with pytest.raises(InvalidJob) as caught:
        job_of(fields(**search))
    return caught.value.mistakes


@pytest.fixture
def trained(tmp_path):
    """The folder of a job that has trained networks of the part."""
    folder = tmp_path / "net"
    folder.mkdir()
    job = job_of({"name": "net", "data": {"source": "digits"}, "space": NET})
    save_job(job, folder)
    torch.manual_seed(5)
    supernet = Supernet(nasbench_macro(width=4, depths=(1, 2), head_width=8, image_size=8, channels=1))
    supernet.save(folder / "supernet.safetensors")
    return folder, supernet


def test_a_limit_on_cycles_is_what_layers_are_mapped_by():
    from service.job.building import build_space

    space = build_space(job_of(fields(constraints={"cycles": "<= 4 k"})))
    assert space.cost.accelerated.deadline == 4000
    assert build_space(job_of(fields())).cost.accelerated.deadline is None


def test_limits_that_no_hardware_can_keep_are_refused_with_the_best_that_can_be_reached():
    (line,) = mistakes(constraints={"area_um2": 500})
    assert line.startswith("search.constraints.area_um2: 500.0 is impossible; the best reachable is ")
    least = int(line.rpartition(" ")[2].replace(",", ""))
    space = joined(parts={"net": small()}, accelerators=ACCELERATORS)
    assert least == space.costs([space.smallest()])["area_um2"][0]
    (line,) = mistakes(constraints={"cycles": 1, "area_um2": "50 k"})
    assert line.startswith("search.constraints.cycles: 1.0 is impossible with area_um2 50 k; the best reachable is ")


def small() -> Part:
    return Part(
        name="net", space=nasbench_macro(width=4, depths=(1, 2), head_width=8, image_size=8, channels=1), times=2
    )


def test_parts_give_their_weights_to_all_networks_of_their_kind(trained):
    folder, of_part = trained
    job = job_of(fields(parts={"net": str(folder)}))
    assert job.search.parts == {"net": str(folder)}
    whole = Supernet(joined(parts={"net": small()}, accelerators=ACCELERATORS))
    take_parts(whole, job.search.parts)
    taken = whole.network.get_submodule("parts.net.network").state_dict()
    assert all(torch.equal(tensor, taken[name]) for name, tensor in of_part.network.state_dict().items())


def test_parts_that_do_not_fit_are_refused(trained, tmp_path):
    folder, _ = trained
    assert mistakes(parts={"nat": str(folder)}) == [
        "search.parts.nat: unknown part 'nat'; did you mean net? allowed: net",
        "search.parts.net: missing; must be a job folder with a trained supernet, as every part needs one",
    ]
    (line,) = mistakes(parts={"net": str(tmp_path / "no")})
    assert line.startswith("search.parts.net: must be a job folder with a trained supernet, there is no ")
    content = json.loads((folder / "job.json").read_text())
    content["job"]["data"]["image_size"] = 16
    (folder / "job.json").write_text(json.dumps(content))
    (line,) = mistakes(parts={"net": str(folder)})
    assert line.startswith(f"search.parts.net: {folder} has other networks or data: data.image_size: 16 there, ")
    alone = {**fields(parts={"net": str(folder)}), "space": NET, "task": {}}
    with pytest.raises(InvalidJob, match=r"search.parts: must be left out, the space nasbench_macro has no parts"):
        job_of(alone | {"search": {**alone["search"], "objectives": ["accuracy"]}})


# ---- early pruning --------------------------------------------------------------------------------------------------


class Counted(Objective):
    """A quality that counts how often it is evaluated."""

    name, unit, maximise, role = "quality", "", True, "quality"

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def evaluate(self, architecture, fidelity=1.0):
        self.calls.append(architecture)
        return Estimate(float(hash(architecture) % 97))


def searched(tmp_path, limits: dict[str, float]) -> tuple[Counted, list[dict[str, Any]], Any]:
    space = joined(parts={"net": small()}, accelerators=ACCELERATORS, deadline_cycles=limits.get("cycles"))
    quality = Counted()
    bounds = {name: Bound(None, high) for name, high in limits.items()}
    problem = Problem([quality, *costs_of(space)], ["quality", "energy_nj"], bounds)
    searcher = NSGA2(space, objectives=2, population=8, seed=0, violation=problem.exact_violation)
    events: list[dict[str, Any]] = []
    search(searcher, problem, Journal(tmp_path / "j", {}), space=space, evaluations=24, observer=events.append)
    return quality, events, space


def test_nothing_is_judged_where_no_hardware_can_keep_the_limits(tmp_path):
    assert searched(tmp_path, {"area_um2": 1.0})[0].calls == []


def test_only_what_keeps_the_limits_is_judged_and_the_rest_is_counted(tmp_path):
    limits = {"cycles": 2500.0, "area_um2": 20_000.0}
    quality, events, space = searched(tmp_path, limits)
    assert len(quality.calls) == 24
    costs = space.costs(quality.calls)
    assert all((costs[name] <= limit).all() for name, limit in limits.items())
    assert events[-1]["refused"] > 0
    assert np.diff([event.get("refused", 0) for event in events]).min() >= 0
