"""GPUs and cores as locks."""

import pytest

from service.job.gpus import Gpu, parse_gpus, seen_by_cuda, visible
from service.queue.executors.executor import Resources
from service.queue.executors.slots import SlotConfig, Slots

LISTING = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa)
  MIG 1g.5gb      Device  0: (UUID: MIG-a0)
  MIG 1g.5gb      Device  1: (UUID: MIG-a1)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb)
GPU 2: NVIDIA A100-SXM4-40GB (UUID: GPU-cccc)
"""
NAMES = [("0:0", "MIG-a0"), ("0:1", "MIG-a1"), ("1", "GPU-bbbb"), ("2", "GPU-cccc")]
GPUS = [Gpu(index, uuid, "NVIDIA A100-SXM4-40GB") for index, uuid in NAMES]


def slots(tmp_path, **config) -> Slots:
    return Slots(SlotConfig(folder=str(tmp_path), **config))


def test_parts_of_a_gpu_stand_for_it():
    assert parse_gpus(LISTING) == GPUS


@pytest.mark.parametrize(
    ("allowed", "seen"),
    [
        (None, ["0", "1", "2"]),
        ("2, 0", ["2", "0"]),
        ("GPU-b", ["1"]),
        ("", []),
        ("1,7,2", ["1"]),
        ("-1,1", []),
    ],
)
def test_cuda_ignores_what_follows_a_gpu_that_it_does_not_know(allowed, seen):
    gpus = [Gpu("0", "GPU-aaaa"), Gpu("1", "GPU-bbbb"), Gpu("2", "GPU-cccc")]
    assert [gpu.number for gpu in seen_by_cuda(gpus, allowed)] == seen


def test_gpus_are_chosen_by_index_and_uuid_among_those_that_are_visible():
    assert visible(GPUS, None, None) == ["MIG-a0", "MIG-a1", "GPU-bbbb", "GPU-cccc"]
    assert visible(GPUS, None, "2,1") == ["GPU-cccc", "GPU-bbbb"]
    assert visible(GPUS, None, "") == []
    assert visible(GPUS, ["1", "GPU-cc"], None) == ["GPU-bbbb", "GPU-cccc"]
    with pytest.raises(ValueError, match=r"'1' is not a GPU that jobs may use here; there are: 2 \(GPU-cccc\)"):
        visible(GPUS, ["1"], "2")


def test_a_gpu_is_taken_once_and_free_when_it_is_let_go(tmp_path):
    mine, theirs = slots(tmp_path, pretend_gpus=2), slots(tmp_path, pretend_gpus=2)
    first, second = mine.take(Resources(gpus=1)), theirs.take(Resources(gpus=1))
    assert (first.gpus, second.gpus) == (["pretend-0"], ["pretend-1"])
    assert mine.take(Resources(gpus=1)) is None
    first.close()
    assert theirs.take(Resources(gpus=2)) is None
    again = mine.take(Resources(gpus=1))
    assert again.gpus == ["pretend-0"]
    assert again.environment()["CUDA_VISIBLE_DEVICES"] == "pretend-0"


def test_jobs_that_share_a_gpu_spread_first_and_never_meet_one_that_has_it_for_itself(tmp_path):
    sharing, alone = slots(tmp_path, pretend_gpus=2, jobs_per_gpu=2), slots(tmp_path, pretend_gpus=2)
    taken = [sharing.take(Resources(gpus=1)) for _ in range(3)]
    assert [one.gpus for one in taken] == [["pretend-0"], ["pretend-1"], ["pretend-0"]]
    assert alone.take(Resources(gpus=1)) is None
    taken[1].close()
    only = alone.take(Resources(gpus=1))
    assert only.gpus == ["pretend-1"]
    assert sharing.take(Resources(gpus=1)) is None
    taken[0].close()
    assert sharing.take(Resources(gpus=2)) is None
    assert sharing.take(Resources(gpus=1)).gpus == ["pretend-0"]


def test_a_job_without_a_gpu_sees_none_and_has_its_cores_for_itself(tmp_path):
    machine = slots(tmp_path)
    taken = machine.take(Resources())
    assert taken.cpus == machine.cpus
    assert taken.environment()["CUDA_VISIBLE_DEVICES"] == ""
    assert taken.environment()["OMP_NUM_THREADS"] == str(len(machine.cpus))
    assert machine.take(Resources(cpus=1)) is None
    taken.close()
    assert machine.take(Resources(cpus=1)).cpus == machine.cpus[:1]
