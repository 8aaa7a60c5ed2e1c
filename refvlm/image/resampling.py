"""Resampling by definition: what `resize` does, as two matrices and a kernel.

Put the pixels of a line at 1/2, 3/2, 5/2, ... A new line of another length lays
its own pixels over the same stretch, and each is a mean of the old ones, weighted
by a kernel of their distance. So resizing a line is a product with a matrix, and
resizing a picture is one product on either side of it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..shapes import shapes
from .limits import check_made, check_size
from .values import to_channels_first, to_channels_last

Kernel = Callable[[np.ndarray], np.ndarray]


def linear_kernel(distance: np.ndarray) -> np.ndarray:
    r"""A tent: $k(t) = \max(0, 1 - |t|)$."""
    return np.maximum(0, 1 - np.abs(distance))


def cubic_kernel(distance: np.ndarray, a: float = -0.5) -> np.ndarray:
    r"""Keys' cubic convolution kernel, with slope $a$ at $|t| = 1$:
    $$k(t) = \begin{cases} (a + 2)|t|^3 - (a + 3)|t|^2 + 1 & |t| \le 1 \\
    a|t|^3 - 5a|t|^2 + 8a|t| - 4a & 1 < |t| < 2 \\ 0 & \text{else.} \end{cases}$$

    Pillow has $a = -1/2$, which reproduces a parabola exactly; torch's
    `interpolate` has $a = -3/4$, which is a little sharper.

    >>> cubic_kernel(np.array([0.0, 0.5, 1.0, 1.5, 2.0]))
    array([ 1.    ,  0.5625,  0.    , -0.0625,  0.    ])
    """
    t = np.abs(distance)
    near = ((a + 2) * t - (a + 3)) * t**2 + 1
    far = a * (((t - 5) * t + 8) * t - 4)
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


def resize_matrix(
    size_in: int, size_out: int, kernel: Kernel = cubic_kernel
) -> np.ndarray:
    r"""The (size_out, size_in) matrix that resizes a line:
    $$R_{ij} \propto k\!\left(\frac{(j + \frac12) - (i + \frac12) s}{\max(s, 1)}\right),
    \qquad s = n_\text{in} / n_\text{out}, \qquad \sum_j R_{ij} = 1.$$

    When a line shrinks ($s > 1$) the kernel widens with it: that is antialiasing.
    Weights that would fall outside the line are left out, and the rest rescaled.

    >>> resize_matrix(4, 2, linear_kernel) * 7
    array([[3., 3., 1., 0.],
           [0., 1., 3., 3.]])
    """
    scale = size_in / size_out
    pixels, centers = _places(0, size_in), _places(0, size_out) * scale
    weights = kernel((pixels - centers[:, None]) / max(scale, 1))
    return weights / weights.sum(axis=1, keepdims=True)


def interpolation_matrix(
    size_in: int, size_out: int, kernel: Kernel = cubic_kernel
) -> np.ndarray:
    r"""As `resize_matrix`, but the kernel keeps its width, and the line's first and
    last pixels stand for all that lies beyond them.

    This is what torch means by `interpolate`; a line that shrinks skips pixels.

    Oracle: torch.nn.functional.interpolate, with a = -0.75 where it is bicubic.
    """
    reach = 2
    pixels = _places(-reach, size_in + reach)
    centers = _places(0, size_out) * (size_in / size_out)
    weights = kernel(pixels - centers[:, None])
    matrix = weights[:, reach:-reach].copy()
    matrix[:, 0] += weights[:, :reach].sum(axis=1)
    matrix[:, -1] += weights[:, -reach:].sum(axis=1)
    return matrix


@shapes(image="h w c of anything", returns="height width c")
def resize_by_definition(
    image: np.ndarray, height: int, width: int, kernel: Kernel = cubic_kernel
) -> np.ndarray:
    r"""$Y = R\,X\,C^\top$ for each colour, with R and C from `resize_matrix`.

    Pixels of uint8 are rounded and clipped once, at the end. Pillow does it after
    each of the two products, and so may be off by one grey level, and by a few
    where bicubic overshoots black or white between the two.

    Oracle: PIL.Image.Image.resize.
    """
    check_size(image.shape[0], image.shape[1], "the picture")
    check_made(height, width, image, "the resized picture")
    if image.dtype != np.uint8 and image.dtype.kind != "f":
        raise ValueError(
            f"resize_by_definition: image is {image.dtype}, not uint8 or floating"
        )
    rows = resize_matrix(image.shape[0], height, kernel)
    columns = resize_matrix(image.shape[1], width, kernel)
    resized = to_channels_last(rows @ to_channels_first(image) @ columns.T)
    if image.dtype == np.uint8:
        resized = np.rint(resized).clip(0, 255)
    return resized.astype(image.dtype)


def _places(start, stop):
    """Where the pixels of a line lie: in the middles of unit intervals."""
    return np.arange(start, stop) + 0.5
