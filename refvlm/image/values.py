"""Values: from bytes of 0 to 255 to the numbers, and the layout, that a model eats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..shapes import ShapeError, shapes

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
FASTVLM_MEAN, FASTVLM_STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@shapes(pixels="... of anything", returns="...")
def rescale(pixels: np.ndarray, factor: float = 1 / 255) -> np.ndarray:
    r"""Intensities from bytes: $v = f\,x$. Integers become float32.

    Oracle: transformers.image_transforms.rescale.

    >>> rescale(np.array([0, 51, 255], np.uint8))
    array([0. , 0.2, 1. ], dtype=float32)
    """
    if pixels.dtype.kind == "f":
        return pixels * float(factor)
    # One rounding instead of two: the product is exact enough in float64.
    return np.multiply(pixels, factor, dtype=np.float64).astype(np.float32)


@shapes(pixels="... h w c of anything", returns="... h w c")
def normalize(
    pixels: np.ndarray,
    mean: Sequence[float] | np.ndarray,
    std: Sequence[float] | np.ndarray,
) -> np.ndarray:
    r"""Each colour measured from its mean, in standard deviations:
    $z = (x - \mu) / \sigma$. Integers become float32.

    The constants belong to the model that was trained with them: ImageNet's, CLIP's
    (its own training pictures), or 0 and 1 for FastVLM, which leaves all as it is.

    Source: [Cortes] 3.4. Oracle: torchvision.transforms.Normalize (channels first).

    >>> normalize(np.full((1, 1, 3), 0.5), IMAGENET_MEAN, IMAGENET_STD).round(3)
    array([[[0.066, 0.196, 0.418]]])
    """
    if pixels.dtype.kind != "f":
        pixels = pixels.astype(np.float32)
    mean, std = np.asarray(mean, pixels.dtype), np.asarray(std, pixels.dtype)
    channels = pixels.shape[-1]
    if mean.shape != (channels,) or std.shape != (channels,):
        raise ShapeError(
            f"normalize: mean has shape {mean.shape} and std {std.shape}, but pixels "
            f"{pixels.shape} have {channels} channels in their last axis"
        )
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and std.all()):
        raise ValueError("normalize: mean must be finite, std finite and not zero")
    return (pixels - mean) / std


@shapes(pixels="... h w c of anything", returns="... c h w")
def to_channels_first(pixels: np.ndarray) -> np.ndarray:
    """(..., height, width, channels) -> (..., channels, height, width): NHWC -> NCHW.

    Pictures are stored pixel by pixel; convolutions want plane by plane.

    Source: [Cortes] 9.2.
    """
    return np.ascontiguousarray(np.moveaxis(pixels, -1, -3))


@shapes(pixels="... c h w of anything", returns="... h w c")
def to_channels_last(pixels: np.ndarray) -> np.ndarray:
    """(..., channels, height, width) -> (..., height, width, channels): to NHWC."""
    return np.ascontiguousarray(np.moveaxis(pixels, -3, -1))
