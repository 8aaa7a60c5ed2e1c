"""Layer scale: each channel of a residual branch has a volume knob that is learnt."""

from __future__ import annotations


def layer_scale(x, gamma):
    r"""$\lambda \odot x$, one $\lambda$ for each channel, begun at $10^{-5}$ so that a
    deep network starts as the identity.

    x (b, c, h, w), gamma (c, 1, 1). Source: [Kamath] stages 1-5; Touvron et al., Going
    deeper with image transformers. Oracle: timm's `LayerScale2d`.
    """
    return x * gamma
