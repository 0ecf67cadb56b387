"""Predictors: what a few evaluated architectures say about many others.

Latency on a device of your own, from a table of other devices and 20 measurements:

    features = np.hstack([known_ms, described])  # [N, D + F]: D known devices, F columns that may be none
    transfer = DeviceTransfer().learn(features, devices=known_ms.shape[1])
    rows = transfer.choose(20, np.random.default_rng(0))  # the architectures worth measuring
    measured_ms = [measure(architectures[row]) for row in rows]
    latency_ms = transfer.fit(features[rows], np.array(measured_ms)).predict(features)  # mean and std of all N
"""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from nas.predictors.cqap import CQAP
    from nas.predictors.device_transfer import DeviceTransfer
    from nas.predictors.gaussian_process import GaussianProcess
    from nas.predictors.grouped_gaussian_process import GroupedGaussianProcess
    from nas.predictors.layer_features import LayerLayout
    from nas.predictors.mlp import MLP
    from nas.predictors.parzc import ParZC
    from nas.predictors.predictor import Prediction, Predictor
    from nas.predictors.ranking_ensemble import RankingEnsemble
    from nas.predictors.ridge import Ridge
    from nas.predictors.ridge_svr import RidgeOrSVR

__all__ = [
    "CQAP",
    "MLP",
    "DeviceTransfer",
    "GaussianProcess",
    "GroupedGaussianProcess",
    "LayerLayout",
    "ParZC",
    "Prediction",
    "Predictor",
    "RankingEnsemble",
    "Ridge",
    "RidgeOrSVR",
]

__getattr__ = lazy(__name__, __file__)
