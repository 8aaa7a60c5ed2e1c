r"""Pipelines: the steps from a picture to a model's input, chosen by name.

    load -> [pad to a square] -> [resize] -> [centre crop]
         -> [x 1/255] -> [(x - mean) / std] -> channels first

Two pipelines go by FastVLM's name. Apple's pads the picture to a square first and
shows the model all of it, between black bars; Hugging Face's crops, and the model
never sees the ends of a long picture. They agree on squares and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..arguments import is_whole, several
from .geometry import (
    RESAMPLING,
    center_crop,
    pad_to_square,
    resize,
    resize_shortest_edge,
)
from .limits import MAX_EDGE, ImageError
from .loading import Source, load
from .values import (
    CLIP_MEAN,
    CLIP_STD,
    FASTVLM_MEAN,
    FASTVLM_STD,
    normalize,
    rescale,
    to_channels_first,
)


@dataclass(frozen=True)
class Preprocessor:
    """The steps that a checkpoint was trained with; None leaves a step out.

    `fill` is the colour of the bars that pad the picture to a square.
    Calling it gives float32 (3, height, width); `batch` gives (n, 3, height, width).

    Oracle: transformers' CLIPImageProcessor and LlavaImageProcessor, with Pillow: bit
    for bit. Their torchvision backend rounds otherwise; there a pixel in a hundred is
    off by a grey level or two.
    """

    fill: tuple[int, int, int] | None = None
    shortest_edge: int | None = None
    resize_to: tuple[int, int] | None = None
    resample: str = "bicubic"
    crop_to: tuple[int, int] | None = None
    factor: float | None = 1 / 255
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    def __post_init__(self):
        _check_sizes(self)
        _check_values(self)

    def __call__(self, source: Source) -> np.ndarray:
        """The model's input, float32 (3, height, width), from whatever `load` takes."""
        return to_channels_first(self.values(self.frame(load(source))))

    def batch(self, sources: Iterable[Source]) -> np.ndarray:
        """The inputs of several pictures, float32 (n, 3, height, width)."""
        inputs = [self(source) for source in several("batch", "sources", sources)]
        if not inputs:
            raise ImageError("a batch of no pictures has no size: give at least one")
        if len({pixels.shape for pixels in inputs}) != 1:
            raise ImageError(
                "a batch needs pictures that come out at one size, but these are "
                f"{[pixels.shape for pixels in inputs]}: crop them, or pass them singly"
            )
        return np.stack(inputs)

    def frame(self, image: np.ndarray) -> np.ndarray:
        """What the model is shown of it: pixels (height, width, 3), uint8."""
        if self.fill is not None:
            image = pad_to_square(image, self.fill)
        if self.shortest_edge is not None:
            image = resize_shortest_edge(image, self.shortest_edge, self.resample)
        if self.resize_to is not None:
            image = resize(image, *self.resize_to, self.resample)
        if self.crop_to is not None:
            image = center_crop(image, *self.crop_to)
        return image

    def values(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels as the numbers that the model expects: float32, channels last."""
        if self.factor is not None:
            pixels = rescale(pixels, self.factor)
        if self.mean is not None and self.std is not None:
            pixels = normalize(pixels, self.mean, self.std)
        return pixels.astype(np.float32, copy=False)


def fastvlm_apple(size: int = 1024) -> Preprocessor:
    """FastVLM as Apple runs it: the whole picture, padded to a square with black."""
    return Preprocessor(
        fill=(0, 0, 0),
        shortest_edge=size,
        crop_to=(size, size),
        mean=FASTVLM_MEAN,
        std=FASTVLM_STD,
    )


def fastvlm_huggingface(size: int = 1024) -> Preprocessor:
    """FastVLM as transformers runs it: the middle of the picture, cropped square.

    Source: [Kamath] preprocessing.
    """
    return Preprocessor(
        shortest_edge=size,
        crop_to=(size, size),
        mean=FASTVLM_MEAN,
        std=FASTVLM_STD,
    )


def clip(size: int = 224) -> Preprocessor:
    """CLIP's own: shortest edge, centre crop, and CLIP's colour statistics."""
    return Preprocessor(
        shortest_edge=size, crop_to=(size, size), mean=CLIP_MEAN, std=CLIP_STD
    )


PIPELINES = {
    "fastvlm_apple": fastvlm_apple,
    "fastvlm_huggingface": fastvlm_huggingface,
    "clip": clip,
}


def pipeline(name: str, size: int | None = None) -> Preprocessor:
    """The pipeline of that name, at that size or its own."""
    if name not in PIPELINES:
        raise ValueError(f"no pipeline {name!r}: there are {', '.join(PIPELINES)}")
    return PIPELINES[name]() if size is None else PIPELINES[name](size)


def _check_sizes(steps):
    if steps.shortest_edge is not None and steps.resize_to is not None:
        raise ValueError("give shortest_edge or resize_to, not both")
    for name in ("resize_to", "crop_to"):
        pair = getattr(steps, name)
        if pair is not None and not (isinstance(pair, tuple) and len(pair) == 2):
            raise ValueError(f"{name} is {pair!r}, but must be two, (height, width)")
        for edge in pair or ():
            _check_edge(name, edge)
    if steps.shortest_edge is not None:
        _check_edge("shortest_edge", steps.shortest_edge)
    if steps.resample not in RESAMPLING:
        raise ValueError(
            f"resample is {steps.resample!r}, but must be one of "
            f"{', '.join(RESAMPLING)}"
        )


def _check_edge(name, edge):
    if not (is_whole(edge) and 1 <= edge <= MAX_EDGE):
        raise ValueError(
            f"{name} is {edge!r}, but must be a whole number of pixels "
            f"from 1 to {MAX_EDGE}"
        )


def _check_values(steps):
    if steps.factor is not None and not (_is_number(steps.factor) and steps.factor > 0):
        raise ValueError(f"factor is {steps.factor!r}, but must be above 0")
    if (steps.mean is None) != (steps.std is None):
        raise ValueError("mean and std come together: give both or neither")
    for name in ("mean", "std"):
        given = getattr(steps, name)
        if given is not None and not (len(given) == 3 and all(map(_is_number, given))):
            raise ValueError(f"{name} is {given!r}, but must be three finite numbers")
    if steps.std is not None and min(steps.std) < 1e-6:
        raise ValueError(f"std is {steps.std!r}, but must be above 0")
    if steps.fill is not None and not (
        len(steps.fill) == 3
        and all(is_whole(level) and 0 <= level <= 255 for level in steps.fill)
    ):
        raise ValueError(f"fill is {steps.fill!r}, but must be three of 0 to 255")


def _is_number(value):
    return type(value) in (int, float) and abs(value) < 1e6
