r"""The posterior by its slots, and matrices drawn from it.

`writing.write_all` solves as many equations as there are facts. The other side of the
same inverse has as many as there are slots: precisions and what they weigh add up. And
a matrix that one might believe in after the facts is had by drawing one from before
them, and correcting what it says: no new covariance is needed for it.
"""

from __future__ import annotations

import numpy as np

from ... import ops
from ...arguments import check_generator
from .demands import facts_are_finite, noise_is_a_variance, of_a_memory
from .prior import Memory
from .writing import gain


@of_a_memory(
    noise_is_a_variance, facts_are_finite, addresses="... n K", codes="... n C"
)
def write_by_precision(memory, addresses, codes, noise):
    r"""`write_all` in the information form:
    $\Sigma'^{-1} = \Sigma^{-1} + W\transpose W / \sigma^2$ and
    $M' = \Sigma' (\Sigma^{-1} M + W\transpose Z / \sigma^2)$.

    addresses are (..., n, K), codes (..., n, C). K x K is solved: the cheaper form
    once there are more facts than slots.

    Source: [MicroVLM-V] 5. Oracle: Bayes' rule for a Gaussian, by torch.
    """
    eye = np.eye(memory.mean.shape[-2], dtype=memory.mean.dtype)
    before = ops.solve(memory.covariance, eye)
    weights = addresses.swapaxes(-1, -2) / noise
    covariance = ops.solve(before + weights @ addresses, eye)
    return Memory(
        covariance @ (before @ memory.mean + weights @ codes),
        (covariance + covariance.swapaxes(-1, -2)) / 2,
    )


@of_a_memory()
def draw(memory, rng):
    r"""A matrix that one might believe in: $M + L E$, with $\Sigma = L L\transpose$
    and $E$ of independent standard normal numbers from the generator `rng`.

    Source: [MicroVLM-V] 7.3. Oracle: torch.distributions, by mean and covariance.
    """
    check_generator("draw", rng)
    mean, covariance = memory
    return mean + np.linalg.cholesky(covariance) @ _noise(rng, mean)


@of_a_memory(
    noise_is_a_variance, facts_are_finite, addresses="... n K", codes="... n C"
)
def draw_written(memory, addresses, codes, noise, rng):
    r"""A matrix that one might believe in after the facts, from one before them:
    $\tilde M + G\,(Z + \tilde e - W \tilde M)$ with the `gain` $G$, and $\tilde M$ and
    the noise $\tilde e$ drawn.

    It is Matheron's rule; its covariance
    $(I - GW)\,\Sigma\,(I - GW)\transpose + \sigma^2 G G\transpose$ is Joseph's form.

    Source: [MicroVLM-V] 7.3; Wilson et al., Pathwise conditioning of Gaussian
    processes. Oracle: mean and covariance of `write_all`.
    """
    check_generator("draw_written", rng)
    believed = draw(memory, rng)
    said = addresses @ believed
    surprise = codes + noise**0.5 * _noise(rng, said) - said
    return believed + gain(memory, addresses, noise) @ surprise


def _noise(rng, like):
    return rng.standard_normal(like.shape).astype(like.dtype)
