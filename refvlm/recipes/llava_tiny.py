r"""The recipe of `weights/llava-tiny`: a LLaVA whose tower was there before.

    stage 1  read    the decoder learns what is said of this world, and sees nothing
    stage 2  align   the connector learns what the decoder understands, and only it
    stage 3  speak   connector and decoder learn to tell what is in the picture
    stage 4  again   the same, from a high rate once more

LLaVA's two stages are the second and the third. Its decoder could speak before; ours is
made of random numbers, and a connector cannot be fitted to a language that is not there
yet. The tower is that of `weights/clip-tiny`, and learns nothing in any stage: what the
patches hold is what CLIP's training, and the question to every cell, left in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import checkpoint, scenes, text
from ..blocks.training_mode import Training
from ..metrics import scene_scores
from ..metrics.limits import spoken_limits
from ..metrics.shares import Share, Spread
from ..models import clip, llava
from ..models.llava_config import LlavaConfig
from ..models.splicing import splice
from ..pretrained import VLM
from ..pretrained.shipped import shipped
from ..text.chat import END, IMAGE
from ..text.saving import TEMPLATE
from ..train.initialization import initial_weights
from ..train.loop import Recipe, Stage
from ..train.optimizers import AdamW, matrices_only
from ..train.state import State
from . import clip_tiny, publishing
from .fastvlm_tiny import scene_tokenizer
from .packing import PackedTexts, pack
from .pixels import to_pixels
from .telling import Telling, speaking_loss, words_of_answers

MODEL = VLM  # what `refvlm.load` makes of what is published
CONFIG = LlavaConfig

SIDE, GRID = clip_tiny.SIDE, clip_tiny.GRID
BATCH = 16
STEPS = {"read": 400, "align": 300, "speak": 3600, "again": 2400}
AS_LARGE = 8.0  # the numbers of the tower's last block: the connector begins with less

DECODER = {
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 320,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "hidden_act": "silu",
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
}
LAYER = -1  # the patches know more behind the last block than before it, see the card


def recipe(steps: Mapping[str, int] = STEPS, seed: int = 0) -> LLaVATiny:
    """The recipe as it was used, or with other numbers of steps and another seed."""
    return LLaVATiny(scene_tokenizer(), steps, seed)


class Told(NamedTuple):
    """A batch: pictures, or none where the decoder only reads, what is said about them,
    and how much all of its words count."""

    pixels: np.ndarray | None
    packed: PackedTexts
    answers: float


class LLaVATiny(Telling, Recipe):
    """Where the weights start, the batch of every step, and the loss."""

    name = "llava-tiny"
    max_norm = 1.0
    momentum = 0.1  # of statistics, of which it has none
    questions = 6

    def __init__(self, tokenizer: text.Tokenizer, steps: Mapping[str, int], seed=0):
        super().__init__(tokenizer, GRID * GRID)
        self.seed = seed
        self.config = LlavaConfig.from_json(config_json(tokenizer))
        self.blind = Telling(tokenizer, 0)
        self.stages = tuple(
            Stage(name, steps[name], peak, min(warmup, steps[name] // 5), floor, learns)
            for name, (peak, warmup, floor, learns) in HOW.items()
        )
        self.optimizer = AdamW(betas=(0.9, 0.98), weight_decay=matrices_only(0.05))

    def initial(self) -> dict[str, np.ndarray]:
        """The weights before the first step: a tower that has learnt, and chance."""
        shapes = llava.expected_shapes(self.config, tied=True)
        rng = np.random.default_rng([self.seed, 0])
        weights = initial_weights(shapes, rng, narrow=(llava.EMBEDDING,))
        first = f"{llava.PROJECTOR}.linear_1.weight"
        weights[first] = weights[first] / np.float32(AS_LARGE)
        return weights | frozen_tower(llava.TOWER)

    def batch(self, step: int) -> list[Told]:
        """Fresh scenes, a caption and questions for each, and, but for the first stage,
        their pictures."""
        rng = np.random.default_rng([self.seed, 1, step])
        drawn = [scenes.sample(rng) for _ in range(BATCH)]
        if step < self.stages[0].steps:
            pixels, teller = None, self.blind
        else:
            pixels, teller = to_pixels([scenes.draw(s, SIDE) for s in drawn]), self
        said = [teller.texts(scene, rng) for scene in drawn]
        packed = self.hide(pack(teller.prefix, said), rng)
        return [Told(pixels, packed, words_of_answers(said))]

    def loss(self, weights, told: Told, training: Training, stage: Stage):
        """The loss of the batch, and what is worth noting about it."""
        image = None
        if told.pixels is not None:
            image = llava.encode_image(told.pixels, weights, self.config)
        decoder, token = llava.SPEAKER, self.config.image_token_id
        hidden = decoder.forward(
            splice(told.packed.ids, image, weights, decoder.embedding, token),
            weights.scope(decoder.scope),
            self.config.text,
            packing=told.packed.layout,
        )
        logits = partial(decoder.logits, weights=weights)
        loss = speaking_loss(hidden, logits, told.packed, told.answers)
        return loss, {"tokens": told.packed.ids.size, "pictures": len(told.packed.ids)}


def frozen_tower(scope: str) -> dict[str, np.ndarray]:
    """The tensors of clip-tiny's tower, under the name that it has in another model."""
    tower = checkpoint.load(shipped("clip-tiny")).scope(clip.VISION)
    return {f"{scope}.{name}": np.array(tower[name]) for name in tower}


def _reads(name):
    return name.startswith(llava.DECODER)


def _connects(name):
    return name.startswith(llava.PROJECTOR)


def _speaks(name):
    return _reads(name) or _connects(name)


# Of each stage the rate's peak, the steps to get there at most, the share that it falls
# to, and what learns.
HOW: dict[str, tuple[float, int, float, Callable[[str], bool]]] = {
    "read": (3e-3, 100, 0.3, _reads),
    "align": (3e-3, 50, 0.3, _connects),
    "speak": (2e-3, 200, 0.01, _speaks),
    "again": (2e-3, 200, 0.01, _speaks),
}


def config_json(tokenizer: text.Tokenizer) -> dict[str, Any]:
    """The model's `config.json`, as transformers reads it."""
    end = tokenizer.token_id(END)
    return {
        "model_type": "llava",
        "architectures": ["LlavaForConditionalGeneration"],
        "image_token_index": tokenizer.token_id(IMAGE),
        "image_seq_length": GRID * GRID,
        "vision_feature_layer": LAYER,
        "vision_feature_select_strategy": "default",
        "projector_hidden_act": "gelu",
        "multimodal_projector_bias": True,
        "tie_word_embeddings": True,
        "vision_config": clip_tiny.VISION,
        "text_config": {**DECODER, "vocab_size": len(tokenizer), "eos_token_id": end},
    }


def publish(recipe: LLaVATiny, state: State, directory: str | Path) -> None:
    """Write the model of a run as LLaVAs are published, their processor included."""
    config = config_json(recipe.tokenizer)
    publishing.write(
        directory,
        {published_name(n): a for n, a in publishing.learnt(state).items()},
        recipe,
        state,
        SIDE,
        config=config,
        generation_config={
            "eos_token_id": config["text_config"]["eos_token_id"],
            "do_sample": False,
        },
        processor_config={
            "processor_class": "LlavaProcessor",
            "image_token": IMAGE,
            "patch_size": clip_tiny.PATCH,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,  # the class token, which is left out
        },
    )
    checkpoint.write_text(Path(directory) / "chat_template.jinja", TEMPLATE)


def published_name(name: str) -> str:
    """The name of a tensor in the files of a LLaVA, which every version reads.

    >>> published_name("model.language_model.norm.weight")
    'language_model.model.norm.weight'
    """
    for ours, theirs in PUBLISHED.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


PUBLISHED = {
    llava.DECODER: "language_model.model",
    llava.TOWER: "vision_tower.vision_model",
    llava.PROJECTOR: "multi_modal_projector",
}


def score(
    model: VLM, count: int, seed: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[str, dict[str, Share]]]:
    """Captions and questions: `count` fresh scenes of each split."""
    for split in scenes.SPLITS:
        report = scene_scores.score(
            model.answers, split, count, seed, progress=progress
        )
        yield split, report.shares


def limits(
    model: VLM, count: int, seed: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[str, dict[str, Spread]]]:
    """Captions and questions unlike those of training: where it ends."""
    yield from spoken_limits(model.replies, count, seed, progress)
