r"""The memory as a Gaussian process: the same answers, from the facts themselves.

If M is Gaussian, so is what it says at any address, and the covariance of two answers
is a kernel, $k(w, w') = w \Sigma_0 w'\transpose$. A Gaussian process keeps the n facts
and solves n x n; a memory keeps mean and covariance, K x K, and throws the facts away.

    facts  n x n   W S0 W' + s2 I      cheap while the facts are fewer than the slots
    slots  K x K   S0^-1 + W' W / s2   of constant size

Both are Woodbury's two sides of one inverse, and say the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ... import ops
from .demands import facts_are_finite, noise_is_a_variance, of_a_memory
from .reading import read, read_variance
from .writing import surprise_covariance


class Prediction(NamedTuple):
    """What is expected at each address (..., q, C), and its variance (..., q)."""

    mean: Any
    variance: Any


@of_a_memory(
    noise_is_a_variance,
    facts_are_finite,
    addresses="... n K",
    codes="... n C",
    asked="... q K",
)
def gaussian_process(memory, addresses, codes, noise, asked) -> Prediction:
    r"""What a Gaussian process says that starts as `memory` and saw the facts: with
    $k(w, w') = w \Sigma_0 w'\transpose$ and
    $A = k(w_*, W)\,(k(W, W) + \sigma^2 I)^{-1}$, the mean
    $w_* M_0 + A\,(Z - W M_0)$ and the variance $k(w_*, w_*) - A\,k(W, w_*)$.

    addresses are (..., n, K), codes (..., n, C), the addresses `asked` (..., q, K). No
    posterior of the slots is formed.

    Source: [MicroVLM-V] 1; Rasmussen and Williams, Gaussian Processes for Machine
    Learning, 2.1 and 2.2. Oracle: the joint Gaussian of all answers, by torch.
    """
    nearness = addresses @ memory.covariance @ asked.swapaxes(-1, -2)
    shares = ops.solve(surprise_covariance(memory, addresses, noise), nearness)
    surprise = codes - addresses @ memory.mean
    return Prediction(
        read(memory, asked) + shares.swapaxes(-1, -2) @ surprise,
        read_variance(memory, asked) - (shares * nearness).sum(-2),
    )
