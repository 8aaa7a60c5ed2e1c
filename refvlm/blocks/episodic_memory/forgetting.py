r"""Forgetting: the write that takes a fact back.

Precisions add up, $\Sigma'^{-1} = \Sigma^{-1} + w\transpose w / \sigma^2$, so that a
fact is taken back by subtracting its own: the formula of a write with $-\sigma^2$ for
the noise (Larimar's writing factor $\alpha = -1$). What is left is the posterior of the
other facts, whichever was written first and in whichever order they go.

Nothing notes what was written, so the fact is to be brought along, exactly. What can be
noticed is that the memory doubts more at an address than a fact with that noise would
leave: then none was written there, and taking one away would leave no belief at all.
"""

from __future__ import annotations

import numpy as np

from ...variable import value_of
from .demands import (
    fact_is_finite,
    noise_is_a_variance,
    of_a_memory,
    variance_is_the_priors,
)
from .prior import Memory

ROUNDED_AWAY = 4
"""A difference of no more roundings than this may be nothing but that."""


@of_a_memory(noise_is_a_variance, variance_is_the_priors, address="... K")
def roundings_left(memory, address, noise, variance=1.0):
    r"""Whether the digits are left to `forget` by: what that divides by, in units of
    what it was rounded by, $(\sigma^2 - w \Sigma w\transpose) / (\epsilon\,v\,
    w w\transpose)$, with the $\epsilon$ of the dtype.

    address w is (..., K), the result (...), and one over it the relative error of what
    is forgotten. `variance` $v$ is that of the prior: a small variance is a difference
    of large ones, and has their rounding. Below 0 no fact with that noise was written
    there.

    Source: [MicroVLM-V] 5, "Larimar". Oracle: the error of `forget`, counted.

    >>> one_slot = Memory(np.array([[2.0]]), np.array([[0.5]]))
    >>> left = roundings_left(one_slot, np.array([1.0]), noise=1.0)
    >>> bool(left == 0.5 / np.finfo(float).eps)
    True
    """
    w, covariance = value_of(address), value_of(memory.covariance)
    left = noise - ((w[..., None, :] @ covariance)[..., 0, :] * w).sum(-1)
    unit = np.finfo(left.dtype).eps * variance * (w * w).sum(-1)
    return left / np.maximum(unit, np.finfo(left.dtype).tiny)


@of_a_memory(
    noise_is_a_variance,
    variance_is_the_priors,
    fact_is_finite,
    address="... K",
    code="... C",
)
def forget(memory, address, code, noise, variance=1.0):
    r"""Take back what `write` wrote: with $u = w \Sigma$ and
    $g = \sigma^2 - u w\transpose$, $M' = M - u\transpose (z - wM) / g$ and
    $\Sigma' = \Sigma + u\transpose u / g$.

    address (..., K), code (..., C) and `noise` are those of the write, `variance` is
    the prior's $v$. g is above 0 where the fact was written, and what is not is
    refused. Of a fact that alone made sure what was unsure by v it is
    $\sigma^4 / (v + \sigma^2)$, a difference of nearly equal numbers: the relative
    error is that of the dtype times $v^2 / \sigma^4$. With v = 1 float32 forgets to
    five digits at a noise of 0.1, to one at 1e-3, and less than that is refused, too:
    `roundings_left` counts them.

    Source: [MicroVLM-V] 5, "Larimar". Oracle: the information form, by torch's inverse.

    >>> one_slot = Memory(np.array([[2.0]]), np.array([[0.5]]))
    >>> forget(one_slot, np.array([1.0]), np.array([4.0]), noise=1.0)
    Memory(mean=array([[0.]]), covariance=array([[1.]]))
    """
    w, z = address[..., None, :], code[..., None, :]
    reach = w @ memory.covariance
    left = noise - reach @ w.swapaxes(-1, -2)
    _check_was_written(roundings_left(memory, address, noise, variance), noise, left)
    surprise = z - w @ memory.mean
    slots = reach.swapaxes(-1, -2)
    return Memory(
        memory.mean - slots * (surprise / left),
        memory.covariance + slots * reach / left,
    )


def _check_was_written(roundings, noise, left):
    """What is left of the noise is above 0, by more than it may be rounded."""
    left = value_of(left)
    if (roundings < -ROUNDED_AWAY).any():
        raise ValueError(
            f"forget: the memory doubts as much as {noise - left.min():.3g} at this "
            f"address, and a fact with noise {noise:g} would have left less than that: "
            "it was not written, or is forgotten already"
        )
    if (roundings <= ROUNDED_AWAY).any():
        raise ValueError(
            f"forget: what a fact with noise {noise:g} left at this address is lost in "
            f"the rounding of {left.dtype}: write with more noise, or in float64, what "
            "is to be forgotten one day"
        )
