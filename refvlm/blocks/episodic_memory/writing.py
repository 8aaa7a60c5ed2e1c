r"""Writing: what is believed of a matrix once a row of it was seen.

    the address w reaches the slots by  u = w S
    surprise   z - w M      what the memory would have said is subtracted
    variance   u w' + s2    of that surprise: the memory's own doubt, and the noise
    M <- M + u' (z - w M) / (u w' + s2)         S <- S - u' u / (u w' + s2)

Bayes' rule for a Gaussian, which is Kalman's update of a state that does not move, and
Sherman's and Morrison's formula for the inverse of $\Sigma^{-1} + w\transpose w /
\sigma^2$. Several facts are written one after the other, in any order, or at once: what
is believed in the end is the same.

Source: [MicroVLM-V] 5. Oracle: the information form, by torch's inverse.
"""

from __future__ import annotations

import numpy as np

from ... import ops
from .demands import fact_is_finite, facts_are_finite, noise_is_a_variance, of_a_memory
from .prior import Memory


@of_a_memory(noise_is_a_variance, fact_is_finite, address="... K", code="... C")
def write(memory, address, code, noise):
    r"""Remember one fact: $M' = M + u\transpose (z - wM) / (u w\transpose + \sigma^2)$
    and $\Sigma' = \Sigma - u\transpose u / (u w\transpose + \sigma^2)$, with
    $u = w \Sigma$.

    address w is (..., K), code z (..., C), `noise` $\sigma^2$. In this form the
    covariance stays symmetric to the last bit, as $u_i u_j = u_j u_i$. In float32 it
    stays positive definite down to smaller noises than the source's form: `forms.py`
    compares five.

    Source: [MicroVLM-V] 5. Oracle: the information form, by torch's inverse.

    >>> one_slot = Memory(np.array([[0.0]]), np.array([[1.0]]))
    >>> write(one_slot, np.array([1.0]), np.array([4.0]), noise=1.0)
    Memory(mean=array([[2.]]), covariance=array([[0.5]]))
    """
    w, z = address[..., None, :], code[..., None, :]
    reach = w @ memory.covariance
    variance = reach @ w.swapaxes(-1, -2) + noise
    surprise = z - w @ memory.mean
    slots = reach.swapaxes(-1, -2)
    return Memory(
        memory.mean + slots * (surprise / variance),
        memory.covariance - slots * reach / variance,
    )


@of_a_memory(noise_is_a_variance, addresses="... n K")
def surprise_covariance(memory, addresses, noise):
    r"""How the surprises of n facts vary together, before their codes are seen:
    $W \Sigma W\transpose + \sigma^2 I$.

    addresses W are (..., n, K), the result (..., n, n), the same for all C columns.

    Source: [MicroVLM-V] 5. Oracle: the joint Gaussian of slots and facts, by torch.
    """
    between = addresses @ memory.covariance @ addresses.swapaxes(-1, -2)
    return between + noise * np.eye(between.shape[-1], dtype=between.dtype)


@of_a_memory(noise_is_a_variance, addresses="... n K")
def gain(memory, addresses, noise):
    r"""How much each slot learns from each surprise:
    $G = \Sigma W\transpose (W \Sigma W\transpose + \sigma^2 I)^{-1}$.

    addresses W are (..., n, K), the result (..., K, n).

    Source: [MicroVLM-V] 5. Oracle: the joint Gaussian of slots and facts, by torch.
    """
    reach = addresses @ memory.covariance
    between = surprise_covariance(memory, addresses, noise)
    return ops.solve(between, reach).swapaxes(-1, -2)


@of_a_memory(
    noise_is_a_variance, facts_are_finite, addresses="... n K", codes="... n C"
)
def write_all(memory, addresses, codes, noise):
    r"""Remember n facts at once: with $W$ their addresses, $Z$ their codes and their
    `gain` $G$, $M' = M + G (Z - WM)$ and $\Sigma' = \Sigma - G W \Sigma$.

    addresses are (..., n, K), codes (..., n, C). What is solved is n x n, so that this
    is the quick form for the few facts of an episode, and the one to train through.

    Source: [MicroVLM-V] 5. Oracle: the information form, by torch's inverse.
    """
    G = gain(memory, addresses, noise)
    covariance = memory.covariance - G @ (addresses @ memory.covariance)
    return Memory(
        memory.mean + G @ (codes - addresses @ memory.mean),
        (covariance + covariance.swapaxes(-1, -2)) / 2,
    )
