r"""FastVLM: a convolutional tower looks, a small MLP translates, Qwen2 speaks.

    pixels (b, 3, s, s) --FastViTHD--> features (b, (s/64)^2, 3072)
        --projector--> image tokens (b, (s/64)^2, hidden)
    ids --embedding--> text tokens --splice the image in--> Qwen2 --> logits

To the decoder the picture is a stretch of tokens like any other, in one causal order
with the text. Sources: [Kamath]; Vasu et al., FastVLM. Oracle:
transformers.FastVlmForConditionalGeneration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .. import ops
from ..blocks import tables
from ..checkpoint import Weights
from ..shapes import shapes
from . import fields, qwen2, splicing
from .fastvithd import FastViTHDConfig, Progress, fastvithd, trace_pieces
from .fastvithd import expected_shapes as tower_shapes
from .fastvithd import prepare as prepare_tower
from .splicing import IMAGE, make_room

__all__ = [
    "IMAGE",
    "FastVLMConfig",
    "embed",
    "encode_image",
    "expected_shapes",
    "fastvlm",
    "head",
    "image_grid",
    "image_places",
    "make_room",
    "prepare",
    "projector",
]

TOWER = "model.vision_tower.timm_model"
PROJECTOR = "model.multi_modal_projector"
DECODER = "model.language_model"
EMBEDDING = f"{DECODER}.embed_tokens.weight"
HEAD = "lm_head.weight"


@dataclass(frozen=True)
class FastVLMConfig:
    """A tower, a decoder, and the id that stands for the picture in the text.

    `image_size` is None where the checkpoint leaves it to its preprocessor.
    """

    vision: FastViTHDConfig
    text: qwen2.Qwen2Config
    image_token_id: int | None = 151646
    image_size: int | None = None

    @classmethod
    def from_json(cls, config: Mapping) -> FastVLMConfig:
        """From a parsed config.json: Hugging Face's nested one, or Apple's flat one."""
        kind = config.get("model_type")
        if kind == "fast_vlm":
            return _from_huggingface(config)
        if kind == "llava_qwen2":
            return _from_apple(config)
        raise fields.ConfigError(
            f"config.json: model_type is {kind!r:.60}, but FastVLM's is 'fast_vlm' "
            "(Hugging Face) or 'llava_qwen2' (Apple)"
        )


def _from_huggingface(config):
    fields.only(config, "projector_hidden_act", "gelu", default="gelu")
    fields.only(config, "vision_feature_select_strategy", "full", default="full")
    fields.only(config, "vision_feature_layer", -1, default=-1)
    fields.only(config, "multimodal_projector_bias", True, default=True)
    text = dict(fields.section(config, "text_config"))
    if config.get("tie_word_embeddings"):
        text["tie_word_embeddings"] = True
    fields.only(text, "model_type", "qwen2", default="qwen2")
    token = "image_token_id" if "image_token_id" in config else "image_token_index"
    return FastVLMConfig(
        FastViTHDConfig.from_json(fields.section(config, "vision_config")),
        qwen2.Qwen2Config.from_json(text),
        fields.whole(config, token, 151646, low=0),
    )


def _from_apple(config):
    fields.only(config, "mm_projector_type", "mlp2x_gelu", default="mlp2x_gelu")
    fields.only(config, "mm_hidden_size", 3072, default=3072)
    name, _, digits = str(config.get("mm_vision_tower")).rpartition("_")
    if name != "mobileclip_l" or not digits.isascii() or not digits.isdigit():
        raise fields.ConfigError(
            f"config.json: mm_vision_tower is {config.get('mm_vision_tower')!r:.60}, "
            "but FastVLM's is 'mobileclip_l_1024'"
        )
    size = fields.whole({"mm_vision_tower": int(digits[:6])}, "mm_vision_tower", low=64)
    text = qwen2.Qwen2Config.from_json(config)
    return FastVLMConfig(FastViTHDConfig(), text, None, size)


def expected_shapes(config: FastVLMConfig, tied: bool) -> dict[str, tuple[int, ...]]:
    """Every tensor by name; a tied head is the embedding and has none of its own."""
    hidden, width = config.text.hidden_size, config.vision.width
    decoder = qwen2.expected_shapes(config.text)
    expected = {
        **{f"{TOWER}.{n}": s for n, s in tower_shapes(config.vision).items()},
        f"{PROJECTOR}.linear_1.weight": (hidden, width),
        f"{PROJECTOR}.linear_1.bias": (hidden,),
        f"{PROJECTOR}.linear_2.weight": (hidden, hidden),
        f"{PROJECTOR}.linear_2.bias": (hidden,),
        **{f"{DECODER}.{name}": shape for name, shape in decoder.items()},
    }
    if not tied:
        expected[HEAD] = (config.text.vocab_size, hidden)
    return expected


def prepare(weights: Weights, config: FastVLMConfig) -> Weights:
    """Weights for inference alone: the tower's branches and norms folded."""
    return prepare_tower(weights, config.vision, TOWER)


def encode_image(
    pixel_values: np.ndarray,
    weights: Weights,
    config: FastVLMConfig,
    progress: Progress | None = None,
):
    """Pictures to tokens of the decoder: (b, 3, h, w) -> (b, h w / 64^2, hidden)."""
    tower = weights.scope(TOWER)
    features = fastvithd(pixel_values, tower, config.vision, progress=progress)
    return projector(features, weights.scope(PROJECTOR))


@shapes(features="b n c", returns="b n h")
def projector(features, weights):
    r"""From what the tower sees to what the decoder reads:
    $W_2\,\mathrm{GELU}(W_1 x + b_1) + b_2$.

    Source: [Kamath] projector. Oracle: transformers' FastVlmMultiModalProjector.
    """
    first, second = weights.scope("linear_1"), weights.scope("linear_2")
    hidden = ops.gelu(ops.linear(features, first["weight"], first["bias"]))
    return ops.linear(hidden, second["weight"], second["bias"])


def image_grid(config: FastVLMConfig, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the tokens that a picture becomes; a side that is no multiple
    of 64 rounds up."""
    _, rows, columns = trace_pieces(config.vision, height, width)[-1].shape
    return rows, columns


def image_places(input_ids, config: FastVLMConfig):
    """Where the ids leave place for image tokens; see `splicing.image_places`."""
    return splicing.image_places(input_ids, config.image_token_id)


def embed(input_ids, image, weights, config: FastVLMConfig):
    """Ids (b, t) to embeddings (b, t, hidden), with the image's tokens (n, m, hidden)
    where the ids mark them; see `splicing.splice`."""
    return splicing.splice(input_ids, image, weights, EMBEDDING, config.image_token_id)


def head(hidden, weights):
    """Final hidden states to logits over the vocabulary; a tied head is E."""
    return tables.scores(hidden, weights, HEAD if HEAD in weights else EMBEDDING)


def fastvlm(
    pixel_values: np.ndarray | None,
    input_ids: np.ndarray,
    weights: Weights,
    config: FastVLMConfig,
    attention_mask: np.ndarray | None = None,
):
    """Pictures and ids to logits: (b, tokens, vocabulary) for every position.

    pixel_values (n, 3, h, w) or None; input_ids (b, t) marks the pictures either with
    one `IMAGE` each or with the image token repeated. attention_mask (b, t).
    """
    image = None
    if pixel_values is not None:
        image = encode_image(pixel_values, weights, config)
        tokens = image.shape[1]
        input_ids, attention_mask = make_room(input_ids, tokens, attention_mask)
    hidden = qwen2.qwen2(
        embed(input_ids, image, weights, config),
        weights.scope(DECODER),
        config.text,
        attention_mask,
    )
    return head(hidden, weights)
