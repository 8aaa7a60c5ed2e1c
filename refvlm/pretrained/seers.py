"""The families that see and speak, in one table: what differs between them.

    family = SEERS["fast_vlm"]
    seen = family.encode_image(pixels, weights, config)
    joined = family.join(ids, seen, mask, weights, config)
    hidden = joined.decoder.forward(joined.embeddings, scope, config.text, joined.mask)

A picture reaches a decoder in one of two ways. Spliced, its tokens stand among the
text's; crossed, the decoder has layers that look at it from the side. Everything else
of a family is a row: its configuration, its tower, its decoder, and the frame that it
puts around a question. The keys are what config.json calls `model_type`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import text
from ..blocks import tables
from ..checkpoint import Weights
from ..models import (
    blip,
    blip2,
    dialects,
    fastvlm,
    llava,
    llava_config,
    llava_names,
    microvlm,
    microvlm_config,
    microvlm_names,
    textbook,
)
from ..models.decoders import DECODERS, Decoder
from ..models.splicing import IMAGE, image_places, make_room, splice
from ..models.vlm_inputs import Inputs, check_crossed, check_spliced

Frame = Callable[[str], list[int]]


class Joined(NamedTuple):
    """What a decoder reads: embeddings (b, t, h), the ids that they stand for, below 0
    where one is no token's, the mask (b, t) or None, where the picture is (b, t), or
    for a picture aside (1, m), and the decoder itself."""

    embeddings: np.ndarray
    prompt: np.ndarray
    mask: np.ndarray | None
    places: np.ndarray
    decoder: Decoder


def chat_frame(directory: Path, tokenizer: text.Tokenizer) -> Frame:
    """A question in the chat template of the checkpoint, with a place for a picture."""
    text.recognize_template(directory, tokenizer)
    return partial(text.encode_chat, tokenizer)


def aside_frame(directory: Path, tokenizer: text.Tokenizer) -> Frame:
    """The same without a place for a picture, which is looked at from the side."""
    text.recognize_template(directory, tokenizer)
    return partial(text.encode_chat, tokenizer, image_tokens=0)


def template_frame(directory: Path, tokenizer: text.Tokenizer) -> Frame:
    """The same, where the template may be another than ChatML."""
    return text.read_frame(directory, tokenizer).encode


def beginning_frame(directory: Path, tokenizer: text.Tokenizer) -> Frame:
    """No question at all: how a caption begins, behind the tokenizer's own start."""
    return partial(_framed, tokenizer, [tokenizer.token_id(blip.START)], [])


def picture_first_frame(directory: Path, tokenizer: text.Tokenizer) -> Frame:
    """The picture, and behind it the question as the tokenizer frames any text."""
    before, after = tokenizer.frame
    return partial(_framed, tokenizer, [IMAGE, *before], [*after])


def _framed(tokenizer, before, after, words):
    """A frame of ids around words that are no markers."""
    return [*before, *tokenizer.encode(words, markers=False), *after]


@dataclass(frozen=True)
class Seer(ABC):
    """A family: how it is configured, looks and speaks, and its tensors' names.

    `encode_image(pixels, weights, config, progress)` gives (n, m, width), and
    `image_grid(config, height, width)` the rows and columns of these m tokens, or an
    error for a picture that the tower can't see. `canonical(weights)` gives weights
    their names, whichever of its published ones they came in, and `prepare(weights,
    config)` makes them quick. `computing` names a tensor that is never in fewer bits:
    its dtype is that of the work. `frame(directory, tokenizer)` turns questions to ids;
    `request` is what is asked where nothing else is. A family that `answers` no
    questions goes on from one as if it had begun to say it. `ends(config)` are the ids
    that end an answer where the files that should say so do not.
    """

    config: Any
    expected_shapes: Callable
    encode_image: Callable
    image_grid: Callable
    decoder: Decoder
    computing: str
    canonical: Callable[[Weights], Weights] = dialects.unchanged
    prepare: Callable[[Weights, Any], Weights] = dialects.unchanged
    unused: tuple[str, ...] = ()
    frame: Callable[[Path, text.Tokenizer], Frame] = chat_frame
    request: str = text.DESCRIBE
    answers: bool = True
    ends: Callable[[Any], frozenset[int]] | None = None

    @abstractmethod
    def check(self, pixels, ids, mask, config, dtype) -> tuple[Inputs, int]:
        """Inputs that fit each other and the model, and how many tokens a row has."""

    @abstractmethod
    def join(self, ids, seen, mask, weights, config) -> Joined:
        """What the decoder reads of ids (b, t) and of what was seen (n, m, width)."""


class Spliced(Seer):
    """The picture's tokens stand among the text's, where the ids mark them."""

    def check(self, pixels, ids, mask, config, dtype):
        return check_spliced(
            pixels,
            ids,
            mask,
            config.text.vocab_size,
            dtype,
            config.image_token_id,
            partial(self.image_grid, config),
        )

    def join(self, ids, seen, mask, weights, config):
        if seen is not None:
            ids, mask = make_room(ids, seen.shape[1], mask)
        token = config.image_token_id
        return Joined(
            splice(ids, seen, weights, self.decoder.embedding, token),
            np.where(ids == IMAGE, -1 if token is None else token, ids),
            mask,
            image_places(ids, token),
            self.decoder,
        )


@dataclass(frozen=True)
class Crossed(Seer):
    """The decoder looks at the picture from the side: its `forward` and its cache take
    `picture`, (b, m, width), one for each row. The first `prefix` of the m tokens are
    no part of its grid: a class token."""

    prefix: int = 0

    def check(self, pixels, ids, mask, config, dtype):
        given = check_crossed(
            pixels,
            ids,
            mask,
            config.text.vocab_size,
            dtype,
            partial(self.image_grid, config),
        )
        return given, given.ids.shape[1]

    def join(self, ids, seen, mask, weights, config):
        looking = partial(self.decoder.forward, picture=seen)
        embeddings = tables.look_up(ids, weights, self.decoder.embedding)
        decoder = self.decoder._replace(forward=looking)
        places = np.arange(seen.shape[1])[None] >= self.prefix
        return Joined(embeddings, ids, mask, places, decoder)


FASTVLM = Spliced(
    config=fastvlm.FastVLMConfig,
    expected_shapes=fastvlm.expected_shapes,
    encode_image=fastvlm.encode_image,
    image_grid=fastvlm.image_grid,
    decoder=DECODERS["qwen2"]._replace(
        scope=fastvlm.DECODER, embedding=fastvlm.EMBEDDING, head=fastvlm.HEAD
    ),
    computing=f"{fastvlm.PROJECTOR}.linear_1.bias",
    canonical=dialects.canonical,
    prepare=fastvlm.prepare,
    unused=(
        "*.num_batches_tracked",
        "*.rotary_emb.inv_freq",
        f"{fastvlm.TOWER}.head.*",
    ),
)

TEXTBOOK = Crossed(
    config=textbook.TextbookConfig,
    expected_shapes=textbook.expected_shapes,
    encode_image=textbook.encode_image,
    image_grid=textbook.image_grid,
    decoder=textbook.SPEAKER,
    computing=f"{textbook.PROJECTION}.bias",
    frame=aside_frame,
)

LLAVA = Spliced(
    config=llava_config.LlavaConfig,
    expected_shapes=llava.expected_shapes,
    encode_image=llava.encode_image,
    image_grid=llava.image_grid,
    decoder=llava.SPEAKER,
    computing=f"{llava.DECODER}.norm.weight",
    canonical=llava_names.canonical,
    unused=("*.rotary_emb.inv_freq", f"{llava.TOWER}.embeddings.position_ids"),
    frame=template_frame,
)

BLIP = Crossed(
    config=blip.BlipConfig,
    expected_shapes=blip.captioning_shapes,
    encode_image=blip.encode_image,
    image_grid=blip.image_grid,
    decoder=blip.SPEAKER,
    computing=f"{blip.WRITER}.cls.predictions.bias",
    canonical=blip.canonical,
    unused=("*.position_ids",),
    frame=beginning_frame,
    request="",
    answers=False,
    ends=blip.ends,
    prefix=1,
)

BLIP2 = Spliced(
    config=blip2.Blip2Config,
    expected_shapes=blip2.expected_shapes,
    encode_image=blip2.encode_image,
    image_grid=blip2.image_grid,
    decoder=blip2.SPEAKER,
    computing=f"{blip2.PROJECTION}.bias",
    unused=("*.position_ids", "*.rotary_emb.inv_freq"),
    frame=picture_first_frame,
    request="",
)

MICROVLM = Spliced(
    config=microvlm_config.MicroVLMConfig,
    expected_shapes=microvlm.expected_shapes,
    encode_image=microvlm.encode_image,
    image_grid=microvlm.image_grid,
    decoder=microvlm.SPEAKER,
    computing=f"{microvlm.DECODER}.norm.weight",
    canonical=microvlm_names.canonical,
    unused=("*.rotary_emb.inv_freq", *microvlm_names.UNUSED),
    frame=picture_first_frame,
)

SEERS: dict[str, Seer] = {
    "fast_vlm": FASTVLM,  # as Hugging Face writes it
    "llava_qwen2": FASTVLM,  # as Apple does
    "textbook_vlm": TEXTBOOK,  # as nobody but us does
    **dict.fromkeys(llava_config.MODEL_TYPES, LLAVA),
    "blip": BLIP,
    "blip-2": BLIP2,
    microvlm_config.MODEL_TYPE: MICROVLM,
}
