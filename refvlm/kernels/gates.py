"""Gates: a curve over every number, written over one array.

Memory that is new costs more than an exponential: each step writes over the last.
"""

from __future__ import annotations

import numpy as np


def sigmoid(x):
    """The decay on the way from 0, and what it makes of the gate."""
    decay = np.abs(x, out=np.empty_like(x))
    np.negative(decay, out=decay)
    np.exp(decay, out=decay)
    gate = np.maximum(decay, x >= 0)
    decay += 1
    gate /= decay
    return gate
