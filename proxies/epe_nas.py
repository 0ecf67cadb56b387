"""EPE-NAS: how the input gradients of samples correlate within each class, and between classes.

Paper: Lopes et al., EPE-NAS: Efficient Performance Estimation Without Training for Neural Architecture Search, arXiv
2102.08099. With the correlation matrix M_c of the gradients of class c (see `proxies.jacov`),
s_c = sum log(|M_c| + k), k = 1e-5; up to 100 classes the score is sum_c |s_c|, beyond that s_c is divided by the number
of its samples and the score is sum_{c,c'} |s_c - s_c'| / C.
Differs: in the released code a class with one sample adds log(1 + k), here nothing. C counts the classes that have two
samples or more; if there are none, there is no score. Classes are the groups of the batch, and there are as many as
outputs of the model; a batch without groups has no score.
"""

from dataclasses import dataclass

import torch

from proxies.jacov import OFFSET, input_correlations
from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score, ScoreError

MANY_CLASSES = 100


@dataclass(frozen=True, kw_only=True)
class EpeNas(Proxy):
    """A zero-cost proxy without options; the module defines its score."""

    def __call__(self, passes: Passes) -> Score:
        if passes.batch.groups is None:
            raise ScoreError("this score compares samples within classes, and the examples have none")
        logs = (passes.shared(input_correlations).abs() + OFFSET).log()
        groups = passes.batch.groups.cpu()
        members = [torch.nonzero(groups == group).flatten() for group in groups.unique()]
        members = [rows for rows in members if len(rows) > 1]
        if not members:
            raise ScoreError(f"no class has two samples or more among {len(groups)}, so nothing correlates within one")
        sums = torch.stack([logs[rows][:, rows].sum() for rows in members])
        if passes.ordinary.output.shape[1] <= MANY_CLASSES:
            return Score(float(sums.abs().sum()))
        sums = sums / torch.tensor([len(rows) for rows in members])
        return Score(float((sums.unsqueeze(0) - sums.unsqueeze(1)).abs().sum() / len(sums)))
