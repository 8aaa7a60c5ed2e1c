"""Two names for every tensor: Apple's checkpoints and Hugging Face's.

Both publish the same FastVLM. Apple's names follow the code that trained it, where the
tower is one flat list of layers (`network.0` to `network.10`) and repeated blocks and
the layers between them look alike. Hugging Face's follow timm, where a stage holds its
downsampling, its position encoding and its blocks. Ours are Hugging Face's.
"""

from __future__ import annotations

import re

from ..checkpoint import Weights

APPLE_TOWER = "model.vision_tower.vision_tower.model"
TOWER = "model.vision_tower.timm_model"

# network.N -> what it is in stages
NETWORK = {
    0: "stages.0.blocks",
    1: "stages.1.downsample",
    2: "stages.1.blocks",
    3: "stages.2.downsample",
    4: "stages.2.blocks",
    5: "stages.3.downsample",
    6: "stages.3.pos_emb",
    7: "stages.3.blocks",
    8: "stages.4.downsample",
    9: "stages.4.pos_emb",
    10: "stages.4.blocks",
}

# Words of Apple's names -> words of timm's: the forms of inference and of training.
WORDS = {
    "patch_embed": "stem",
    "conv_exp": "final_conv",
    "convffn": "mlp",
    "se.reduce": "se.fc1",
    "se.expand": "se.fc2",
    "rbr_conv": "conv_kxk",
    "rbr_scale": "conv_scale",
    "rbr_skip": "identity",
    "lkb_origin": "large_conv",
    "pe": "pos_enc",
}
SCALES = ("layer_scale", "layer_scale_1", "layer_scale_2")


def canonical(weights: Weights) -> Weights:
    """The weights of a FastVLM under Hugging Face's names, whichever they came in."""
    if any(name.startswith(f"{APPLE_TOWER}.") for name in weights):
        return weights.rename(names_from_apple)
    return weights


def names_from_apple(name: str) -> str | None:
    """Hugging Face's name of a tensor of Apple's FastVLM; None where it has none.

    >>> names_from_apple("model.layers.0.mlp.up_proj.weight")
    'model.language_model.layers.0.mlp.up_proj.weight'
    """
    if name.startswith(f"{APPLE_TOWER}."):
        tower = tower_names_from_apple(name.removeprefix(f"{APPLE_TOWER}."))
        return None if tower is None else f"{TOWER}.{tower}"
    projector = re.fullmatch(r"model\.mm_projector\.([02])\.(weight|bias)", name)
    if projector:
        layer = {"0": "linear_1", "2": "linear_2"}[projector[1]]
        return f"model.multi_modal_projector.{layer}.{projector[2]}"
    return re.sub(r"^model\.", "model.language_model.", name)


def names_to_apple(name: str) -> str:
    """Apple's name of a tensor of Hugging Face's FastVLM.

    >>> names_to_apple("model.multi_modal_projector.linear_2.bias")
    'model.mm_projector.2.bias'
    """
    if name.startswith(f"{TOWER}."):
        tower = tower_names_to_apple(name.removeprefix(f"{TOWER}."))
        return f"{APPLE_TOWER}.{tower}"
    name = name.replace("model.multi_modal_projector.linear_1", "model.mm_projector.0")
    name = name.replace("model.multi_modal_projector.linear_2", "model.mm_projector.2")
    return re.sub(r"^model\.language_model\.", "model.", name)


def tower_names_from_apple(name: str) -> str | None:
    """timm's name of a tensor of Apple's tower, both without what stands before them.

    None for `head`, a projection of CLIP that FastVLM does not use.

    >>> tower_names_from_apple("network.5.proj.0.lkb_reparam.weight")
    'stages.3.downsample.proj.0.reparam_conv.weight'
    """
    if name.startswith("head."):
        return None
    name = re.sub(r"^network\.(\d+)\b", _stage, name)
    # A large kernel and a MobileOne block call the folded filter differently.
    name = name.replace("lkb_reparam", "reparam_conv")
    for apple, timm in WORDS.items():
        name = re.sub(rf"(?<![^.]){re.escape(apple)}(?=\.)", timm, name)
    return f"{name}.gamma" if name.endswith(SCALES) else name


def _stage(found: re.Match) -> str:
    return NETWORK.get(int(found[1]), found[0])


def tower_names_to_apple(name: str) -> str:
    """Apple's name of a tensor that timm calls `name`.

    >>> tower_names_to_apple("stages.3.blocks.1.layer_scale_2.gamma")
    'network.7.1.layer_scale_2'
    """
    if ".downsample.proj.0." in name:
        name = name.replace("reparam_conv", "lkb_reparam")
    for index, stage in NETWORK.items():
        name = re.sub(rf"^{re.escape(stage)}\b", f"network.{index}", name)
    for apple, timm in WORDS.items():
        name = re.sub(rf"(?<![^.]){re.escape(timm)}(?=\.)", apple, name)
    return name.removesuffix(".gamma")
