r"""The recipe of `weights/microvlm-tiny`: a MicroVLM that learns to remember.

    stage 1  align     adapter and decoder learn to tell what is in one picture
    stage 2  remember  they, the memory and its gate learn to tell what was in others

A step has 24 episodes of as many past pictures each, 1 to 6, and one that is present,
with 8 questions about them. The tower is that of `weights/clip-tiny`, and learns
nothing in any stage. In the source stage 1 is the adapter's alone, beside a decoder
that can speak, and stage 2 moves the last four layers of it: ours begins with random
numbers, and has three, so it learns in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import scenes, text
from ..autodiff import value_of
from ..blocks.episodic_memory.gates import gate_bias
from ..blocks.training_mode import Training
from ..checkpoint import Weights
from ..metrics.shares import Share, Spread
from ..models import microvlm, microvlm_memory
from ..models.microvlm_config import MicroVLMConfig
from ..pretrained import Remembering
from ..text.chat import END
from ..train.initialization import initial_weights
from ..train.loop import Recipe, Stage
from ..train.optimizers import AdamW, matrices_only
from ..train.state import State
from . import clip_tiny, publishing
from .fastvlm_tiny import DECODER
from .llava_tiny import frozen_tower
from .remembering import passes, scores
from .remembering.first_memory import as_a_count, as_tokens
from .remembering.losses import (
    address_loss,
    aligned_loss,
    gate_loss,
    right_answers,
    spoken_loss,
)
from .remembering.pool import Pool
from .remembering.rows import AskedRows, ask_in_rows
from .remembering.speech import (
    KINDS,
    PRESENT,
    QUESTIONS,
    Speech,
    episode_tokenizer,
)

MODEL = Remembering  # what `refvlm.load` makes of what is published
CONFIG = MicroVLMConfig

SIDE = clip_tiny.SIDE
POOL = 60_000  # pictures, each shown in many episodes
EPISODES, MOST = 24, 6  # of a step, and the past pictures of each
STEPS = {"align": 800, "remember": 7500}
PEAK = 2e-3

# What makes the codes moves slowly: else their places are gone before they are used.
CODING = f"{microvlm.MEMORY}.lstm_z", f"{microvlm.MEMORY}.code_"
SLOWLY = 0.1

BLIND = 1 / 3  # of what is asked of the past is asked without the present picture
CAPTIONS = 0.3  # of the episodes have one for their last question
# What each loss counts (remembering/losses.py).
COUNTS = {
    "align": {"spoken": 1.0, "aligned": 1.0},
    "remember": {"spoken": 1.0, "aligned": 0.1, "addresses": 0.5, "gates": 0.1},
}

ADAPTER = {"intermediate_size": 256, "prefix_tokens": 8, "pooling_heads": 4}
MEMORY = {
    "slots": 64,
    "width": 128,
    "prior_scale": 8.0,
    "noise": 0.1,
    "wiring": "tokens",
    "written_tokens": 4,
    "order_layers": 1,
    "order_width": 128,
    "bidirectional": False,  # so that a picture can be written when it comes
    "ridge": 0.01,
    "heads": 2,
}
SCOPE = {"hidden_size": 64}


def recipe(steps: Mapping[str, int] = STEPS, seed: int = 0) -> MicroVLMTiny:
    """The recipe as it was used, or with other numbers of steps and another seed."""
    return MicroVLMTiny(episode_tokenizer(), steps, seed)


class Told(NamedTuple):
    """A batch: what the tower sees of past pictures and of the present one, the last,
    (b, n + 1, 1 + p, c), what is asked, the number of the picture that each question
    means (b, q), -1 for the present one, and a caption of the present one (b, w), ids
    and what of them is no padding."""

    seen: np.ndarray
    rows: AskedRows
    meant: np.ndarray
    captions: np.ndarray
    is_word: np.ndarray


class MicroVLMTiny(Recipe):
    """Where the weights start, the batch of every step, and the loss."""

    name = "microvlm-tiny"
    max_norm = 1.0
    momentum = 0.1  # of statistics, of which it has none

    def __init__(
        self, tokenizer: text.Tokenizer, steps: Mapping[str, int] = STEPS, seed: int = 0
    ):
        self.tokenizer, self.seed = tokenizer, seed
        self.config = MicroVLMConfig.from_json(config_json(tokenizer))
        self.stages = tuple(
            Stage(name, steps[name], PEAK, min(100, steps[name] // 8), floor, learns)
            for name, (floor, learns) in HOW.items()
        )
        self.optimizer = AdamW(
            betas=(0.9, 0.98),
            weight_decay=matrices_only(0.05),
            scale=lambda name: SLOWLY if name.startswith(CODING) else 1.0,
        )
        self.speech = Speech(tokenizer)
        tower = Weights(frozen_tower(microvlm.TOWER))
        self.pool = Pool(
            lambda pixels: _look(pixels, tower, self.config), seed, POOL, SIDE
        )

    def initial(self) -> dict[str, np.ndarray]:
        """The weights before the first step: a tower that has learnt, and chance."""
        shapes = microvlm.expected_shapes(self.config, tied=True)
        rng = np.random.default_rng([self.seed, 0])
        weights = initial_weights(shapes, rng, narrow=(microvlm.DECODER,))
        return weights | frozen_tower(microvlm.TOWER)

    def enter(self, stage, tensors):
        """The memory begins with what the decoder has learnt, and with a count of the
        pictures."""
        if stage.name == "align":
            return tensors
        return {**tensors, **as_tokens(tensors, self.config), **as_a_count(tensors)}

    def batch(self, step: int) -> list[Told]:
        """Episodes of one length, composed of the pool, and what is asked of each."""
        rng = np.random.default_rng([self.seed, 1, step])
        is_blind, length, kinds = 0.0, 1, PRESENT
        if step >= self.stages[0].steps:
            is_blind, length, kinds = BLIND, int(rng.integers(1, MOST + 1)), KINDS
        chosen = [scenes.choose(rng, len(self.pool), length) for _ in range(EPISODES)]
        rows, meant, captions = [], [], []
        for numbers in chosen:
            *past, present = (self.pool[number] for number in numbers)
            episode = scenes.Episode(tuple(past), present)
            asked = scenes.recollections(episode, rng, QUESTIONS, weights=kinds)
            caption = scenes.caption(episode.present, rng)
            row, of = self.speech.row(asked, rng, is_blind)
            if kinds is PRESENT or rng.random() < CAPTIONS:
                row[-1], of[-1] = self.speech.described(caption), -1
            rows.append(row)
            meant.append(of)
            captions.append(self.speech.ids(" " + caption))
        if kinds is PRESENT:
            chosen = [numbers[-1:] for numbers in chosen]
        return [
            Told(
                self.pool.seen(np.stack(chosen)),
                ask_in_rows(rows, self.config.adapter.tokens),
                np.array(meant),
                *_padded(captions),
            )
        ]

    def loss(self, weights, told: Told, training: Training, stage: Stage):
        """The loss of the batch, and what is worth noting about it."""
        config, rows = self.config, told.rows
        b, pictures, patches, width = told.seen[:, :, 1:].shape
        flat = told.seen[:, :, 1:].reshape(b * pictures, patches, width)
        tokens = microvlm.prefix(flat, weights, config)
        tokens = tokens.reshape(b, pictures, *tokens.shape[1:])
        read = passes.read_rows(tokens[:, -1], rows, weights, config)
        classes = told.seen[:, -1, 0]
        parts = {"aligned": aligned_loss(classes, told.captions, told.is_word, weights)}
        slots = None
        if stage.name == "remember":
            stored = microvlm_memory.store(tokens[:, :-1], weights, config)
            found = microvlm_memory.recall(
                stored.memory, read.questions, weights, config
            )
            slots = passes.own_slots(
                found.read, gate_bias(found.gate), rows, weights, config
            )
            parts["addresses"] = address_loss(
                found.address, stored.addresses, told.meant, pictures - 1
            )
            parts["gates"] = gate_loss(found.gate, told.meant)
        said = passes.answer_rows(rows, read, weights, config, slots)
        parts["spoken"] = spoken_loss(said, rows)
        loss = sum(part * COUNTS[stage.name][name] for name, part in parts.items())
        noted = {name: float(value_of(part)) for name, part in parts.items()}
        right = right_answers(value_of(said), rows)
        for name, which in (("past", told.meant >= 0), ("present", told.meant < 0)):
            if which.any():
                noted[name] = float(right[which].mean())
        return loss, {**noted, "pictures": b * pictures}


def _look(pixels, tower, config):
    """Class token and patches: (n, 3, s, s) -> (n, 1 + p, c)."""
    own, patches = microvlm.see(pixels, tower, config)
    return np.concatenate([own[:, None], patches], axis=1)


def _padded(lists):
    """(ids, is_word) of lists of ids, filled up at the end."""
    lengths = np.array([[len(ids)] for ids in lists])
    is_word = np.arange(lengths.max()) < lengths
    ids = np.zeros(is_word.shape, np.int64)
    ids[is_word] = np.concatenate(lists)
    return ids, is_word


def _aligns(name):
    return name.startswith((microvlm.DECODER, microvlm.ADAPTER, microvlm.ALIGNMENT))


def _learns(name):
    return not name.startswith(microvlm.TOWER)


# Of each stage the share of its peak that the rate falls to, and what learns.
HOW = {"align": (0.05, _aligns), "remember": (0.01, _learns)}


def config_json(tokenizer: text.Tokenizer) -> dict[str, Any]:
    """The model's `config.json`."""
    end = tokenizer.token_id(END)
    return {
        "model_type": "microvlm_v",
        "tie_word_embeddings": True,
        "vision_config": clip_tiny.VISION,
        "text_config": {**DECODER, "vocab_size": len(tokenizer), "eos_token_id": end},
        "adapter": ADAPTER,
        "memory": MEMORY,
        "scope": SCOPE,
    }


def publish(recipe: MicroVLMTiny, state: State, directory: str | Path) -> None:
    """Write the model of a run, for anyone to load."""
    config = config_json(recipe.tokenizer)
    publishing.write(
        directory,
        publishing.learnt(state),
        recipe,
        state,
        SIDE,
        config=config,
        generation_config={
            "eos_token_id": config["text_config"]["eos_token_id"],
            "do_sample": False,
        },
    )


def score(
    model: Remembering, count: int, seed: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[str, dict[str, Share]]]:
    """What is remembered of `count` fresh episodes, with the memory and without."""
    speech = Speech(model.tokenizer)
    yield from scores.score(model, speech, count, seed, progress)


def limits(
    model: Remembering, count: int, seed: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[str, dict[str, Spread]]]:
    """What is remembered of few pictures and of many."""
    speech = Speech(model.tokenizer)
    yield from scores.limits(model, speech, count, seed, progress)
