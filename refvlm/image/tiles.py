r"""Tiles: a picture larger than the model's frame, cut into frames.

    picture -> best resolution -> resize, pad -> tiles, reading order
           \-> squeezed whole: the thumbnail, which comes first

A tower sees squares of one size. Resizing everything to it loses small letters;
LLaVA-NeXT's AnyRes keeps them: it lays a grid of such squares over the picture and
shows every square, and the whole picture once, small. What is wide gets a wide grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..arguments import check_whole, is_whole, several
from ..shapes import shapes
from .geometry import resize
from .limits import MAX_EDGE, MAX_PIXELS, ImageError
from .loading import Source, load
from .pipelines import Preprocessor

MAX_GRID_POINTS = 256
"""The most resolutions that may be offered; LLaVA-NeXT has 5, its followers 36."""

MAX_TILES = 64
"""The most tiles of one picture: 64 of 336 x 336 are a picture of 2688 x 2688."""

Size = tuple[int, int]


def select_best_resolution(size: Size, resolutions: Sequence[Size]) -> Size:
    r"""The resolution that keeps most of the picture's pixels, and of those the one
    that wastes least: the largest $e$, then the smallest $hw - e$, where
    $$e = \min(\lfloor sH \rfloor \lfloor sW \rfloor,\; HW), \qquad
    s = \min(h / H,\; w / W).$$

    size is (H, W), resolutions are several (h, w); the first wins a tie.
    Source: [Foundations] mitigation strategies.
    Oracle: transformers' select_best_resolution.

    >>> select_best_resolution((300, 700), [(336, 672), (672, 336), (672, 672)])
    (336, 672)
    """
    check_resolutions(resolutions)
    height, width = checked_size(size)

    def merit(resolution):
        rows, columns = resolution
        scale = min(columns / width, rows / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        return kept, kept - rows * columns

    rows, columns = max(resolutions, key=merit)
    return rows, columns


def fitted_size(size: Size, resolution: Size) -> Size:
    """The largest size inside `resolution` that has the picture's proportions, its
    broken edge rounded up.

    Oracle: transformers' get_patch_output_size.

    >>> fitted_size((300, 700), (336, 672))
    (288, 672)
    """
    height, width = checked_size(size)
    rows, columns = checked_size(resolution, "the resolution")
    across, down = columns / width, rows / height
    if across < down:
        return min(math.ceil(height * across), rows), columns
    return rows, min(math.ceil(width * down), columns)


@shapes(image="h w 3 of anything", returns="rows columns 3")
def resize_and_pad(
    image: np.ndarray, rows: int, columns: int, resample: str = "bicubic"
) -> np.ndarray:
    """The whole picture in the middle of (rows, columns), black around it; where the
    bars differ, the first is the thinner."""
    rows, columns = checked_size((rows, columns), "(rows, columns)", MAX_EDGE)
    height, width = fitted_size(image.shape[:2], (rows, columns))
    top, left = (rows - height) // 2, (columns - width) // 2
    canvas = np.zeros((rows, columns, 3), np.uint8)
    canvas[top : top + height, left : left + width] = resize(
        image, height, width, resample
    )
    return canvas


@shapes(image="h w 3 of anything", returns="n tile tile 3")
def divide_to_tiles(image: np.ndarray, tile: int) -> np.ndarray:
    """Squares of `tile` pixels in reading order:
    (h, w, 3) -> (h w / tile^2, tile, tile, 3).

    Oracle: transformers.image_transforms.divide_to_patches.
    """
    check_whole("divide_to_tiles", least=1, tile=tile)
    height, width = image.shape[:2]
    if height % tile or width % tile or not image.size:
        raise ImageError(
            f"divide_to_tiles: a picture of {width} x {height} does not divide into "
            f"tiles of {tile} x {tile}: resize and pad it to a multiple first"
        )
    grid = image.reshape(height // tile, tile, width // tile, tile, 3)
    return grid.swapaxes(1, 2).reshape(-1, tile, tile, 3)


@dataclass(frozen=True)
class Tiler:
    """LLaVA-NeXT's AnyRes: a picture as its thumbnail and its tiles.

    `steps` is what every one of them goes through afterwards, `grid_pinpoints` the
    resolutions (height, width) that may be laid over a picture, multiples of `tile`.
    Calling it gives float32 (1 + tiles, 3, height, width).

    Source: [Foundations] mitigation strategies; [DeepDive] adaptive resolution. Oracle:
    transformers' LlavaNextImageProcessor, with Pillow: bit for bit.
    """

    steps: Preprocessor
    grid_pinpoints: tuple[Size, ...] = (
        (336, 672),
        (672, 336),
        (672, 672),
        (1008, 336),
        (336, 1008),
    )
    tile: int = 336
    thumbnail: Size = (336, 336)

    def __post_init__(self):
        check_resolutions(self.grid_pinpoints, self.tile)
        checked_size(self.thumbnail, "thumbnail", MAX_EDGE)

    def __call__(self, source: Source) -> np.ndarray:
        """The model's inputs, the thumbnail first: (1 + tiles, 3, height, width)."""
        return self.steps.batch(self.frames(load(source)))

    def frames(self, image: np.ndarray) -> list[np.ndarray]:
        """What the model is shown of it: pictures, uint8, the thumbnail first."""
        best = select_best_resolution(image.shape[:2], self.grid_pinpoints)
        filter_name = self.steps.resample
        whole = resize(image, *self.thumbnail, filter_name)
        canvas = resize_and_pad(image, *best, filter_name)
        return [whole, *divide_to_tiles(canvas, self.tile)]

    def batch(self, sources: Iterable[Source]) -> tuple[np.ndarray, np.ndarray]:
        """Several pictures: values (b, most, 3, height, width), zeros where a picture
        has fewer tiles, and their sizes (b, 2), by which those are known."""
        pictures = [load(source) for source in several("batch", "sources", sources)]
        if not pictures:
            raise ImageError("a batch of no pictures has no size: give at least one")
        inputs = [self.steps.batch(self.frames(picture)) for picture in pictures]
        values = np.zeros((len(inputs), max(map(len, inputs)), *inputs[0].shape[1:]))
        values = values.astype(np.float32)
        for row, tiles in zip(values, inputs):
            row[: len(tiles)] = tiles
        return values, np.array([picture.shape[:2] for picture in pictures])

    def grid(self, size: Size) -> Size:
        """(rows, columns) of tiles of a picture of that size, (height, width)."""
        rows, columns = select_best_resolution(size, self.grid_pinpoints)
        return rows // self.tile, columns // self.tile


def unpadded(grid: Size, size: Size) -> tuple[slice, slice]:
    """The rows and columns of a map that show the picture and not the bars around it.

    grid is (rows, columns) of the map, size the picture's (height, width). A half cell
    of picture counts as picture. Oracle: transformers' unpad_image.

    >>> unpadded((4, 4), (100, 200))
    (slice(1, 3, None), slice(0, 4, None))
    """
    (rows, columns), (height, width) = (
        checked_size(grid, "the grid", unit="cells"),
        checked_size(size),
    )
    top = left = 0
    if width / height > columns / rows:
        # 7 digits, as there: 2.9999999999 rows are 3
        top = (rows - int(round(height * (columns / width), 7))) // 2
    else:
        left = (columns - int(round(width * (rows / height), 7))) // 2
    return slice(top, rows - top), slice(left, columns - left)


def check_resolutions(resolutions, tile: int | None = None) -> None:
    """Refuse what is no short list of (height, width), each a few whole tiles."""
    if not isinstance(resolutions, (list, tuple)) or not resolutions:
        raise ImageError(
            f"grid_pinpoints is {resolutions!r:.60}, but must be a list of at least "
            "one (height, width)"
        )
    if len(resolutions) > MAX_GRID_POINTS:
        raise ImageError(
            f"grid_pinpoints has {len(resolutions)} resolutions, more than the limit "
            f"of {MAX_GRID_POINTS}: keep those that your pictures need"
        )
    if tile is not None and not (is_whole(tile) and 1 <= tile <= MAX_EDGE):
        raise ImageError(
            f"a tile is {tile!r:.60} pixels wide, but must be a whole number from 1 to "
            f"{MAX_EDGE}"
        )
    for resolution in resolutions:
        rows, columns = checked_size(
            resolution, "a resolution of grid_pinpoints", MAX_EDGE
        )
        if tile is None:
            continue
        if rows % tile or columns % tile:
            raise ImageError(
                f"grid_pinpoints has {resolution!r}, which is no multiple of a tile of "
                f"{tile} x {tile}"
            )
        if rows * columns // tile**2 > MAX_TILES:
            raise ImageError(
                f"grid_pinpoints has {resolution!r}, which is {rows // tile} x "
                f"{columns // tile} tiles, more than the limit of {MAX_TILES}"
            )


def checked_size(
    size, name: str = "the picture's size", most: int = MAX_PIXELS, unit: str = "pixels"
):
    """Two whole numbers from 1 to `most`: (height, width)."""
    pair = tuple(size) if isinstance(size, (list, tuple, np.ndarray)) else ()
    if len(pair) != 2 or not all(is_whole(edge) and 1 <= edge <= most for edge in pair):
        raise ImageError(
            f"{name} is {size!r:.60}, but must be (height, width), two whole numbers "
            f"of {unit} from 1 to {most}"
        )
    return int(pair[0]), int(pair[1])
