"""Pictures: from whatever holds one to the numbers that a model eats.

`image.load("photo.png")` gives pixels, (height, width, 3) uint8;
`image.pipeline("fastvlm_apple")("photo.png")` gives pixel values, float32 of shape
(3, 1024, 1024); `image.read_preprocessor(directory)` gives the pipeline that a
checkpoint was trained with.
"""

from .augmentation import (
    adjust_brightness,
    adjust_contrast,
    color_jitter,
    crop_box,
    horizontal_flip,
    mix,
    mixup,
    random_crop,
    random_horizontal_flip,
    random_resized_crop,
)
from .configuration import (
    preprocessor_from_json,
    read_preprocessor,
    read_tiler,
    tiler_from_json,
)
from .decoding import FORMATS
from .geometry import (
    RESAMPLING,
    center_crop,
    pad_to_square,
    resize,
    resize_shortest_edge,
)
from .limits import MAX_BYTES, MAX_EDGE, MAX_PIXELS, ImageError
from .loading import load
from .orientation import upright
from .pipelines import (
    PIPELINES,
    Preprocessor,
    clip,
    fastvlm_apple,
    fastvlm_huggingface,
    pipeline,
)
from .resampling import (
    cubic_kernel,
    interpolation_matrix,
    linear_kernel,
    resize_by_definition,
    resize_matrix,
)
from .tiles import (
    Tiler,
    divide_to_tiles,
    fitted_size,
    resize_and_pad,
    select_best_resolution,
    unpadded,
)
from .values import (
    CLIP_MEAN,
    CLIP_STD,
    FASTVLM_MEAN,
    FASTVLM_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    normalize,
    rescale,
    to_channels_first,
    to_channels_last,
)

__all__ = [
    "CLIP_MEAN",
    "CLIP_STD",
    "FASTVLM_MEAN",
    "FASTVLM_STD",
    "FORMATS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "MAX_BYTES",
    "MAX_EDGE",
    "MAX_PIXELS",
    "PIPELINES",
    "RESAMPLING",
    "ImageError",
    "Preprocessor",
    "Tiler",
    "adjust_brightness",
    "adjust_contrast",
    "center_crop",
    "clip",
    "color_jitter",
    "crop_box",
    "cubic_kernel",
    "divide_to_tiles",
    "fastvlm_apple",
    "fastvlm_huggingface",
    "fitted_size",
    "horizontal_flip",
    "interpolation_matrix",
    "linear_kernel",
    "load",
    "mix",
    "mixup",
    "normalize",
    "pad_to_square",
    "pipeline",
    "preprocessor_from_json",
    "random_crop",
    "random_horizontal_flip",
    "random_resized_crop",
    "read_preprocessor",
    "read_tiler",
    "rescale",
    "resize",
    "resize_and_pad",
    "resize_by_definition",
    "resize_matrix",
    "resize_shortest_edge",
    "select_best_resolution",
    "tiler_from_json",
    "to_channels_first",
    "to_channels_last",
    "unpadded",
    "upright",
]
