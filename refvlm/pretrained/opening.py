"""The one door: `refvlm.load(directory)` opens a checkpoint of any family known here.

    vlm = refvlm.load("FastVLM-0.5B")          # a VLM: describe, generate, logits, ...
    vlm = refvlm.load("llava-1.5-7b-hf")       # another, with a frame of its own
    clip = refvlm.load("weights/clip-tiny")    # a CLIP: image_features, similarity, ...
    clip = refvlm.load("clip-tiny")            # the same, from any folder
    lm = refvlm.load("gpt2")                   # a LanguageModel: complete, logits, ...
    blip = refvlm.load("blip-itm-base-coco")   # a Matcher: matching, similarity, ...
    mvlm = refvlm.load("microvlm-tiny")        # Remembering: a VLM with a memory
    vit = refvlm.load("vit-base-patch16-224")  # a VisionModel: classify, features, ...

`model_type` in the directory's config.json says which family it is. A family is a class
whose `open(directory, document, dtype)` makes the model of such a directory; a new one
is a row of the table. Where one name stands for several models, the row is a table of
its own, and `architectures` says which.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .. import checkpoint
from ..models import fields
from ..models.decoders import DECODERS
from ..models.llava_config import RELATIVES
from ..models.microvlm_config import MODEL_TYPE
from ..models.vision_models import VISION_MODELS, spelled
from .clip import CLIP
from .language_model import LanguageModel
from .matching import Matcher
from .remembering import Remembering
from .seers import SEERS
from .shipped import SHIPPED, shipped
from .vision_model import VisionModel
from .vlm import VLM

CONFIG = "config.json"
Model = VLM | CLIP | LanguageModel | Matcher | VisionModel
GATED = (
    "the whole model is not read here. Its parts run, as blocks to build with: "
    "refvlm.blocks.fusion has the resampler and the gated cross-attention. To ask "
    "about a picture, take a LLaVA-1.5, such as llava-hf/llava-1.5-7b-hf"
)
SPLICED = (
    "its tower and connector are others than those of the families that are read here: "
    "take a LLaVA-1.5, such as llava-hf/llava-1.5-7b-hf"
)
REFUSED = {  # model_type of what is known and not read -> why, and what to take
    **RELATIVES,
    **dict.fromkeys(("flamingo", "open_flamingo", "idefics"), GATED),
    **dict.fromkeys(("idefics2", "idefics3"), SPLICED),
}
FAMILIES: dict[str, type[Model] | dict[str, type[Model]]] = {
    **dict.fromkeys(SEERS, VLM),
    MODEL_TYPE: Remembering,
    "clip": CLIP,
    "blip": {
        "BlipForConditionalGeneration": VLM,
        "BlipForImageTextRetrieval": Matcher,
    },
    **dict.fromkeys(DECODERS, LanguageModel),
    **dict.fromkeys(VISION_MODELS, VisionModel),
}


def load(path: str | Path, dtype=np.float32) -> Model:
    """Open a checkpoint directory; tensors are read when first used.

    The names in `SHIPPED`, "fastvlm-tiny" say, stand for the models that come along.
    """
    directory, document = opened(path)
    family = fields.built(directory / CONFIG, document, _family)
    # Absolute: what is read later, and by copies elsewhere, is read from there.
    return family.open(Path(os.path.abspath(directory)), document, dtype)


def opened(path: str | Path) -> tuple[Path, dict]:
    """The directory that `load` would open, and what its config.json says."""
    directory = directory_of(path)
    file = directory / CONFIG
    if not checkpoint.is_there(file):
        raise checkpoint.lack(directory, file.name)
    return directory, fields.read(file)


def directory_of(path: str | Path) -> Path:
    """The directory that is meant: one that is there, or that of a model that comes
    along, which its name alone stands for."""
    directory = Path(path)
    name = str(path).rstrip("/\\")  # a shell completes a name with a slash
    if name in SHIPPED and not os.path.isdir(directory):
        directory = shipped(name)
    if not os.path.isdir(directory):  # Path.is_dir fails on names that are too long
        raise _no_directory(directory)
    return directory


def _family(document) -> type[Model]:
    document = spelled(document)
    kind = document.get("model_type")
    if isinstance(kind, str) and kind in REFUSED:
        raise fields.ConfigError(
            f"config.json: model_type is {kind!r}: {REFUSED[kind]}"
        )
    family = FAMILIES[fields.only(document, "model_type", *FAMILIES)]
    if not isinstance(family, dict):
        return family
    names = document.get("architectures")
    name = names[0] if isinstance(names, list) and len(names) == 1 else None
    if name not in family:
        raise fields.ConfigError(
            f"config.json: architectures is {names!r:.80}, but of this model_type only "
            f"{' or '.join(map(repr, family))} is implemented, and one of them must be "
            "named"
        )
    return family[name]


def _no_directory(path):
    """What to say of a file, and of what is not there at all."""
    if os.path.isfile(path):
        return checkpoint.CheckpointError(
            f"{path} is not a directory but a file: give the folder that holds the "
            f"weights with their config.json, {path.parent}"
        )
    return checkpoint.CheckpointError(
        f"{path} is not a directory: give the folder that holds config.json. Nothing "
        "is downloaded here, so a model known by its name is downloaded first"
    )
