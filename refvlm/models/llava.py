r"""LLaVA: CLIP's tower looks, a connector translates, LLaMA speaks.

    pixels (n, 3, s, s) --CLIP, up to the last block but one--> features (n, p, c)
        --connector--> image tokens (n, p, hidden)
    ids --embedding--> text tokens --splice the image in--> LLaMA --> logits

The class token is left out ("default") or stays ("full"), and where several hidden
states are looked at, a patch's features stand side by side. Names of weights are those
of transformers' model; files have three others, see `llava_names`.

Sources: [Foundations] LLaVA; [Liu2023], [Liu2024]. Oracle:
transformers.LlavaForConditionalGeneration.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..checkpoint import Weights
from ..shapes import ShapeError, shapes
from . import clip
from .decoders import DECODERS, HEAD, Decoder
from .llava_config import LlavaConfig
from .llava_connectors import connector_of
from .splicing import make_room, splice

TOWER = "model.vision_tower"
PROJECTOR = "model.multi_modal_projector"
DECODER = "model.language_model"
EMBEDDING = f"{DECODER}.embed_tokens.weight"


def speaker(name: str) -> Decoder:
    """A decoder, by the names that its tensors have in a LLaVA."""
    return DECODERS[name]._replace(scope=DECODER, embedding=EMBEDDING, head=HEAD)


SPEAKER = speaker("llama")  # which computes a Qwen2 just as well


def expected_shapes(config: LlavaConfig, tied: bool) -> dict[str, tuple[int, ...]]:
    """Every tensor by name; a tied head is the embedding and has none of its own."""
    tower, joint = clip.vision_shapes(config.vision), connector_shapes(config)
    return {
        **{f"{TOWER}.{name}": shape for name, shape in tower.items()},
        **{f"{PROJECTOR}.{name}": shape for name, shape in joint.items()},
        **speaker(config.decoder).expected_shapes(config.text, tied),
    }


def connector_shapes(config: LlavaConfig) -> dict[str, tuple[int, ...]]:
    """The tensors between the tower and the decoder, without what stands before."""
    return connector_of(config).shapes(config)


def image_grid(config: LlavaConfig, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the tokens of a picture, which has to be of the tower's size:
    its positions are those of one grid of patches."""
    side = config.vision.image_size
    if (height, width) != (side, side):
        raise ShapeError(
            f"llava: a picture of {width} x {height} pixels, but this tower has "
            f"positions for {side} x {side} in patches of {config.vision.patch_size}: "
            "the preprocessor beside the weights makes that size"
        )
    return config.grid


def encode_image(
    pixel_values,
    weights: Weights,
    config: LlavaConfig,
    progress: Callable[[int, int], None] | None = None,
):
    """Pictures to tokens of the decoder: (n, 3, s, s) -> (n, m, hidden)."""
    seen = features(pixel_values, weights, config, progress)
    return connect(seen, weights.scope(PROJECTOR), config)


@shapes(pixel_values="n 3 h w", returns="n p c")
def features(pixel_values, weights: Weights, config: LlavaConfig, progress=None):
    """What the tower has seen of every patch, (n, p, c), before anything is learnt to
    translate it: with a frozen tower, the same at every step of training."""
    states = clip.vision_states(
        pixel_values,
        weights.scope(TOWER),
        config.vision,
        config.feature_layers,
        progress,
    )
    if config.select == "default":
        states = [state[:, 1:] for state in states]
    return states[0] if len(states) == 1 else np.concatenate(states, axis=-1)


@shapes(features="n p c", returns="n m h")
def connect(features, weights, config: LlavaConfig):
    """From what the tower sees to what the decoder reads: (n, p, c) -> (n, m, h)."""
    return connector_of(config).forward(features, weights, config)


def llava(
    pixel_values,
    input_ids: np.ndarray,
    weights: Weights,
    config: LlavaConfig,
    attention_mask: np.ndarray | None = None,
):
    """Pictures and ids to logits: (b, tokens, vocabulary) for every position.

    pixel_values (n, 3, s, s) or None; input_ids (b, t) marks the pictures, in order,
    either with one `IMAGE` each or with the image token repeated. attention_mask
    (b, t).
    """
    image = None
    if pixel_values is not None:
        image = encode_image(pixel_values, weights, config)
        room = input_ids, image.shape[1], attention_mask
        input_ids, attention_mask = make_room(*room)
    hidden = SPEAKER.forward(
        splice(input_ids, image, weights, EMBEDDING, config.image_token_id),
        weights.scope(DECODER),
        config.text,
        attention_mask,
    )
    return SPEAKER.logits(hidden, weights)
