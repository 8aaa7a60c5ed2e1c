r"""Gradient clipping: a step may be wrong in length, but not in direction.

gradient       |g| = 5           clipped to 1
(3, 4)        ------------>      (0.6, 0.8)
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..half import in_single


def global_norm(gradients: Mapping[str, np.ndarray]) -> float:
    r"""The length of all gradients as one vector: $\sqrt{\sum_i g_i^2}$.

    A Python float. It does not depend on the order of the names, to the last bit.

    Source: [Cortes] 8.3. Oracle: torch.nn.utils.clip_grad_norm_.

    >>> global_norm({"weight": np.array([[2.0, 4.0]]), "bias": np.array([4.0])})
    6.0
    """
    total = math.fsum(_square(gradient) for gradient in gradients.values())
    return math.sqrt(total)


def clip_by_global_norm(
    gradients: Mapping[str, np.ndarray], max_norm: float
) -> tuple[Mapping[str, np.ndarray], float]:
    r"""Gradients no longer than $g_{max}$, as one vector:
    $g \cdot \min(1,\ g_{max} / (\lVert g\rVert + 10^{-6}))$, and their length before
    that.

    Gradients that are short enough come back as they are. So do those whose length is
    infinite or not a number: no factor makes them useful, and the caller sees the norm.

    Source: [Cortes] 8.3. Oracle: torch.nn.utils.clip_grad_norm_, with its $10^{-6}$.

    >>> clip_by_global_norm({"weight": np.array([3.0, 4.0])}, 1.0)[0]["weight"].round(4)
    array([0.6, 0.8])
    """
    if not max_norm > 0:
        raise ValueError(f"clip_by_global_norm: max_norm is {max_norm}, not above 0")
    norm = global_norm(gradients)
    factor = float(max_norm) / (norm + 1e-6)
    if factor >= 1 or not math.isfinite(norm):
        return gradients, norm
    clipped = {name: in_single(g) * factor for name, g in gradients.items()}
    return {name: c.astype(gradients[name].dtype) for name, c in clipped.items()}, norm


def _square(gradient):
    """The sum of squares; in float64 where float32 and float16 cannot hold it."""
    flat = np.ravel(gradient)
    if flat.dtype != np.float16:
        with np.errstate(over="ignore", invalid="ignore"):
            square = float(np.vdot(flat, flat))
        if math.isfinite(square) or flat.dtype == np.float64:
            return square
    flat = flat.astype(np.float64)
    return float(np.vdot(flat, flat))
