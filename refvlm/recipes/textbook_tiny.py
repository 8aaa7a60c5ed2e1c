r"""The recipe of `weights/textbook-tiny`: every layer of a decoder looks at a picture.

    stage 1  read    the decoder learns what is said of this world, before it looks
    stage 2  align   what looks learns: the projection and every layer's cross-attention
    stage 3  speak   all of it learns to tell what is in the picture, but for the tower
    stage 4  again   the same, from a high rate once more

The model is that of a textbook (models/textbook.py) at a small size, its norms before
what they norm. Tower, texts and stages are those of `weights/llava-tiny`; what differs
is the way in which the picture reaches the words. While the decoder only reads, it
looks at one token of zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import ops, scenes, text
from ..blocks.training_mode import Training
from ..metrics.shares import Share, Spread
from ..models import textbook
from ..models.textbook_config import TextbookConfig
from ..pretrained import VLM
from ..text.chat import END
from ..train.initialization import initial_weights
from ..train.loop import Recipe, Stage
from ..train.optimizers import AdamW, matrices_only
from ..train.state import State
from . import clip_tiny, llava_tiny, publishing
from .fastvlm_tiny import scene_tokenizer
from .packing import pack
from .pixels import to_pixels
from .telling import Telling, speaking_loss, words_of_answers

MODEL = VLM  # what `refvlm.load` makes of what is published
CONFIG = TextbookConfig

SIDE = clip_tiny.SIDE
STEPS = llava_tiny.STEPS

DECODER: dict[str, Any] = {
    "model_type": "textbook_decoder",
    "hidden_size": 128,
    "intermediate_size": 320,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "cross_attention_frequency": 1,
    "norm_first": True,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "layer_norm_eps": 1e-5,
}
LOOKING = ".multihead_attn.", ".norm2."  # what a decoder layer looks with


def recipe(steps: Mapping[str, int] = STEPS, seed: int = 0) -> TextbookTiny:
    """The recipe as it was used, or with other numbers of steps and another seed."""
    return TextbookTiny(scene_tokenizer(), steps, seed)


class TextbookTiny(Telling, Recipe):
    """Where the weights start, the batch of every step, and the loss."""

    name = "textbook-tiny"
    max_norm = 1.0
    momentum = 0.1  # of statistics, of which it has none
    questions = llava_tiny.LLaVATiny.questions

    def __init__(self, tokenizer: text.Tokenizer, steps: Mapping[str, int], seed=0):
        super().__init__(tokenizer, image_tokens=0)
        self.seed = seed
        self.config = TextbookConfig.from_json(config_json(tokenizer))
        self.stages = tuple(
            Stage(name, steps[name], peak, min(warmup, steps[name] // 5), floor, learns)
            for name, (peak, warmup, floor, learns) in HOW.items()
        )
        self.optimizer = AdamW(betas=(0.9, 0.98), weight_decay=matrices_only(0.05))

    def initial(self) -> dict[str, np.ndarray]:
        """The weights before the first step: a tower that has learnt, and chance."""
        shapes = textbook.expected_shapes(self.config, tied=True)
        rng = np.random.default_rng([self.seed, 0])
        tables = textbook.EMBEDDING, f"{textbook.DECODER}.position_embedding.weight"
        weights = initial_weights(shapes, rng, narrow=tables)
        return weights | llava_tiny.frozen_tower(textbook.TOWER)

    def batch(self, step: int) -> list[llava_tiny.Told]:
        """Fresh scenes, a caption and questions for each, and, but for the first stage,
        their pictures."""
        rng = np.random.default_rng([self.seed, 1, step])
        drawn = [scenes.sample(rng) for _ in range(llava_tiny.BATCH)]
        pixels = None
        if step >= self.stages[0].steps:
            pixels = to_pixels([scenes.draw(scene, SIDE) for scene in drawn])
        said = [self.texts(scene, rng) for scene in drawn]
        packed = self.hide(pack(self.prefix, said), rng)
        return [llava_tiny.Told(pixels, packed, words_of_answers(said))]

    def loss(self, weights, told: llava_tiny.Told, training: Training, stage: Stage):
        """The loss of the batch, and what is worth noting about it."""
        ids = told.packed.ids
        if told.pixels is None:  # one token, of zeros
            seen = np.zeros((len(ids), 1, self.config.text.hidden_size), np.float32)
        else:
            seen = textbook.encode_image(told.pixels, weights, self.config)
        hidden = textbook.decoder(
            ops.embedding(ids, weights[textbook.EMBEDDING]),
            weights.scope(textbook.DECODER),
            self.config.text,
            packing=told.packed.layout,
            picture=seen,
        )
        head = partial(textbook.head, weights=weights)
        loss = speaking_loss(hidden, head, told.packed, told.answers)
        return loss, {"tokens": ids.size, "pictures": len(ids)}


def _speaks(name):
    return not name.startswith(textbook.TOWER)


def _looks(name):
    return name.startswith(textbook.PROJECTION) or any(n in name for n in LOOKING)


# As llava_tiny.HOW, but for what learns.
HOW: dict[str, tuple[float, int, float, Callable[[str], bool]]] = {
    "read": (3e-3, 100, 0.3, _speaks),
    "align": (3e-3, 50, 0.3, _looks),
    "speak": (2e-3, 200, 0.01, _speaks),
    "again": (2e-3, 200, 0.01, _speaks),
}


def config_json(tokenizer: text.Tokenizer) -> dict[str, Any]:
    """The model's `config.json`; `textbook_vlm` is a name of ours."""
    end = tokenizer.token_id(END)
    return {
        "model_type": "textbook_vlm",
        "architectures": ["TextbookForConditionalGeneration"],
        "vision_feature_layer": None,  # behind the tower's last norm
        "vision_feature_select_strategy": "default",
        "tie_word_embeddings": True,
        "vision_config": clip_tiny.VISION,
        "text_config": {**DECODER, "vocab_size": len(tokenizer), "eos_token_id": end},
    }


def publish(recipe: TextbookTiny, state: State, directory: str | Path) -> None:
    """Write the model of a run in the layout of the textbook's models."""
    config = config_json(recipe.tokenizer)
    stop = config["text_config"]["eos_token_id"]
    publishing.write(
        directory,
        publishing.learnt(state),
        recipe,
        state,
        SIDE,
        config=config,
        generation_config={"eos_token_id": stop, "do_sample": False},
    )


def score(
    model: VLM, count: int, seed: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[str, dict[str, Share]]]:
    """Captions and questions: `count` fresh scenes of each split."""
    yield from llava_tiny.score(model, count, seed, progress)


def limits(
    model: VLM, count: int, seed: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[str, dict[str, Spread]]]:
    """Captions and questions unlike those of training: where it ends."""
    yield from llava_tiny.limits(model, count, seed, progress)
