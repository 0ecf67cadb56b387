"""The batches that subnets are calibrated and judged on."""

import torch

from nas.data import Data, load_data
from nas.data.config import DataConfig
from service.run.batches import EvaluationBatches
from supernets.tasks import Classification


def digits() -> Data:
    return load_data(DataConfig(), device=torch.device("cpu"))


def test_networks_are_judged_on_as_many_examples_as_fit_and_calibrated_in_batches_of_their_size() -> None:
    data, bytes_seen = digits(), list[int]()

    def fit(example_bytes: int) -> int:
        bytes_seen.append(example_bytes)
        return 300

    small = EvaluationBatches(lambda: data, Classification().inputs)
    large = EvaluationBatches(lambda: data, Classification().inputs, fit=fit)
    assert {len(labels) for _, labels in small.validation()} <= {200, len(data.validation) % 200}
    sizes = [len(labels) for _, labels in large.validation()]
    assert sizes[0] == min(300, len(data.validation))
    assert sum(sizes) == len(data.validation)
    image, label = next(iter(data.validation.sequential(1)))
    assert bytes_seen == [image.nbytes + label.nbytes]
    for mine, theirs in zip(large.calibration(250), small.calibration(250), strict=True):
        assert torch.equal(mine[0], theirs[0])
        assert len(mine[0]) == 200


def test_calibration_batches_stay_where_they_fit_until_somebody_writes_into_them() -> None:
    data = digits()
    batches = EvaluationBatches(lambda: data, Classification().inputs, fit=lambda example_bytes: 300)
    ((first,),) = batches.calibration(200)
    ((again,),) = batches.calibration(200)
    assert first is again
    kept = first.clone()
    first.add_(1)
    ((fresh,),) = batches.calibration(200)
    assert fresh is not first
    assert torch.equal(fresh, kept)
    anew = [next(iter(batches.calibration(400)))[0] for _ in range(2)]
    assert anew[0] is not anew[1]
