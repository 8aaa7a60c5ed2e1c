"""What a tower is given of a picture, in training and by whoever loads it later."""

from __future__ import annotations

from typing import Any

import numpy as np

MEAN, STD = 0.5, 0.5


def to_pixels(pictures) -> np.ndarray:
    """What the tower is given of uint8 pictures: (b, 3, h, w), from -1 to 1."""
    stacked = np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32)
    return (stacked / np.float32(255) - np.float32(MEAN)) / np.float32(STD)


def preprocessor_json(side: int) -> dict[str, Any]:
    """The same as `preprocessor_config.json`, for pictures of any size."""
    return {
        "image_processor_type": "LlavaImageProcessor",
        "do_pad": True,
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [MEAN] * 3,
        "image_std": [STD] * 3,
        "do_convert_rgb": True,
    }
