r"""Where weights begin: each signal as strong after a layer as before it.

A sum of n products has n times the variance of one, so a weight that reads n inputs
begins with a standard deviation of $1/\sqrt{n}$, and a lone vector, such as a class
token, with 1. Scales begin at 1, biases at 0, and a decoder's matrices at 0.02,
whatever their size, as GPT-2's did.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

ONES = ("running_var", "gamma")
# An LSTM's bias_ih_l0 and bias_hh_l0 and an attention's in_proj_bias would belong here,
# too. But the published weights were trained from where these names put them, and would
# not be made again: a recipe that wants them at 0 sets them.
ZEROS = ("bias", "running_mean")


def initial_weights(
    shapes: Mapping[str, tuple[int, ...]],
    rng: np.random.Generator,
    narrow: tuple[str, ...] = (),
    deviation: float = 0.02,
) -> dict[str, np.ndarray]:
    """A float32 array for each name, drawn in the order of the names.

    Names that begin with one of `narrow` get normal numbers of that deviation, all
    others $1/\\sqrt{n}$ for n inputs. Only what is called `bias` is one here: an
    LSTM's `bias_ih_l0` and an attention's `in_proj_bias` are drawn as lone vectors.
    """
    return {
        name: _initial(name, shape, rng, name.startswith(narrow), deviation)
        for name, shape in shapes.items()
    }


def _initial(name, shape, rng, is_narrow, deviation):
    kind = name.rpartition(".")[2]
    if kind in ONES or (len(shape) == 1 and kind == "weight"):
        return np.ones(shape, np.float32)
    if kind in ZEROS:
        return np.zeros(shape, np.float32)
    if not is_narrow:
        deviation = 1 / math.sqrt(math.prod(shape[1:]))
    return rng.normal(0, deviation, shape).astype(np.float32)
