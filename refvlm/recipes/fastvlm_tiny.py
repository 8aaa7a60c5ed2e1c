r"""The recipe of `weights/fastvlm-tiny`: a FastVLM that learns to describe scenes.

    stage 1  see    the tower learns what is where, cell by cell       (seeing.py)
    stage 2  speak  all of it learns captions and answers, and goes on seeing

A step draws 16 fresh scenes, so no picture is seen twice. Each comes with one caption
and several questions, packed behind the picture (packing.py). The batch is learnt from
in two halves, side by side on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import scenes, text
from ..autodiff import value_of
from ..blocks.training_mode import Training
from ..checkpoint import Weights
from ..metrics import scene_scores
from ..metrics.limits import spoken_limits
from ..metrics.shares import Share, Spread
from ..models import fastvlm, qwen2
from ..models.fastvithd import fastvithd, fold
from ..pretrained import VLM
from ..text.bpe.learning import train_byte_level
from ..text.chat import DEFAULT_SYSTEM, DESCRIBE, END, IMAGE
from ..train.initialization import initial_weights
from ..train.loop import Recipe, Stage
from ..train.optimizers import AdamW, matrices_only
from ..train.state import State
from . import publishing
from .packing import PackedTexts, pack
from .pixels import to_pixels
from .seeing import SEEING, SEEING_WEIGHT, Cells, cells_of, seeing_loss, seeing_shapes
from .telling import QUESTIONS, Telling, speaking_loss, words_of_answers

MODEL = VLM  # what `refvlm.load` makes of what is published
CONFIG = fastvlm.FastVLMConfig

SIDE, GRID = 128, 4
BATCH, SHARDS = 16, 2
SEE, SPEAK = 1200, 16000
VOCABULARY = 512  # at most; the world has fewer words

PEAK = 3e-3

TOWER: dict[str, Any] = {
    "layers": [1, 1, 1, 1, 1],
    "embed_dims": [16, 32, 64, 192, 192],
    "mlp_ratios": [4, 4, 4, 4, 4],
    "downsamples": [False, True, True, True, False],
    "layer_scale_init_value": 1.0,
}
DECODER = {
    "model_type": "qwen2",
    "hidden_size": 128,
    "intermediate_size": 320,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
}


def recipe(see: int = SEE, speak: int = SPEAK, seed: int = 0) -> FastVLMTiny:
    """The recipe as it was used, or with other numbers of steps and another seed."""
    return FastVLMTiny(scene_tokenizer(), see, speak, seed)


def scene_tokenizer() -> text.Tokenizer:
    """The tokenizer of the recipe: every word of the world becomes one token."""
    return train_byte_level(corpus(), VOCABULARY)


def corpus(scenes_seen: int = 2000) -> list[str]:
    """Texts to train the tokenizer on: captions, questions, answers, and the frame.

    The held-out pairs are not in it; their words are.
    """
    rng, texts = np.random.default_rng(0), []
    for _ in range(scenes_seen):
        scene = scenes.sample(rng)
        texts.append(scenes.caption(scene, rng))
        for question in scenes.questions(scene, rng, QUESTIONS):
            texts += ["\n" + question.text, question.answer]
    frame = [f"system\n{DEFAULT_SYSTEM}", "user\n", f"\n{DESCRIBE}", "assistant\n"]
    return texts + frame * scenes_seen


class Shard(NamedTuple):
    """Some pictures of a batch, with what is said about them; the totals are those of
    the whole batch, of which every shard takes its share."""

    pixels: np.ndarray
    cells: Cells
    packed: PackedTexts
    objects: int
    answers: float


class FastVLMTiny(Telling, Recipe):
    """Where the weights start, the batch of every step, and the loss."""

    name = "fastvlm-tiny"
    max_norm = 5.0
    momentum = 0.1

    def __init__(self, tokenizer: text.Tokenizer, see: int, speak: int, seed: int = 0):
        super().__init__(tokenizer, GRID * GRID)
        self.seed = seed
        self.config = fastvlm.FastVLMConfig.from_json(config_json(tokenizer))
        self.stages = (
            Stage("see", see, PEAK, min(100, see // 8), 0.3, _sees),
            Stage("speak", speak, PEAK, min(200, speak // 8), 0.01),
        )
        self.optimizer = AdamW(
            betas=(0.9, 0.98),
            weight_decay=matrices_only(0.05),
            scale=lambda name: 1.0 if _sees(name) else 0.5,
        )

    def initial(self) -> dict[str, np.ndarray]:
        """The weights before the first step, a function of the seed."""
        shapes = fastvlm.expected_shapes(self.config, tied=True)
        shapes |= seeing_shapes(self.config.vision.width)
        rng = np.random.default_rng([self.seed, 0])
        return initial_weights(shapes, rng, narrow=(fastvlm.DECODER,))

    def batch(self, step: int, shards: int = SHARDS) -> list[Shard]:
        """Fresh scenes, their pictures, a caption and questions for each: in shards."""
        rng = np.random.default_rng([self.seed, 1, step])
        drawn = [scenes.sample(rng) for _ in range(BATCH)]
        pixels = to_pixels([scenes.draw(scene, SIDE) for scene in drawn])
        said = [self.texts(scene, rng) for scene in drawn]
        objects = sum(len(scene.objects) for scene in drawn)
        answers = words_of_answers(said)
        size = BATCH // shards
        parts = [slice(at, at + size) for at in range(0, BATCH, size)]
        return [
            Shard(
                pixels[part],
                cells_of(drawn[part], GRID),
                self.hide(pack(self.prefix, said[part]), rng),
                objects,
                answers,
            )
            for part in parts
        ]

    def loss(self, weights, shard: Shard, training: Training, stage: Stage):
        """The shard's share of the loss, and of what is worth noting about it."""
        tower = weights.scope(fastvlm.TOWER)
        features = fastvithd(shard.pixels, tower, self.config.vision, training)
        seeing = weights.scope(SEEING)
        unseen, seen = seeing_loss(features, seeing, shard.cells, shard.objects)
        parts = {"seeing": float(value_of(unseen)), "seen": seen}
        parts["pictures"] = len(shard.pixels)
        if stage.name == "see":
            return unseen, parts
        image = fastvlm.projector(features, weights.scope(fastvlm.PROJECTOR))
        spoken = self.speaking_loss(image, weights, shard)
        parts |= {"speaking": float(value_of(spoken)), "tokens": shard.packed.ids.size}
        return spoken + unseen * SEEING_WEIGHT, parts

    def speaking_loss(self, image, weights, shard: Shard):
        """The cross-entropy of every token of every answer, given those before it."""
        hidden = qwen2.qwen2(
            fastvlm.embed(shard.packed.ids, image, weights, self.config),
            weights.scope(fastvlm.DECODER),
            self.config.text,
            packing=shard.packed.layout,
        )
        logits = partial(fastvlm.head, weights=weights)
        return speaking_loss(hidden, logits, shard.packed, shard.answers)


def _sees(name):
    """Whether a tensor belongs to the tower, or to what is asked of it in stage 1."""
    return name.startswith((fastvlm.TOWER, SEEING))


def config_json(tokenizer: text.Tokenizer) -> dict[str, Any]:
    """The model's `config.json`, as transformers reads it."""
    end = tokenizer.token_id(END)
    return {
        "model_type": "fast_vlm",
        "architectures": ["FastVlmForConditionalGeneration"],
        "image_token_index": tokenizer.token_id(IMAGE),
        "image_seq_length": GRID * GRID,
        "projector_hidden_act": "gelu",
        "tie_word_embeddings": True,
        "vision_config": {
            "model_type": "timm_wrapper",
            "architecture": "fastvit_mci3",
            "do_pooling": True,
            "global_pool": "avg",
            "hidden_size": 2 * TOWER["embed_dims"][-1],
            "num_classes": 2,
            "label_names": ["LABEL_0", "LABEL_1"],
            "model_args": {**TOWER, "inference_mode": False},
        },
        "text_config": {**DECODER, "vocab_size": len(tokenizer), "eos_token_id": end},
    }


def publish(recipe: FastVLMTiny, state: State, directory: str | Path) -> None:
    """Write the model of a run, its branches folded, in Hugging Face's layout."""
    weights = Weights(publishing.learnt(state), "the run")
    weights = fold(weights, recipe.config.vision, fastvlm.TOWER)
    tensors = {name: np.ascontiguousarray(weights[name]) for name in weights}
    config = config_json(recipe.tokenizer)
    config["vision_config"]["model_args"]["inference_mode"] = True
    stop = config["text_config"]["eos_token_id"]
    publishing.write(
        directory,
        tensors | _batches_seen(tensors, state.step),
        recipe,
        state,
        SIDE,
        config=config,
        generation_config={"eos_token_id": stop, "do_sample": False},
    )


def _batches_seen(tensors, steps):
    """PyTorch's batch norms count their batches, and its loaders miss the count."""
    norms = [n.removesuffix("running_var") for n in tensors if "running_var" in n]
    return {f"{norm}num_batches_tracked": np.array(steps) for norm in norms}


def score(
    model: VLM, count: int, seed: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[str, dict[str, Share]]]:
    """Captions and questions: `count` fresh scenes of each split, and a fifth as many
    drawn by every other hand."""
    tests: list[tuple[str, str, Callable[[scenes.Scene], np.ndarray], int]]
    tests = [(split, split, scenes.draw, count) for split in scenes.SPLITS]
    few = max(count // 5, 1)
    tests += [(name, "train", paint, few) for name, paint in scenes.PICTURES.items()]
    for name, split, paint, number in tests:
        report = scene_scores.score(
            model.answers, split, number, seed, draw=paint, progress=progress
        )
        yield name, report.shares


def limits(
    model: VLM, count: int, seed: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[str, dict[str, Spread]]]:
    """Captions and questions unlike those of training: where it ends."""
    yield from spoken_limits(model.replies, count, seed, progress)
