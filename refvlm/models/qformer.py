r"""The Q-Former: a few learnt questions, asked of a picture, become a few tokens.

    z = LayerNorm(queries)                                (b, 32, d), words after them
    z = bert_attention(z)                      all of them \
    z = bert_attention(z, picture)    queries, every 2nd    }  12 times
    z = bert_feed_forward(z)    queries and words apart    /

However large the picture, 32 tokens come out: what a language model pays for a picture
no longer depends on its size. The picture's tower stays frozen, and so can the language
model; the queries and the layers between learn. Names of weights are those of Hugging
Face's Blip2Model: `query_tokens`, `qformer.`, and `embeddings.` where words are read.
Sources: [Foundations] projection strategies; [Li2023]. Oracle:
transformers.Blip2QFormerModel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .. import ops
from ..blocks.bert import (
    attention_shapes,
    bert_attention,
    bert_feed_forward,
    feed_forward_shapes,
)
from ..blocks.transformer import layer_norm
from ..checkpoint import Weights
from ..shapes import ShapeError, shapes
from . import fields

QUERIES, LAYERS, WORDS = "query_tokens", "qformer", "embeddings"


@dataclass(frozen=True)
class QFormerConfig:
    """The numbers of a Q-Former; field names are those of config.json, where the number
    of queries stands beside the section."""

    num_query_tokens: int = 32
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    cross_attention_frequency: int = 2
    encoder_hidden_size: int = 1408
    use_qformer_text_input: bool = False
    vocab_size: int = 30522
    max_position_embeddings: int = 512
    layer_norm_eps: float = 1e-12

    @classmethod
    def from_json(cls, section: Mapping, num_query_tokens: int = 32) -> QFormerConfig:
        """From the `qformer_config` of a BLIP-2, strictly."""
        fields.only(section, "model_type", "blip_2_qformer", default="blip_2_qformer")
        fields.only(section, "hidden_act", "gelu", default="gelu")

        def whole(name, high):
            return fields.whole(section, name, getattr(cls, name), high=high)

        config = cls(
            num_query_tokens=num_query_tokens,
            hidden_size=whole("hidden_size", 1 << 16),
            num_hidden_layers=whole("num_hidden_layers", 1024),
            num_attention_heads=whole("num_attention_heads", 1024),
            intermediate_size=whole("intermediate_size", 1 << 20),
            cross_attention_frequency=whole("cross_attention_frequency", 1024),
            encoder_hidden_size=whole("encoder_hidden_size", 1 << 16),
            use_qformer_text_input=fields.flag(
                section, "use_qformer_text_input", False
            ),
            vocab_size=whole("vocab_size", 1 << 24),
            max_position_embeddings=whole("max_position_embeddings", 1 << 16),
            layer_norm_eps=fields.number(section, "layer_norm_eps", 1e-12, high=1.0),
        )
        if config.hidden_size % config.num_attention_heads:
            raise fields.ConfigError(
                f"config.json: {config.hidden_size} features do not split into "
                f"{config.num_attention_heads} heads"
            )
        return config

    def looks(self, layer: int) -> bool:
        """Whether the queries look at the picture in this layer."""
        return layer % self.cross_attention_frequency == 0


def expected_shapes(config: QFormerConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor by name: what loading checks."""
    width = config.hidden_size
    shapes = {
        QUERIES: (1, config.num_query_tokens, width),
        f"{LAYERS}.layernorm.weight": (width,),
        f"{LAYERS}.layernorm.bias": (width,),
    }
    for i in range(config.num_hidden_layers):
        shapes |= {
            f"{LAYERS}.encoder.layer.{i}.{name}": shape
            for name, shape in _layer_shapes(config, i).items()
        }
    if config.use_qformer_text_input:
        places = config.max_position_embeddings
        shapes |= {
            f"{WORDS}.word_embeddings.weight": (config.vocab_size, width),
            f"{WORDS}.position_embeddings.weight": (places, width),
        }
    return shapes


def _layer_shapes(config, i):
    width, hidden = config.hidden_size, config.intermediate_size
    asks = {"attention": width}
    if config.looks(i):
        asks["crossattention"] = config.encoder_hidden_size
    suffixes = ("", "_query") if config.use_qformer_text_input else ("_query",)
    return {
        f"{name}.{tensor}": shape
        for name, context in asks.items()
        for tensor, shape in attention_shapes(width, context, "attention").items()
    } | {
        tensor: shape
        for suffix in suffixes
        for tensor, shape in feed_forward_shapes(width, hidden, suffix).items()
    }


@shapes(
    image_features="b m d_v",
    input_ids="b t of integers",
    attention_mask="b t of anything",
    image_mask="b m of anything",
    returns="b n d",
)
def qformer(
    image_features,
    weights: Weights,
    config: QFormerConfig,
    input_ids=None,
    attention_mask=None,
    image_mask=None,
    watch: list[np.ndarray] | None = None,
):
    """What the queries become by asking a picture: (b, m, d_v) -> (b, queries, d).

    With input_ids (b, t) queries and words see each other, the words never the picture,
    and both come back, (b, queries + t, d). The masks are True where a word, or a token
    of the picture, counts. `watch` collects where the queries looked: (b, heads,
    queries, m) of each layer that looks.
    """
    if attention_mask is not None and input_ids is None:
        raise ValueError(
            "qformer: attention_mask says which words count, but there are no "
            "input_ids: image_mask is the one for the picture's tokens"
        )
    queries, batch = weights[QUERIES], len(image_features)
    count, width = queries.shape[1:]
    tokens = np.broadcast_to(queries, (batch, count, width))
    mask = None
    if input_ids is not None:
        words = embedded_words(input_ids, weights, config)
        tokens = np.concatenate([tokens, words], axis=1)
        if attention_mask is not None:
            seen = np.ones((batch, count), bool)
            mask = np.concatenate([seen, attention_mask.astype(bool)], axis=1)
    return qformer_layers(
        tokens,
        weights.scope(LAYERS),
        config,
        count,
        image_features,
        mask,
        image_mask,
        watch,
    )


def embedded_words(input_ids, weights, config: QFormerConfig):
    """Words and their places, (b, t, d): a Q-Former that reads has a table of both."""
    if not config.use_qformer_text_input:
        raise ValueError(
            "qformer: input_ids were given, but this Q-Former does not read: its "
            "config.json says use_qformer_text_input is false"
        )
    tokens, room = input_ids.shape[1], config.max_position_embeddings
    if tokens > room:
        raise ShapeError(
            f"qformer: a text of {tokens} tokens does not fit into this model's "
            f"{room}: shorten it"
        )
    table = weights.scope(WORDS)
    places = table["position_embeddings.weight"][:tokens]
    return ops.embedding(input_ids, table["word_embeddings.weight"]) + places


@shapes(
    tokens="b t d",
    image_features="b m d_v",
    attention_mask="b t of anything",
    image_mask="b m of anything",
    returns="b t d",
)
def qformer_layers(
    tokens,
    weights: Weights,
    config: QFormerConfig,
    queries: int,
    image_features=None,
    attention_mask=None,
    image_mask=None,
    watch=None,
):
    """The layers alone: the first `queries` of the tokens ask, the others are words.

    Without queries the picture is not looked at, and the Q-Former is a plain reader of
    texts. Oracle: transformers.Blip2QFormerModel.
    """
    if queries and image_features is None:
        raise ValueError("qformer: queries ask a picture, but image_features is None")
    hidden = layer_norm(tokens, weights.scope("layernorm"), config.layer_norm_eps)
    sees, counts = _over_heads(attention_mask), _over_heads(image_mask)
    for i in range(config.num_hidden_layers):
        layer = weights.scope(f"encoder.layer.{i}")
        picture = image_features if queries and config.looks(i) else None
        hidden = qformer_layer(
            hidden, layer, config, queries, picture, sees, counts, watch
        )
    return hidden


def qformer_layer(
    hidden, weights, config, queries, picture=None, sees=None, counts=None, watch=None
):
    """All attend to all; the queries look, where there is a picture; each thinks."""
    heads, eps = config.num_attention_heads, config.layer_norm_eps
    hidden = bert_attention(
        hidden,
        weights.scope("attention"),
        heads,
        eps,
        attn_mask=sees,
        inner="attention",
    )
    asking, words = hidden[:, :queries], hidden[:, queries:]
    if picture is not None:
        asking = bert_attention(
            asking,
            weights.scope("crossattention"),
            heads,
            eps,
            picture,
            counts,
            inner="attention",
            watch=watch,
        )
    parts = {"_query": asking, "": words}
    thought = [
        bert_feed_forward(
            part,
            weights.scope(f"intermediate{suffix}"),
            weights.scope(f"output{suffix}"),
            eps,
        )
        for suffix, part in parts.items()
        if part.shape[1]
    ]
    return thought[0] if len(thought) == 1 else np.concatenate(thought, axis=1)


def _over_heads(mask):
    """(b, k), True where a token counts, for every head and query: (b, 1, 1, k)."""
    return None if mask is None else np.asarray(mask).astype(bool)[:, None, None, :]
