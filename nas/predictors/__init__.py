"""What few evaluated architectures say of many others."""

from nas.predictors.diff_kendall import diff_kendall, diff_kendall_loss
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
    "MLP",
    "GaussianProcess",
    "GroupedGaussianProcess",
    "LayerLayout",
    "ParZC",
    "Prediction",
    "Predictor",
    "RankingEnsemble",
    "Ridge",
    "RidgeOrSVR",
    "diff_kendall",
    "diff_kendall_loss",
]
