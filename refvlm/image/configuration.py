"""Configuration: the preprocessor that a checkpoint says it needs.

Hugging Face keeps it in `preprocessor_config.json`, or in the `image_processor`
part of `processor_config.json`. Apple's `config.json` adds one word to it,
`image_aspect_ratio: "pad"`, and without a preprocessor file its name for the
vision tower, `mobileclip_l_1024`, gives the size. These files come from outside:
every value is checked, and a key that might change the pixels is never ignored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..arguments import is_whole
from ..checkpoint import CheckpointError, is_there, read_json
from ..checkpoint.errors import quoted
from .geometry import RESAMPLING
from .pipelines import Preprocessor, fastvlm_apple, fastvlm_huggingface
from .values import CLIP_MEAN, CLIP_STD

MAX_CONFIG_BYTES = 2**20

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

KINDS: dict[str, dict] = {
    "CLIP": {},
    "Llava": {},
    "Blip": {  # squashed, so that nothing is left to be cropped or padded
        "size": {"height": 384, "width": 384},
        "default_to_square": True,
        "do_center_crop": False,
    },
}
"""What differs where it is the processor of another family, by how its name begins."""

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


def preprocessor_from_json(config: Mapping, pad: bool = False) -> Preprocessor:
    """The preprocessor that a `preprocessor_config.json`, parsed, describes.

    `pad` is what `config.json` adds to it. Pixels are always brought to RGB, so
    `do_convert_rgb` makes no difference.

    >>> preprocessor_from_json({"size": 336, "crop_size": 336}).crop_to
    (336, 336)
    """
    kind = _kind(config)
    _check_keys(config, kind)
    given = {k: v for k, v in config.items() if v is not None}
    values = DEFAULTS | KINDS[kind] | given
    steps = {name: values[name] for name in DEFAULTS if name.startswith("do_")}
    for name, step in steps.items():
        if type(step) is not bool:
            raise ValueError(f"{name} is {quoted(step)}, but must be true or false")
    options = {"resample": _filter(values["resample"])}
    if pad or (steps["do_pad"] and kind != "Blip"):
        mean = _three("image_mean", values["image_mean"])
        options["fill"] = tuple(_level(value) for value in mean)
    if steps["do_resize"]:
        options |= _target(values["size"], values["default_to_square"])
    if steps["do_center_crop"]:
        options["crop_to"] = _height_and_width("crop_size", values["crop_size"])
    options["factor"] = values["rescale_factor"] if steps["do_rescale"] else None
    if steps["do_normalize"]:
        options["mean"] = _three("image_mean", values["image_mean"])
        options["std"] = _three("image_std", values["image_std"])
    return Preprocessor(**options)


def read_preprocessor(directory: str | os.PathLike) -> Preprocessor:
    """The preprocessor of the checkpoint in `directory`, by its own files.

    Raises CheckpointError, naming the file, where they are missing or mean nothing.
    """
    directory = Path(directory)
    model = _read_json(directory / "config.json") or {}
    path = directory / "preprocessor_config.json"
    config = _read_json(path)
    if config is None:
        path = directory / "processor_config.json"
        config = (_read_json(path) or {}).get("image_processor")
    try:
        pad = _is_padded(model)
        if config is None:
            path = directory / "config.json"
            return _from_tower(model, pad)
        if not isinstance(config, Mapping):
            raise ValueError(
                f"image_processor is {quoted(config)}, but must be an object"
            )
        return preprocessor_from_json(config, pad)
    except ValueError as error:
        raise CheckpointError(f"{path}: {str(error)[:500]}") from None


def _from_tower(model, pad):
    tower = re.fullmatch(r"mobileclip_l_(\d{1,5})", str(model.get("mm_vision_tower")))
    if tower is None:
        raise ValueError(
            "there is no preprocessor_config.json beside it, and no mm_vision_tower in "
            "it: add the file, or choose a pipeline by name"
        )
    return (fastvlm_apple if pad else fastvlm_huggingface)(int(tower[1]))


def _is_padded(model):
    ratio = model.get("image_aspect_ratio")
    if ratio in (None, "square"):
        return False
    if ratio == "pad":
        return True
    raise ValueError(
        f"image_aspect_ratio is {quoted(ratio)} in config.json, but only 'pad' and "
        "'square' are known here"
    )


def _kind(config):
    """The family whose processor it is: CLIP's where nothing is said."""
    kind = "CLIP"
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


def _check_keys(config, kind):
    known = DEFAULTS.keys() | HARMLESS
    if kind == "Blip":  # published files have it, and their processor does not read it
        known |= {"size_divisor"}
    unknown = [k for k, v in config.items() if v is not None and k not in known]
    if unknown:
        raise ValueError(
            f"{', '.join(map(quoted, unknown))} may change the pixels in a way that is "
            f"not known here; known are {', '.join(DEFAULTS)}"
        )
    if config.get("do_pad") and kind == "CLIP":
        raise ValueError("do_pad is known for LlavaImageProcessor only")


def _filter(resample):
    for name, number in RESAMPLING.items():
        if resample == number and is_whole(resample):
            return name
    known = ", ".join(f"{number} ({name})" for name, number in RESAMPLING.items())
    raise ValueError(f"resample is {quoted(resample)}, but must be one of {known}")


def _target(size, square):
    """`size` as the option of Preprocessor that it stands for."""
    if isinstance(size, Mapping) and set(size) == {"shortest_edge"}:
        return {"shortest_edge": size["shortest_edge"]}
    if is_whole(size) and not square:
        return {"shortest_edge": size}
    return {"resize_to": _height_and_width("size", size)}


def _height_and_width(name, size):
    if is_whole(size):
        return size, size
    if isinstance(size, Mapping) and set(size) == {"height", "width"}:
        return size["height"], size["width"]
    shortest = ", or {shortest_edge: ...}" if name == "size" else ""
    raise ValueError(
        f"{name} is {quoted(size)}, but must be a number or {{height: ..., width: ...}}"
        f"{shortest}"
    )


def _three(name, values):
    """A number for each colour: three, or one for all."""
    if type(values) in (int, float):
        return (values,) * 3
    if isinstance(values, (list, tuple)):
        return tuple(values)
    raise ValueError(f"{name} is {quoted(values)}, but must be three numbers")


def _level(mean):
    """The byte of a mean: bars of that colour become 0 when they are normalised."""
    if type(mean) in (int, float) and 0 <= mean <= 1:
        return int(255 * mean)
    raise ValueError(f"image_mean has {quoted(mean)}, but padding needs it in [0, 1]")


def _read_json(path):
    """The object in the file, or None where there is no file."""
    return read_json(path, MAX_CONFIG_BYTES) if is_there(path) else None
