r"""Filters that nobody learnt: edges, then textures, then how much of each there is.

    grey (h, w) --Sobel--> edges (2, h, w)
                --Gabor--> textures (n, h, w) --mean of windows--> (n, h/p, w/p) -> (n)

What the first layers of a trained network find by themselves looks much like this bank.
A hierarchy is the same idea again and again: ask small questions everywhere, then ask
how the answers are spread over a larger place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .. import ops
from ..arguments import check_whole, is_number
from ..shapes import shapes

LUMA = (0.299, 0.587, 0.114)

SMOOTH, SLOPE = np.array([1.0, 2.0, 1.0]), np.array([-1.0, 0.0, 1.0])
SOBEL = np.stack([np.outer(SMOOTH, SLOPE), np.outer(SLOPE, SMOOTH)])
"""Across and down, (2, 3, 3): a difference along one axis, a mean along the other."""


class Hierarchy(NamedTuple):
    """What is where, ever more coarsely: (2, h, w), (n, h, w), (n, h', w') and (n)."""

    edges: np.ndarray
    textures: np.ndarray
    pooled: np.ndarray
    whole: np.ndarray


@shapes(pixels="... h w 3 of anything", returns="... h w")
def luminance(pixels):
    r"""How bright a pixel looks: $0.299\,r + 0.587\,g + 0.114\,b$, bytes as [0, 1].

    Oracle: Pillow's convert("L"), before it rounds.
    """
    floating = pixels.dtype.kind == "f"
    values = pixels if floating else pixels.astype(np.float32) / np.float32(255)
    return values @ np.asarray(LUMA, values.dtype)


@shapes(x="h w", returns="directions h w")
def sobel(x):
    r"""How steeply brightness rises across and down: $y = w * x$ with
    $w = \begin{pmatrix} -1 & 0 & 1 \\ -2 & 0 & 2 \\ -1 & 0 & 1 \end{pmatrix}$
    and its transpose. At the border, pixels are repeated.

    Source: [Foundations] convolutional networks. Oracle: scipy.ndimage.sobel.

    >>> sobel(np.array([[0.0, 0.0, 1.0, 1.0]]))[0]
    array([[0., 4., 4., 0.]])
    """
    return filtered(x, SOBEL)


@shapes(edges="directions h w", returns="h w")
def edge_strength(edges):
    r"""$\sqrt{a^2 + d^2}$ of the slopes across and down: the same whichever way an edge
    runs, but for what the small filters make of slants."""
    return np.sqrt(np.square(edges).sum(axis=0))


def gabor(size: int, wavelength: float, angle: float, phase: float = 0.0):
    r"""A wave in a window, (size, size):
    $e^{-(u^2 + v^2) / 2\sigma^2} \cos(2\pi (u \cos\theta + v \sin\theta)/\lambda +
    \phi)$ with $\sigma = \lambda / 2$, less its mean, at length one.

    u counts to the right and v down, both from the centre; the angle $\theta$ is the
    wave's way, so a grating of vertical bars has 0. Flat areas answer 0.

    Source: [Foundations] convolutional networks.
    """
    check_whole("gabor", least=3, most=255, size=size)
    for name, value in (("wavelength", wavelength), ("angle", angle), ("phase", phase)):
        least = 2.0 if name == "wavelength" else -math.inf
        if not is_number(value) or not (math.isfinite(value) and value >= least):
            bound = " of at least 2 pixels" if name == "wavelength" else ""
            raise ValueError(f"gabor: {name} must be a number{bound}, not {value!r}")
    places = np.arange(size) - (size - 1) / 2
    u, v = places[None, :], places[:, None]
    window = np.exp(-(u**2 + v**2) / (2 * (wavelength / 2) ** 2))
    along = u * math.cos(angle) + v * math.sin(angle)
    wave = window * np.cos(2 * math.pi * along / wavelength + phase)
    wave -= window * (wave.sum() / window.sum())
    return wave / np.linalg.norm(wave)


def gabor_bank(
    size: int = 15, wavelengths: Sequence[float] = (4, 8), orientations: int = 4
):
    """Pairs of waves, a quarter of a period apart: (wavelengths x orientations, 2,
    size, size), the finest first, each in directions from 0 to 180 degrees."""
    check_whole("gabor_bank", least=1, orientations=orientations)
    quarter = math.pi / 2
    pairs = [
        [gabor(size, wavelength, i * math.pi / orientations, p) for p in (0, quarter)]
        for wavelength in wavelengths
        for i in range(orientations)
    ]
    if not pairs:
        raise ValueError("gabor_bank: wavelengths is empty: give at least one")
    return np.array(pairs)


@shapes(x="h w", bank="n 2 kh kw of anything", returns="n h w")
def textures(x, bank):
    r"""How much of each wave there is around each pixel, wherever its crests fall:
    $\sqrt{(w_0 * x)^2 + (w_{\pi/2} * x)^2}$."""
    pairs = filtered(x, bank.reshape(-1, *bank.shape[2:]))
    return np.sqrt(np.square(pairs.reshape(-1, 2, *x.shape)).sum(axis=1))


@shapes(x="h w")
def feature_hierarchy(x, bank=None, window: int = 8) -> Hierarchy:
    """Edges, textures, textures in windows, and of the whole picture.

    x (h, w) is grey, at least `window` high and wide; the bank `gabor_bank`'s unless
    given. Source: [Foundations] convolutional networks.
    """
    check_whole("feature_hierarchy", least=1, most=min(x.shape), window=window)
    found = textures(x, gabor_bank() if bank is None else bank)
    pooled = ops.avg_pool2d(found, window)
    return Hierarchy(sobel(x), found, pooled, pooled.mean(axis=(1, 2)))


@shapes(x="h w", filters="n kh kw of anything", returns="n h w")
def filtered(x, filters):
    """A map for each filter, as large as the picture, whose border is repeated.

    Oracle: scipy.ndimage.correlate, mode "nearest".
    """
    around = [(k // 2, (k - 1) // 2) for k in filters.shape[1:]]
    padded = np.pad(x, around, mode="edge")
    return ops.conv2d(padded[None], filters[:, None].astype(x.dtype))
