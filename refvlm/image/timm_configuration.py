"""The preprocessor of a checkpoint of timm's: `pretrained_cfg` of its config.json.

resize the shorter edge to size / crop_pct -> centre crop -> (x - mean) / std
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..arguments import is_whole
from ..checkpoint.errors import quoted
from .geometry import RESAMPLING
from .pipelines import Preprocessor
from .values import IMAGENET_MEAN, IMAGENET_STD


def preprocessor_from_timm(config: Mapping[str, Any]) -> Preprocessor:
    """What timm does to a picture when it is asked, not taught.

    Oracle: timm.data.create_transform.

    >>> preprocessor_from_timm({"crop_pct": 0.9}).shortest_edge
    248
    """
    size = config.get("input_size", (3, 224, 224))
    if (
        not isinstance(size, (list, tuple))
        or len(size) != 3
        or not all(map(is_whole, size))
        or size[0] != 3
        or size[1] != size[2]
    ):
        raise ValueError(
            f"input_size of pretrained_cfg is {quoted(size)}, but must be 3 colours "
            "and a square, as [3, 224, 224]"
        )
    share = config.get("crop_pct", 0.875)
    if type(share) not in (int, float) or not 0.01 <= share <= 1:
        raise ValueError(
            f"crop_pct of pretrained_cfg is {quoted(share)}, but must be a share of "
            "the picture, from 0.01 to 1"
        )
    if config.get("crop_mode", "center") != "center":
        raise ValueError(
            f"crop_mode of pretrained_cfg is {quoted(config['crop_mode'])}, but only "
            "'center' is known here"
        )
    filter_name = config.get("interpolation", "bilinear")
    if filter_name not in list(RESAMPLING):  # it may be of any kind
        raise ValueError(
            f"interpolation of pretrained_cfg is {quoted(filter_name)}, but must be "
            f"one of {', '.join(RESAMPLING)}"
        )
    return Preprocessor(
        shortest_edge=math.floor(size[1] / share),
        crop_to=(size[1], size[2]),
        resample=filter_name,
        mean=_three("mean", config, IMAGENET_MEAN),
        std=_three("std", config, IMAGENET_STD),
    )


def _three(name, config, default):
    values = config.get(name, default)
    if not isinstance(values, (list, tuple)):
        raise ValueError(
            f"{name} of pretrained_cfg is {quoted(values)}, but must be three numbers"
        )
    return tuple(values)
