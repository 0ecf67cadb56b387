"""The confidence interval of a mean of few values."""

import numpy as np


def student_half(values: np.ndarray) -> np.ndarray:
    """Return half of Student's 95% interval [...] of the mean over the first axis of values [S, ...], S at least 2."""
    from scipy.special import stdtrit  # takes long to import

    return stdtrit(len(values) - 1, 0.975) * values.std(axis=0, ddof=1) / np.sqrt(len(values))
