"""The steps from a picture to pixels, as the files beside the weights say them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import image
from ..checkpoint import CheckpointError
from ..models.vlm_inputs import LARGEST_PIXEL

BLACK_AND_WHITE = np.array([[[0] * 3, [255] * 3]], np.uint8)


def read_steps(directory: Path) -> image.Preprocessor:
    """The directory's preprocessor, if a model can be trained on what it makes."""
    steps = image.read_preprocessor(directory)
    ends = steps.values(BLACK_AND_WHITE)
    if not np.abs(ends).max() <= LARGEST_PIXEL:
        raise CheckpointError(
            f"{directory}: its preprocessor makes {ends.min():g} to {ends.max():g} of "
            "black and white, which no model is trained on: its configuration is "
            "damaged, or another model's"
        )
    return steps
