"""A data source of vectors: scikit-learn's 442 patients with 10 measurements each, and how far their diabetes went."""

import torch
from sklearn.datasets import load_diabetes

from nas.data import DataConfig
from nas.data.tensors import TensorSource


def diabetes(config: DataConfig, *, patients: int = 442) -> TensorSource:
    """Return the first `patients`; measurements and progress are brought to a mean of 0 and a deviation of 1."""
    table = load_diabetes(scaled=False)
    measurements = torch.from_numpy(table.data[:patients]).float()
    progress = torch.from_numpy(table.target[:patients]).float()[:, None]
    return TensorSource(
        config=config,
        name="diabetes",
        task="tests.plugin.regression:Regression",
        facts={"features": measurements.shape[1], "outputs": 1},
        train=(_standardised(measurements), _standardised(progress)),
        preprocessing={"scale": "each measurement to mean 0 and standard deviation 1"},
        targets={"meaning": "progress of the disease in a year, standardised"},
    )


def _standardised(values: torch.Tensor) -> torch.Tensor:
    return (values - values.mean(0)) / values.std(0)
