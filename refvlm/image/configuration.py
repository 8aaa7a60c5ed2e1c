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
from .kinds import DEFAULTS, KINDS, OF_MODELS, PADS, check_keys, kind_of
from .pipelines import Preprocessor, fastvlm_apple, fastvlm_huggingface
from .tiles import Tiler
from .timm_configuration import preprocessor_from_timm

MAX_CONFIG_BYTES = 2**20
SQUEEZED = 384  # from this edge on ConvNeXt crops nothing


def preprocessor_from_json(
    config: Mapping, pad: bool = False, kind: str = "CLIP"
) -> Preprocessor:
    """The preprocessor that a `preprocessor_config.json`, parsed, describes.

    `pad` is what `config.json` adds to it, and `kind` whose processor it is, unless
    it says so itself. Pixels are always brought to RGB, so
    `do_convert_rgb` makes no difference.

    >>> preprocessor_from_json({"size": 336, "crop_size": 336}).crop_to
    (336, 336)
    """
    kind = kind_of(config, kind)
    if "image_grid_pinpoints" in KINDS[kind]:
        raise ValueError(
            f"{kind}ImageProcessor cuts pictures into tiles: read it by read_tiler"
        )
    return _preprocessor(_values(config, kind), pad, kind in PADS)


def tiler_from_json(config: Mapping) -> Tiler:
    """The tiler that a `preprocessor_config.json` of LLaVA-NeXT, parsed, describes.

    Its tiles are `crop_size` wide. transformers' own defaults do not fit together
    (squares of 224, resolutions of 336), and are refused.
    """
    kind = kind_of(config)
    if "image_grid_pinpoints" not in KINDS[kind]:
        raise ValueError(
            f"{kind}ImageProcessor cuts no tiles: read it by read_preprocessor"
        )
    values = _values(config, kind)
    points = values["image_grid_pinpoints"]
    if isinstance(points, list):
        points = tuple(tuple(p) if isinstance(p, list) else p for p in points)
    steps = _preprocessor(values)
    whole = values["size"]
    if isinstance(whole, Mapping) and set(whole) == {"shortest_edge"}:
        whole = whole["shortest_edge"]
    tile, _ = _height_and_width("crop_size", values["crop_size"])
    return Tiler(steps, points, tile, _height_and_width("size", whole))


def _values(config, kind):
    """Every value that makes a difference, the family's own where none is given."""
    check_keys(config, kind)
    given = {k: v for k, v in config.items() if v is not None}
    return DEFAULTS | KINDS[kind] | given


def _preprocessor(values, pad=False, may_pad=False):
    """The steps that these values mean."""
    steps = {name: values[name] for name in DEFAULTS if name.startswith("do_")}
    for name, step in steps.items():
        if type(step) is not bool:
            raise ValueError(f"{name} is {quoted(step)}, but must be true or false")
    options = {"resample": _filter(values["resample"])}
    if pad or (may_pad and steps["do_pad"]):
        mean = _three("image_mean", values["image_mean"])
        options["fill"] = tuple(_level(value) for value in mean)
    if steps["do_resize"]:
        options |= _target(values["size"], values["default_to_square"])
        if "crop_pct" in values:
            options |= _share(options.get("shortest_edge"), values["crop_pct"])
    if steps["do_center_crop"]:
        if "crop_to" in options:
            raise ValueError("do_center_crop is true, but crop_pct crops already")
        options["crop_to"] = _height_and_width("crop_size", values["crop_size"])
    options["factor"] = values["rescale_factor"] if steps["do_rescale"] else None
    if steps["do_normalize"]:
        options["mean"] = _three("image_mean", values["image_mean"])
        options["std"] = _three("image_std", values["image_std"])
    return Preprocessor(**options)


def _share(edge, share):
    """What ConvNeXt makes of an edge: below 384 pixels the middle of a larger picture,
    of which it is a share, and the whole picture, squeezed, from there on."""
    if not is_whole(edge):
        raise ValueError("size must be {shortest_edge: ...} where there is a crop_pct")
    if type(share) not in (int, float) or not 0 < share <= 1:
        raise ValueError(f"crop_pct is {quoted(share)}, but must be above 0, at most 1")
    if edge >= SQUEEZED:
        return {"shortest_edge": None, "resize_to": (edge, edge)}
    return {"shortest_edge": int(edge / share), "crop_to": (edge, edge)}


def read_preprocessor(directory: str | os.PathLike) -> Preprocessor:
    """The preprocessor of the checkpoint in `directory`, by its own files.

    Raises CheckpointError, naming the file, where they are missing or mean nothing.
    """
    directory = Path(directory)
    model = _read_json(directory / "config.json") or {}
    path, config = _described(directory)
    try:
        pad = _is_padded(model)
        if config is None:
            path = directory / "config.json"
            return _from_model(model, pad)
        kind = OF_MODELS.get(str(model.get("model_type")), "CLIP")
        return preprocessor_from_json(_an_object(config), pad, kind)
    except ValueError as error:
        raise CheckpointError(f"{path}: {str(error)[:500]}") from None


def read_tiler(directory: str | os.PathLike) -> Tiler:
    """The tiler of the LLaVA-NeXT in `directory`, by its own files."""
    path, config = _described(Path(directory))
    try:
        if config is None:
            raise ValueError("there is no preprocessor_config.json beside it: add it")
        return tiler_from_json(_an_object(config))
    except ValueError as error:
        raise CheckpointError(f"{path}: {str(error)[:500]}") from None


def _described(directory):
    """The file that describes the preprocessor, and what it says of it."""
    path = directory / "preprocessor_config.json"
    config = _read_json(path)
    if config is None:
        path = directory / "processor_config.json"
        config = (_read_json(path) or {}).get("image_processor")
    return path, config


def _an_object(config):
    if not isinstance(config, Mapping):
        raise ValueError(f"image_processor is {quoted(config)}, but must be an object")
    return config


def _from_model(model, pad):
    if isinstance(model.get("pretrained_cfg"), Mapping):
        return preprocessor_from_timm(model["pretrained_cfg"])
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
