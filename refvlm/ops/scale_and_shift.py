r"""What a norm lets a network learn back: $y = \gamma \odot \hat x + \beta$."""

from __future__ import annotations


def affine(normal, weight=None, bias=None):
    r"""$\gamma \odot \hat x + \beta$, of what is given of it."""
    scaled = normal if weight is None else normal * weight
    return scaled if bias is None else scaled + bias


def per_channel(values, x):
    """One value for each channel of x, (b, c, ...), as an array that broadcasts to it.

    >>> per_channel(np.zeros(3), np.zeros((2, 3, 4, 5))).shape
    (3, 1, 1)
    """
    return None if values is None else values.reshape(-1, *(1,) * (x.ndim - 2))
