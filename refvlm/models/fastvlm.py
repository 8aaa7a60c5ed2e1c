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
from ..shapes import ShapeError, shapes
from . import fields, qwen2
from .fastvithd import FastViTHDConfig, Progress, fastvithd
from .fastvithd import expected_shapes as tower_shapes

IMAGE = -200  # where the picture goes, in ids that have one place for all of it

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


def make_room(input_ids, tokens: int, attention_mask=None):
    """One `IMAGE` for each picture becomes `tokens` of them, side by side.

    Returns ids and mask (None stays None) of the longer sequence. Every row needs the
    same number of pictures, or the batch would not be a rectangle.
    """
    marked = input_ids == IMAGE
    pictures = marked.sum(axis=1)
    if not pictures.any():
        return input_ids, attention_mask
    if (pictures != pictures[0]).any():
        raise ShapeError(
            f"the rows of input_ids have {pictures.tolist()} pictures; a batch needs "
            "the same number in each"
        )
    repeats = np.where(marked, tokens, 1)

    def stretch(rows):
        return np.stack([np.repeat(r, n) for r, n in zip(rows, repeats)])

    mask = None if attention_mask is None else stretch(attention_mask)
    return stretch(input_ids), mask


def image_places(input_ids, config: FastVLMConfig):
    """Where the ids leave place for image tokens: at `IMAGE`, and at the image token
    of the checkpoint, where it has one."""
    places = input_ids == IMAGE
    if config.image_token_id is not None:
        places = places | (input_ids == config.image_token_id)
    return places


@shapes(input_ids="b t of integers", image="n m h or None")
def embed(input_ids, image, weights, config: FastVLMConfig):
    """Ids to embeddings, with the image's tokens spliced in where the ids mark them.

    input_ids (b, t); image (n, m, hidden) or None; the result (b, t, hidden). The
    marks are `IMAGE` or the checkpoint's image token, one for each image token; the
    number of marks must be n m.
    """
    marks = image_places(input_ids, config)
    spaces = int(marks.sum())
    tokens = 0 if image is None else image.shape[0] * image.shape[1]
    if spaces != tokens:
        raise ShapeError(
            f"input_ids marks {spaces} places for image tokens, but the pictures make "
            f"{tokens}"
        )
    words = np.where(input_ids == IMAGE, 0, input_ids)
    text = tables.look_up(words, weights, EMBEDDING)
    if image is None:
        return text
    flat = image.reshape(tokens, -1)
    order = np.where(marks, np.cumsum(marks).reshape(marks.shape) - 1, 0)
    return np.where(marks[..., None], flat[order], text)


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
