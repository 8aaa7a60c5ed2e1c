r"""Augmentation: pictures that might have been taken instead, of the same thing.

A crop, a change of light or a mirror image makes a new picture of an old label, as
long as the label stays true of it. Where it does not (left and right in a mirror, two
pictures mixed), the label has to change as well.

A picture is (height, width, 3), uint8 or floating from 0 to 1. Every function that
draws takes the generator it draws from.
"""

from __future__ import annotations

import math

import numpy as np

from ..arguments import check_generator
from ..shapes import shapes
from .geometry import resize
from .limits import ImageError, check_size
from .resampling import linear_kernel, resize_by_definition

GRAY = (0.2989, 0.587, 0.114)
TRIES = 10


@shapes(image="h w 3 of numbers", returns="height width 3")
def random_crop(
    image: np.ndarray, height: int, width: int, rng: np.random.Generator
) -> np.ndarray:
    """A window of `height` by `width`, every place for it as likely as any other.

    Source: [Cortes] 3.4. Oracle: torchvision.transforms.functional.crop, at the same
    place.
    """
    check_size(height, width, "the crop")
    if height > image.shape[0] or width > image.shape[1]:
        raise ImageError(
            f"random_crop: a window of {height} x {width} does not fit into a picture "
            f"of {image.shape[0]} x {image.shape[1]}: resize or pad it first"
        )
    check_generator("random_crop", rng)
    top = rng.integers(0, image.shape[0] - height + 1)
    left = rng.integers(0, image.shape[1] - width + 1)
    return image[top : top + height, left : left + width].copy()


@shapes(image="h w 3 of numbers", returns="height width 3")
def random_resized_crop(
    image: np.ndarray,
    height: int,
    width: int,
    rng: np.random.Generator,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] | None = (3 / 4, 4 / 3),
) -> np.ndarray:
    """A random part of the picture, at a random stretch, resized (bilinear) to
    `height` by `width`; see `crop_box` for which part.

    With `ratio=None` and a target of the picture's own proportions, nothing is
    distorted.

    Source: [Cortes] 3.4. Oracle: torchvision.transforms.RandomResizedCrop.
    """
    height_in, width_in = image.shape[:2]
    top, left, rows, columns = crop_box(height_in, width_in, rng, scale, ratio)
    part = image[top : top + rows, left : left + columns]
    if image.dtype == np.uint8:
        return resize(np.ascontiguousarray(part), height, width, "bilinear")
    return resize_by_definition(part, height, width, linear_kernel)


def crop_box(
    height: int,
    width: int,
    rng: np.random.Generator,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] | None = (3 / 4, 4 / 3),
) -> tuple[int, int, int, int]:
    r"""(top, left, height, width) of a random part: its area is uniform in `scale`
    times the picture's, its proportion $r$ of width to height log-uniform in `ratio`,
    $$w = \sqrt{a r}, \qquad h = \sqrt{a / r}.$$

    Ten draws that do not fit into the picture are enough: then it is the largest
    part in the middle that `ratio` allows. None is the picture's own proportion.

    Oracle: torchvision.transforms.RandomResizedCrop.get_params.
    """
    check_size(height, width, "the picture")
    check_generator("crop_box", rng)
    ratio = (width / height, width / height) if ratio is None else ratio
    _check_range("scale", scale, 1.0)
    _check_range("ratio", ratio, math.inf)
    for _ in range(TRIES):
        area = height * width * rng.uniform(*scale)
        proportion = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        columns = round(math.sqrt(area * proportion))
        rows = round(math.sqrt(area / proportion))
        if 0 < columns <= width and 0 < rows <= height:
            top = int(rng.integers(0, height - rows + 1))
            left = int(rng.integers(0, width - columns + 1))
            return top, left, rows, columns
    allowed = min(max(width / height, ratio[0]), ratio[1])
    columns = min(width, max(1, round(height * allowed)))
    rows = min(height, max(1, round(width / allowed)))
    return (height - rows) // 2, (width - columns) // 2, rows, columns


@shapes(image="h w 3 of numbers", returns="h w 3")
def color_jitter(image: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    r"""$I' = \alpha I + \beta$, kept between black and white.

    beta is in the unit of the picture, levels of 255 or fractions of 1. Black moves to
    beta: alpha stretches away from black, and so makes a picture brighter as well as
    richer in contrast. `adjust_contrast` stretches away from the mean instead.

    Source: [Cortes] 3.4. Oracle: the same formula in torch.

    >>> color_jitter(np.full((1, 1, 3), 100, np.uint8), 2.0, 10.0)[0, 0]
    array([210, 210, 210], dtype=uint8)
    """
    _check_pixels("color_jitter", image)
    alpha, beta = float(alpha), float(beta)
    if not (math.isfinite(alpha) and math.isfinite(beta)):
        raise ValueError(
            f"color_jitter: alpha and beta are finite, not {alpha} and {beta}"
        )
    if image.dtype == np.uint8:
        return np.rint(image * alpha + beta).clip(0, 255).astype(np.uint8)
    return (image * alpha + beta).clip(0, 1)


@shapes(image="h w 3 of numbers", returns="h w 3")
def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    r"""Away from black: $I' = f I$, which is `color_jitter` with $\beta = 0$.

    torchvision rounds levels of 255 down, here they are rounded to the nearest.

    Oracle: torchvision.transforms.functional.adjust_brightness.
    """
    return color_jitter(image, _factor("adjust_brightness", factor), 0.0)


@shapes(image="h w 3 of numbers", returns="h w 3")
def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    r"""Away from the mean grey $m$: $I' = f I + (1 - f)\, m$, which is
    `color_jitter` with $\beta = (1 - f)\, m$.

    The mean is over the picture's grey, 0.2989 R + 0.587 G + 0.114 B, and stays where
    it is. Levels are rounded as in `adjust_brightness`.

    Oracle: torchvision.transforms.functional.adjust_contrast.
    """
    factor = _factor("adjust_contrast", factor)
    mean = float((image @ np.array(GRAY, np.result_type(image, np.float32))).mean())
    return color_jitter(image, factor, (1 - factor) * mean)


@shapes(image="h w 3 of numbers", returns="h w 3")
def horizontal_flip(image: np.ndarray) -> np.ndarray:
    """The picture in a mirror: its columns in reverse.

    Source: [Cortes] 3.4. Oracle: torch.flip.
    """
    return image[:, ::-1].copy()


def random_horizontal_flip(
    image: np.ndarray, rng: np.random.Generator, p: float = 0.5
) -> tuple[np.ndarray, bool]:
    """(picture, whether it was flipped), flipped with probability p.

    Whoever holds the caption has to know: "left" in it is now "right", and
    `scenes.mirror_text` says so.

    Source: [Cortes] 3.4. Oracle: torchvision.transforms.RandomHorizontalFlip, in
    distribution.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"random_horizontal_flip: p is a probability, not {p!r}")
    check_generator("random_horizontal_flip", rng)
    flipped = bool(rng.random() < p)
    return (horizontal_flip(image) if flipped else image.copy()), flipped


def mixup(
    images: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    alpha: float = 0.2,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Each picture mixed with another of its batch, and its label likewise, with one
    share $\rho \sim \mathrm{Beta}(a, a)$ for the batch.

    A small a (`alpha`) keeps $\rho$ near 0 or 1, a = 1 makes it uniform. See `mix`.

    Source: [Cortes] 3.4, where the share's distribution and the labels are missing;
    Zhang et al., mixup. Oracle: torchvision.transforms.v2.MixUp, in distribution.
    """
    check_generator("mixup", rng)
    if not (alpha > 0 and math.isfinite(alpha)):
        raise ValueError(f"mixup: alpha is a positive number, not {alpha!r}")
    return mix(images, labels, rng.beta(alpha, alpha), rng.permutation(len(images)))


@shapes(images="b ...", labels="b classes", partners="b of integers")
def mix(
    images: np.ndarray, labels: np.ndarray, share: float, partners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    r"""$x = \rho x_i + (1 - \rho) x_j$ and
    $y = \rho y_i + (1 - \rho) y_j$, with j = partners[i].

    images (b, ...) and labels (b, classes), one-hot or any distribution. Since the
    cross-entropy is linear in the target, this is $\rho$ times the loss of the
    mixed picture at $y_i$ and $1 - \rho$ times that at $y_j$.

    Source: [Cortes] 3.4. Oracle: torchvision.transforms.v2.MixUp.

    >>> mix(np.array([[0.0], [8.0]]), np.eye(2), 0.75, np.array([1, 0]))
    (array([[2.],
           [6.]]), array([[0.75, 0.25],
           [0.25, 0.75]]))
    """
    share = float(share)
    if not 0 <= share <= 1:
        raise ValueError(f"mix: share is from 0 to 1, not {share!r}")
    if not np.isin(partners, np.arange(len(images))).all():
        raise ValueError(f"mix: partners are rows of the batch, 0 to {len(images) - 1}")

    def mixed(rows):
        return rows * share + rows[partners] * (1 - share)

    return mixed(images), mixed(labels)


def _factor(function, factor):
    factor = float(factor)
    if not (factor >= 0 and math.isfinite(factor)):
        raise ValueError(f"{function}: factor is at least 0, not {factor!r}")
    return factor


def _check_pixels(function, image):
    if image.dtype == np.uint8:
        return
    if image.dtype.kind != "f":
        raise ValueError(
            f"{function}: image is {image.dtype}, but pixels are uint8, or floating "
            "from 0 to 1"
        )
    if image.size and not 0 <= image.min() <= image.max() <= 1:
        raise ValueError(
            f"{function}: image reaches from {image.min()} to {image.max()}, but "
            "floating pixels are from 0 to 1: jitter before you normalize"
        )


def _check_range(name, bounds, most):
    low, high = bounds
    if not (0 < low <= high <= most and math.isfinite(high)):
        raise ValueError(
            f"crop_box: {name} goes from a number over 0 to one no smaller"
            f"{' and at most 1' if most == 1 else ''}, not {bounds}"
        )
