"""Kinds of preprocessors: what each assumes where its configuration is silent.

Hugging Face has a class for every family, and a file names its own. They differ in
their defaults, and a few have a key that no other has. A new family is a row.
"""

from __future__ import annotations

import re

from ..checkpoint.errors import quoted
from .tiles import Tiler
from .values import CLIP_MEAN, CLIP_STD

DEFAULTS = {
    "do_pad": False,
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "resample": 3,
    "default_to_square": False,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
    "do_convert_rgb": True,
}
"""What transformers assumes where a configuration is silent."""

HALVES = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}

KINDS: dict[str, dict] = {
    "CLIP": {},
    "Llava": {},
    "Blip": {  # squashed, so that nothing is left to be cropped or padded
        "size": {"height": 384, "width": 384},
        "default_to_square": True,
        "do_center_crop": False,
        "size_divisor": None,  # published files have it, their processor does not read
    },
    "ViT": HALVES
    | {
        "size": {"height": 224, "width": 224},
        "default_to_square": True,
        "do_center_crop": False,
        "resample": 2,
    },
    "DeiT": HALVES | {"size": {"height": 256, "width": 256}, "default_to_square": True},
    "ConvNext": HALVES
    | {
        "size": {"shortest_edge": 384},
        "do_center_crop": False,
        "crop_pct": 224 / 256,
    },
    "LlavaNext": {"do_pad": True, "image_grid_pinpoints": Tiler.grid_pinpoints},
}
"""What differs where it is the processor of another family, by how its name begins: its
defaults, and the keys that no other has."""

MAY_SAY_PAD = ("Llava", "Blip", "LlavaNext")
PADS = ("Llava",)  # Blip's and LLaVA-NeXT's pad batches, which is no matter of pixels

ENDINGS = r"(ImageProcessor(Fast|Pil)?|FeatureExtractor)"

HARMLESS = {
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "auto_map",
    "data_format",
    "input_data_format",
    "return_tensors",
    "device",
    "disable_grouping",
    "_valid_processor_keys",
}
"""Keys that say nothing about the pixels."""


OF_MODELS = {"vit": "ViT", "deit": "DeiT", "resnet": "ConvNext", "convnext": "ConvNext"}
"""Whose processor it is where only config.json, by its model_type, says so."""


def kind_of(config, kind="CLIP"):
    """The family whose processor it is: `kind` where nothing is said."""
    for key in ("image_processor_type", "feature_extractor_type"):
        said = config.get(key)
        if said is None:
            continue
        known = re.fullmatch(f"({'|'.join(KINDS)}){ENDINGS}", str(said))
        if known is None:
            *most, last = (f"{name}ImageProcessor" for name in KINDS)
            raise ValueError(
                f"{key} is {quoted(said)}, but only {', '.join(most)} and {last} are "
                "known here"
            )
        kind = known[1]
    return kind


def check_keys(config, kind):
    known = DEFAULTS.keys() | HARMLESS | KINDS[kind].keys()
    unknown = [k for k, v in config.items() if v is not None and k not in known]
    if unknown:
        raise ValueError(
            f"{', '.join(map(quoted, unknown))} may change the pixels in a way that is "
            f"not known here; known are {', '.join(DEFAULTS)}"
        )
    if config.get("do_pad") and kind not in MAY_SAY_PAD:
        raise ValueError("do_pad is known for LlavaImageProcessor only")
