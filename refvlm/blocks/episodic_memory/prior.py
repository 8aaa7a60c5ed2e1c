r"""A memory is a belief about a matrix: a mean, and a covariance of its rows.

    M ~ N(mean, covariance):  each column of M (K, C) is Gaussian, its mean a column of
    `mean` (K, C), its covariance `covariance` (K, K), the same for all C of them

so that vec(M) has the covariance I (x) S. A memory has K slots, of C numbers. It is
asked by an address w, which weighs the slots, and answers with a code z = w M. To
remember is to observe such a pair, and what is believed after that is Gaussian again:
the two arrays are all there is to keep, however much was written.

Conventions of this room: an address w is a row (..., K) and a code z a row (..., C);
`noise` is the variance of an observation, so z = w M + e with e ~ N(0, noise I).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...arguments import check_whole, is_number


class Memory(NamedTuple):
    """What is believed: mean (..., K, C), and covariance (..., K, K) of its rows."""

    mean: Any
    covariance: Any


def prior(slots, width, scale=1.0, variance=1.0, dtype=np.float32) -> Memory:
    r"""What is believed before anything is written: $M_0 = s\,I_{K \times C}$, and
    $\Sigma_0 = v I$.

    K is `slots`, C `width`, s `scale` and v `variance`. With this mean the first K
    numbers of a code, divided by s, are its own address, $z M_0^+ = z_{:K}/s$: its key.
    There the memory says what it is asked, $w M = z_{:K}$, before and after every
    write, so that nothing is learnt in the first K columns: $M = [sI \mid B]$, and
    writing is the regression of the other C - K numbers, the values, on the keys. So K
    is less than C, or the scale is 0, and the addresses come from somewhere else.

    Source: [MicroVLM-V] 5. Oracle: torch's eye.

    >>> prior(slots=2, width=3, scale=2.0).mean
    array([[2., 0., 0.],
           [0., 2., 0.]], dtype=float32)
    """
    check_whole("prior", least=1, slots=slots, width=width)
    if not is_number(scale) or not np.isfinite(scale):
        raise ValueError(f"prior: scale must be a finite number, not {scale!r}")
    if not is_number(variance) or not 0 < variance < np.inf:
        raise ValueError(f"prior: variance must be a number above 0, not {variance!r}")
    if np.dtype(dtype).kind != "f":
        raise ValueError(f"prior: dtype must be a floating one, not {dtype}")
    if scale and slots >= width:
        raise ValueError(
            f"prior: slots is {slots} and width {width}, but the first {slots} numbers "
            "of a code are its key, so that none is left to be remembered: take fewer "
            "slots than the width, or scale=0 where addresses come from elsewhere"
        )
    mean = np.eye(slots, width, dtype=dtype) * float(scale)
    return Memory(mean, np.eye(slots, dtype=dtype) * float(variance))
