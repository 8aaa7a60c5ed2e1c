"""Layer scale: each channel of a residual branch has a volume knob that is learnt."""

from __future__ import annotations

from ... import ops
from ..training_mode import Training, drop_path


def layer_scale(x, gamma):
    r"""$\lambda \odot x$, one $\lambda$ for each channel, begun at $10^{-5}$ so that a
    deep network starts as the identity.

    x (b, c, h, w), gamma (c, 1, 1). Source: [Kamath] stages 1-5; Touvron et al., Going
    deeper with image transformers. Oracle: timm's `LayerScale2d`.
    """
    return x * gamma


def add_residual(x, branch, gamma, drop_rate=0.0, training: Training | None = None):
    r"""$x + \lambda \odot (m\,b)$, where the noise $m$ drops whole branches while
    learning, and is 1 otherwise.

    x and branch (b, c, h, w).
    """
    return ops.add_scaled(x, drop_path(branch, drop_rate, training), gamma)
