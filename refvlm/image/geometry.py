"""Geometry: resize, crop and pad, so that every picture fits the model's frame.

A picture is (height, width, 3) uint8 here, as `load` gives it. There are three
ways into a square: squeeze it (`resize`), lose its ends (`resize_shortest_edge`,
then `center_crop`), or add bars (`pad_to_square`, then `resize`).
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..arguments import check_whole
from ..shapes import shapes
from .limits import check_made, check_size

FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")

RESAMPLING = {name: number for number, name in enumerate(FILTERS)}
"""The names of Pillow's filters and the numbers that configurations use for them."""


@shapes(image="h w 3 of anything", returns="height width 3")
def resize(
    image: np.ndarray, height: int, width: int, resample: str = "bicubic"
) -> np.ndarray:
    r"""Another size for the same picture: every new pixel is a weighted mean of the
    old ones around the place where it lands,
    $y_{ij} = \sum_{uv} R_{iu}\,x_{uv}\,C_{vj}$.

    Pillow does it; `resize_by_definition` shows how. Unlike torch's `interpolate`,
    Pillow widens the kernel when it shrinks a picture, so that no pixel is missed.

    Source: [Kamath] preprocessing. Oracle: transformers.image_transforms.resize.
    """
    _check_pixels("resize", image)
    check_made(height, width, image, "the resized picture")
    if resample not in RESAMPLING:
        raise ValueError(
            f"resize: resample is {resample!r}, but must be one of {', '.join(FILTERS)}"
        )
    picture = Image.fromarray(image)
    return np.array(picture.resize((width, height), RESAMPLING[resample]))


@shapes(image="h w 3 of anything", returns="height width 3")
def resize_shortest_edge(
    image: np.ndarray, edge: int, resample: str = "bicubic"
) -> np.ndarray:
    r"""The same proportions, the shorter edge being `edge`: the longer becomes
    $\lfloor \text{edge} \cdot \text{long} / \text{short} \rfloor$.

    >>> resize_shortest_edge(np.zeros((4, 7, 3), np.uint8), 2).shape
    (2, 3, 3)
    """
    height, width = image.shape[:2]
    check_size(height, width, "the picture")
    check_whole("resize_shortest_edge", least=1, edge=edge)
    short = min(height, width)
    return resize(image, edge * height // short, edge * width // short, resample)


@shapes(image="h w 3 of anything", returns="height width 3")
def center_crop(image: np.ndarray, height: int, width: int) -> np.ndarray:
    r"""The middle of the picture, `height` by `width`, starting at
    $\lfloor (\text{size} - \text{target}) / 2 \rfloor$ along each edge. Where that is
    negative, the picture is smaller than the frame, and black surrounds it.

    Oracle: transformers.image_transforms.center_crop.

    >>> center_crop(np.arange(15, dtype=np.uint8).reshape(1, 5, 3), 1, 2)[0, :, 0]
    array([3, 6], dtype=uint8)
    """
    _check_pixels("center_crop", image)
    check_made(height, width, image, "the crop")
    frame = np.zeros((height, width, 3), np.uint8)
    rows, frame_rows = _overlap(image.shape[0], height)
    columns, frame_columns = _overlap(image.shape[1], width)
    frame[frame_rows, frame_columns] = image[rows, columns]
    return frame


@shapes(image="h w 3 of anything", returns="edge edge 3")
def pad_to_square(
    image: np.ndarray, fill: tuple[int, int, int] = (0, 0, 0)
) -> np.ndarray:
    r"""The whole picture in the middle of a square of the colour `fill`, starting at
    $\lfloor (\text{edge} - \text{size}) / 2 \rfloor$.

    LLaVA calls this `expand2square`, and fills with the mean that normalisation
    will take away; Apple's FastVLM has mean 0 and so pads with black.

    Oracle: transformers' LlavaImageProcessor with do_pad.
    """
    _check_pixels("pad_to_square", image)
    height, width = image.shape[:2]
    check_size(height, width, "the picture")
    edge = max(height, width)
    check_made(edge, edge, image, "the padded picture")
    top, left = (edge - height) // 2, (edge - width) // 2
    square = np.full((edge, edge, 3), fill, np.uint8)
    square[top : top + height, left : left + width] = image
    return square


def _overlap(size, target):
    """Where a centred picture and its frame meet: a slice of each."""
    offset = (size - target) // 2
    if offset >= 0:
        return slice(offset, offset + target), slice(target)
    return slice(size), slice(-offset, -offset + size)


def _check_pixels(name, image):
    if image.dtype != np.uint8:
        raise ValueError(
            f"{name}: image is {image.dtype}, but pixels are uint8 until they are "
            "rescaled; load brings floating ones there"
        )
