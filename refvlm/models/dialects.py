"""Three names for every tensor: Apple's checkpoints, Hugging Face's and MLX's.

All publish the same FastVLM. Apple's names follow the code that trained it, where the
tower is one flat list of layers (`network.0` to `network.10`) and repeated blocks and
the layers between them look alike. Hugging Face's follow timm, where a stage holds its
downsampling, its position encoding and its blocks. Ours are Hugging Face's.

MLX's are Apple's under other prefixes, with channels last: its convolutions are (out,
height, width, in). What Apple exports for its devices has them without the tower.
"""

from __future__ import annotations

import re

import numpy as np

from ..checkpoint import CheckpointError, Weights
from ..checkpoint.stored import Tensor

APPLE_TOWER = "model.vision_tower.vision_tower.model"
TOWER = "model.vision_tower.timm_model"
MLX_TOWER = "vision_tower.vision_model"
MLX_DECODER = "language_model.model"

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
    if any(name.startswith(f"{MLX_DECODER}.") for name in weights):
        return _channels_first(weights).rename(names_from_mlx)
    return weights


def unchanged(weights: Weights, config=None) -> Weights:
    """What a family does to weights that are as it wants them."""
    return weights


def _channels_first(weights):
    """The tensors of MLX's tower with their axes where everyone else has them."""
    tower = [name for name in weights if name.startswith(f"{MLX_TOWER}.")]
    if not tower:
        raise CheckpointError(
            f"{weights.origin} holds the decoder of a FastVLM without its tower, as "
            "Apple exports it for its devices: the tower is in fastvithd.mlpackage, a "
            "program for Core ML, which is not read here. Take the float checkpoint of "
            "the same size, which has both (`python -m refvlm quantize` makes it small)"
        )
    moved = {}
    for name in tower:
        tensor = weights.tensor(name)
        axes = {4: (0, 3, 1, 2), 3: (2, 0, 1)}.get(len(tensor.shape))
        if axes is not None:
            moved[name] = Moved(tensor, axes)
    return weights.add(moved)


class Moved(Tensor):
    """A tensor with its axes in another order."""

    __slots__ = ("_array", "_axes", "_tensor", "shape")

    def __init__(self, tensor: Tensor, axes: tuple[int, ...]):
        self.shape = tuple(tensor.shape[axis] for axis in axes)
        self._tensor, self._axes = tensor, axes
        self._array: np.ndarray | None = None

    @property
    def is_floating(self) -> bool:
        return self._tensor.is_floating

    @property
    def nbytes(self) -> int:
        return self._tensor.nbytes

    def array(self) -> np.ndarray:
        """The same read-only array each time."""
        if self._array is None:
            array = np.ascontiguousarray(self._tensor.array().transpose(self._axes))
            array.flags.writeable = False
            self._array = array
        return self._array


def names_from_mlx(name: str) -> str | None:
    """Hugging Face's name of a tensor of MLX's FastVLM; None where it has none.

    >>> names_from_mlx("language_model.model.layers.0.mlp.up_proj.weight")
    'model.language_model.layers.0.mlp.up_proj.weight'
    >>> names_from_mlx("multi_modal_projector.linear_2.bias")
    'model.multi_modal_projector.linear_2.bias'
    """
    if name.startswith(f"{MLX_TOWER}."):
        name = name.removeprefix(f"{MLX_TOWER}.")
        name = re.sub(r"^patch_embed\.blocks\.", "patch_embed.", name)
        tower = tower_names_from_apple(name)
        return None if tower is None else f"{TOWER}.{tower}"
    projector = re.fullmatch(
        r"(?:mm_projector\.|multi_modal_projector\.linear_)([02])\.(weight|bias)", name
    )
    if projector:
        layer = {"0": "linear_1", "2": "linear_2"}[projector[1]]
        return f"model.multi_modal_projector.{layer}.{projector[2]}"
    name = re.sub(r"^language_model\.lm_head\.", "lm_head.", name)
    return re.sub(rf"^{MLX_DECODER}\.", "model.language_model.", name)


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
