r"""BLIP: it says what it sees, and judges whether a text and a picture belong together.

    pixels --tower--> z (b, 1 + patches, d)
    caption   [DEC] a red ring --text model, causal, looking at z--> next words
    match     [CLS] a red ring --text model, looking at z--> W h_[CLS]     no, yes
    compare   cos(W_v z_class, W_t h_[CLS])      the two apart, as CLIP does

Two published models share the tower and, almost, the text model: one of captions, one
of matching and comparing. Names of weights are those of Hugging Face. Sources: [Cortes]
1.2, 5.3; [Li2022]. Oracle: transformers.BlipForConditionalGeneration,
BlipForImageTextRetrieval.
"""

from __future__ import annotations

from .. import ops
from ..blocks import tables
from ..blocks.transformer import linear
from ..checkpoint import Weights
from ..shapes import ShapeError, shapes
from .blip_config import BlipConfig, BlipTextConfig
from .blip_text import (
    WORDS,
    blip_text,
    head_shapes,
    new_cache,
    picture_memory,
    text_shapes,
    writer,
)
from .blip_tower import blip_tower, check_size, tower_shapes
from .causal import check_context
from .decoders import Decoder

VISION, WRITER, READER = "vision_model", "text_decoder", "text_encoder"
VISION_PROJECTION, TEXT_PROJECTION, JUDGE = "vision_proj", "text_proj", "itm_head"
START = "[DEC]"  # before every caption, in the place of BERT's [CLS]
MATCH = 1  # of the two scores, the one for yes


def writer_shapes(config: BlipTextConfig) -> dict[str, tuple[int, ...]]:
    """The tensors of the text model that writes; its head is the table of words."""
    return {
        **_scoped("bert", text_shapes(config)),
        **_scoped("cls.predictions", head_shapes(config)),
    }


SPEAKER = Decoder(
    config=BlipTextConfig,
    forward=writer,
    shapes=writer_shapes,
    new_cache=new_cache,
    scope=WRITER,
    embedding=f"{WRITER}.bert.{WORDS}",
    check_context=check_context,
    head=f"{WRITER}.cls.predictions.decoder.weight",
    head_bias=f"{WRITER}.cls.predictions.bias",
)


def captioning_shapes(
    config: BlipConfig, tied: bool = True
) -> dict[str, tuple[int, ...]]:
    """Every tensor of a model that captions."""
    tower = _scoped(VISION, tower_shapes(config.vision))
    return {**tower, **SPEAKER.expected_shapes(config.text, tied)}


def canonical(weights: Weights) -> Weights:
    """The weights without the copies that some files keep of a tied head."""
    return weights.rename([(rf"^{WRITER}\.cls\.predictions\.decoder\..*", None)])


def matching_shapes(config: BlipConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of a model that matches and compares."""
    looks, reads = config.vision.hidden_size, config.text.hidden_size
    shared = config.image_text_hidden_size
    heads = {
        VISION_PROJECTION: (shared, looks),
        TEXT_PROJECTION: (shared, reads),
        JUDGE: (2, reads),
    }
    return {
        **_scoped(VISION, tower_shapes(config.vision)),
        **_scoped(READER, text_shapes(config.text)),
        **{f"{name}.weight": shape for name, shape in heads.items()},
        **{f"{name}.bias": shape[:1] for name, shape in heads.items()},
    }


def _scoped(name, tensors):
    return {f"{name}.{tensor}": shape for tensor, shape in tensors.items()}


def encode_image(pixels, weights: Weights, config: BlipConfig, progress=None):
    """What a text looks at: the class token and every patch, (n, m, width)."""
    scope = weights.scope(VISION)
    return blip_tower(pixels, scope, config.vision, progress=progress)


def image_grid(config: BlipConfig, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of a picture's patches, which stand behind its class token."""
    check_size(config.vision, height, width)
    return config.vision.side, config.vision.side


def ends(config: BlipConfig) -> frozenset[int]:
    """What ends a caption: [SEP], whatever the files call the end of a text."""
    return frozenset({config.text.sep_token_id})


@shapes(input_ids="b t of integers", attention_mask="b t of anything")
def captioner(
    pixels, input_ids, weights: Weights, config: BlipConfig, attention_mask=None
):
    """Scores of every next word of a caption, (b, t, vocabulary).

    pixels (b, 3, s, s), a picture for each row of input_ids (b, t), or one for all;
    attention_mask (b, t) is True where a token counts.
    """
    picture = encode_image(pixels, weights, config)
    check_pairs("blip", picture, input_ids)
    words = tables.look_up(input_ids, weights, SPEAKER.embedding)
    scope = weights.scope(WRITER)
    hidden = writer(words, scope, config.text, attention_mask, picture=picture)
    return SPEAKER.logits(hidden, weights)


@shapes(input_ids="b t of integers", attention_mask="b t of anything", returns="b 2")
def match_scores(
    picture, input_ids, weights: Weights, config: BlipConfig, attention_mask=None
):
    """(no, yes) for each text with the picture beside it: scores before a softmax.

    picture (b, m, width) is what `encode_image` returns, input_ids (b, t); one picture
    serves all the texts. Every word looks at every patch: a score is no product of what
    the two are alone, so n pictures and n texts cost n times n passes.
    """
    check_pairs("match_scores", picture, input_ids)
    memory = picture_memory(picture, weights.scope(READER), config.text)
    hidden = read_text(input_ids, weights, config, attention_mask, memory)
    return linear(hidden[:, 0], weights.scope(JUDGE))


def image_features(picture, weights: Weights):
    """Pictures as directions of the shared space, (b, m, width) -> (b, d)."""
    out = linear(picture[:, 0], weights.scope(VISION_PROJECTION))
    return ops.normalize(out, dim=-1)


def text_features(input_ids, weights: Weights, config: BlipConfig, attention_mask=None):
    """Texts as directions of the shared space, (n, t) -> (n, d): they do not look."""
    hidden = read_text(input_ids, weights, config, attention_mask)
    return ops.normalize(linear(hidden[:, 0], weights.scope(TEXT_PROJECTION)), dim=-1)


def read_text(input_ids, weights, config, attention_mask=None, memory=None):
    """What each word has become, all seeing all, and the picture where there is one."""
    reader = weights.scope(READER)
    words = tables.look_up(input_ids, reader, WORDS)
    return blip_text(words, reader, config.text, attention_mask, memory=memory)


def check_pairs(function, picture, input_ids) -> None:
    """Refuse texts that do not know their picture."""
    if len(picture) not in (1, len(input_ids)):
        raise ShapeError(
            f"{function}: {len(picture)} pictures for {len(input_ids)} texts: each row "
            "of input_ids has its picture beside it, or all have one"
        )
