r"""The recipe of gpt2-tiny: a GPT-2 that learns what is said in the drawn world.

    stage  speak  every next token of captions, one behind the other

There are no pictures here: of a caption it can learn the words, their order, and how
often each comes. What is published is no part of the package; a few minutes make it.
A row is cut out of a stream, as GPT-2's were: captions, each behind `<|endoftext|>`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import ops, pretrained, scenes, text
from ..blocks.training_mode import Training
from ..metrics.limits import over_rounds
from ..metrics.shares import Share, Spread, Surprise, share_of
from ..models.decoders import DECODERS
from ..objectives.language import IGNORE, language_modeling_loss
from ..parallel import one_blas_thread
from ..pretrained.language_model import LanguageModel
from ..scenes.world import TRAINING_PAIRS
from ..text.bpe.learning import train_byte_level
from ..text.chat import NOTHING
from ..train.initialization import initial_weights
from ..train.loop import Recipe, Stage
from ..train.optimizers import AdamW, matrices_only
from ..train.state import State
from . import publishing

MODEL = LanguageModel  # what `refvlm.load` makes of what is published

FAMILY = DECODERS["gpt2"]
CONFIG = FAMILY.config
SPEAK = 1500  # steps
ROWS, SHARDS, TOKENS = 8, 2, 64
VOCABULARY = 512  # at most; the captions have fewer words
PEAK = 8e-3
LONGEST = 48  # tokens of a sentence that is sampled
TEMPERATURES = 0.5, 1.0, 1.5
AT_ONCE = 100

DECODER: dict[str, Any] = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "n_positions": 128,
    "n_embd": 64,
    "n_layer": 3,
    "n_head": 2,
    "n_inner": None,
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": True,
}


def recipe(speak: int = SPEAK, seed: int = 0) -> GPT2Tiny:
    """The recipe as it is used, or with another number of steps and another seed."""
    return GPT2Tiny(caption_tokenizer(), speak, seed)


def caption_tokenizer(scenes_seen: int = 2000) -> text.Tokenizer:
    """Every word of the captions becomes one token."""
    rng = np.random.default_rng(0)
    said = [caption(rng) for _ in range(scenes_seen)]
    return train_byte_level(said, VOCABULARY, (NOTHING,))


def caption(rng: np.random.Generator, split: str = "train") -> str:
    """What is said about a fresh scene."""
    return scenes.caption(scenes.sample(rng, split), rng)


class Rows(NamedTuple):
    """Some rows of a batch (rows, tokens), and how many tokens the whole batch asks
    for."""

    ids: np.ndarray
    asked: int


class GPT2Tiny(Recipe):
    """Where the weights start, the batch of every step, and the loss."""

    name = "gpt2-tiny"
    max_norm = 1.0
    momentum = 0.1  # of statistics, of which it has none

    def __init__(self, tokenizer: text.Tokenizer, speak: int, seed: int = 0):
        self.tokenizer, self.seed = tokenizer, seed
        self.end = tokenizer.token_id(NOTHING)
        self.config = FAMILY.config.from_json(config_json(tokenizer))
        self.stages = (Stage("speak", speak, PEAK, min(100, speak // 8), 0.01),)
        self.optimizer = AdamW(betas=(0.9, 0.98), weight_decay=matrices_only(0.1))

    def initial(self) -> dict[str, np.ndarray]:
        """The weights before the first step, a function of the seed.

        As GPT-2's: what a layer adds begins smaller, by the root of how many add.
        """
        shapes = FAMILY.expected_shapes(self.config, tied=True)
        rng = np.random.default_rng([self.seed, 0])
        weights = initial_weights(shapes, rng, narrow=(FAMILY.scope,))
        less = np.float32((2 * self.config.n_layer) ** -0.5)
        return {
            name: array * less if name.endswith("c_proj.weight") else array
            for name, array in weights.items()
        }

    def batch(self, step: int, shards: int = SHARDS) -> list[Rows]:
        """Rows of fresh captions, in shards. Every other row begins without a mark, so
        that a text may, too."""
        rng = np.random.default_rng([self.seed, 1, step])
        ids = np.stack([self.row(rng, number % 2) for number in range(ROWS)])
        asked = ROWS * (TOKENS - 1)
        return [Rows(part, asked) for part in np.split(ids, shards)]

    def row(self, rng: np.random.Generator, start: int) -> np.ndarray:
        """TOKENS ids of a stream of captions, from its token `start`."""
        stream: list[int] = []
        while len(stream) < start + TOKENS:
            said = self.tokenizer.encode(caption(rng), markers=False)
            stream += [self.end, *said]
        return np.array(stream[start : start + TOKENS])

    def loss(self, weights, rows: Rows, training: Training, stage: Stage):
        """The shard's share of the loss, and of what is worth noting about it."""
        hidden = FAMILY.forward(
            ops.embedding(rows.ids, weights[FAMILY.embedding]),
            weights.scope(FAMILY.scope),
            self.config,
        )
        logits = FAMILY.logits(hidden, weights)
        surprise = language_modeling_loss(logits, rows.ids, reduction="sum")
        return surprise * (1 / rows.asked), {"tokens": rows.ids.size}


def config_json(tokenizer: text.Tokenizer) -> dict[str, Any]:
    """The model's `config.json`, as transformers reads it."""
    end = tokenizer.token_id(NOTHING)
    ends = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    return {**DECODER, "vocab_size": len(tokenizer), **ends}


def publish(recipe: GPT2Tiny, state: State, directory: str | Path) -> None:
    """Write the model of a run in Hugging Face's layout, and its curve."""
    pretrained.save(
        directory,
        publishing.learnt(state),
        recipe.tokenizer,
        config=config_json(recipe.tokenizer),
        generation_config={"eos_token_id": recipe.end, "pad_token_id": recipe.end},
    )
    publishing.write_curve(Path(directory) / publishing.CURVE, state)


def sentences(
    model: LanguageModel, prompts: Sequence[str], heat: float, rng: np.random.Generator
) -> list[str]:
    """What the model says from each prompt on, sampled at a temperature, up to a mark.

    An empty prompt is the mark itself, after which a sentence begins.
    """
    tokenizer = model.tokenizer
    end = tokenizer.token_id(NOTHING)
    given = [[end, *tokenizer.encode(prompt, markers=False)] for prompt in prompts]
    ids, mask = padded(given, end)
    with one_blas_thread:  # two would only get into each other's way
        new = model.generate(
            ids, LONGEST, mask, rng, do_sample=True, temperature=heat, top_k=0
        )
    said = (row[: row.index(end)] if end in row else row for row in new.tolist())
    whole = ([*before[1:], *after] for before, after in zip(given, said))
    return [tokenizer.decode(row, markers=False) for row in whole]


def padded(rows: Sequence[Sequence[int]], pad: int):
    """(ids, mask) of rows of different lengths, padded on the left."""
    length = max(map(len, rows))
    ids = np.array([[pad] * (length - len(row)) + [*row] for row in rows])
    counts = np.array([len(row) for row in rows])[:, None]
    return ids, np.arange(length) >= length - counts


def understood(sentence: str) -> bool:
    """Whether the world's grammar parses it."""
    try:
        scenes.parse(sentence)
    except ValueError:
        return False
    return True


def names_held_out(sentence: str) -> bool:
    """Whether it names a pair of colour and shape that training never named."""
    return any(f"{colour} {shape}" in sentence for colour, shape in scenes.HELD_OUT)


def score(
    model: LanguageModel, count: int, seed: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[str, dict[str, Share | Surprise]]]:
    """How surprising `count` fresh captions of each split are, and what as many sampled
    sentences are like, at several temperatures."""
    for split in scenes.SPLITS:
        rng = np.random.default_rng([2**31, seed, *split.encode()])
        yield split, read(model, [caption(rng, split) for _ in range(count)])
        progress(count, count)
    for heat in TEMPERATURES:
        rng = np.random.default_rng([2**31, seed, round(100 * heat)])
        said: list[str] = []
        while len(said) < count:
            some = min(AT_ONCE, count - len(said))
            said += sentences(model, [""] * some, heat, rng)
            progress(len(said), count)
        yield f"sampled at temperature {heat:g}", spoken(said)


def read(model, texts: Sequence[str]) -> dict[str, Share | Surprise]:
    """How surprising texts are, each behind a mark and up to the next."""
    end = model.tokenizer.token_id(NOTHING)
    nats, right = 0.0, []
    for start in range(0, len(texts), AT_ONCE):
        some = texts[start : start + AT_ONCE]
        rows = [
            [end, *model.tokenizer.encode(text, markers=False), end] for text in some
        ]
        ids, mask = padded(rows, end)
        with one_blas_thread:
            logits = model.logits(ids, mask)
        labels = np.where(mask, ids, IGNORE)
        labels[np.arange(len(ids)), mask.argmax(axis=1)] = IGNORE  # the first mark
        nats += float(language_modeling_loss(logits, labels, reduction="sum"))
        asked = labels[:, 1:] != IGNORE
        right += (ops.argmax(logits[:, :-1], dim=-1) == labels[:, 1:])[asked].tolist()
    return {
        "perplexity of a token": Surprise(nats, len(right)),
        "likeliest token": share_of(right),
    }


def spoken(said: Sequence[str]) -> dict[str, Share | Surprise]:
    """What sampled sentences are like."""
    return {
        "sentences of the world": share_of(map(understood, said)),
        "naming a held-out pair": share_of(map(names_held_out, said)),
    }


def limits(
    model: LanguageModel, count: int, seed: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[str, dict[str, Spread]]]:
    """Sentences that begin as none of training did: whether they end well."""

    def one_round(size, seed):
        rng = np.random.default_rng([2**31, seed])
        return {
            name: {
                "sentences of the world": share_of(
                    map(understood, sentences(model, begun, 1.0, rng))
                )
            }
            for name, begin in BEGINNINGS.items()
            for begun in [[begin(rng) for _ in range(size)]]
        }

    yield from over_rounds(one_round, count, seed, progress).items()


def _thing(rng, pairs):
    colour, shape = pairs[rng.integers(len(pairs))]
    return f"a {rng.choice(scenes.SIZES)} {colour} {shape}"


def _list(rng, count):
    things = [_thing(rng, TRAINING_PAIRS) for _ in range(count)]
    return f"from left to right: {', '.join(things)}"


BEGINNINGS: dict[str, Callable[[np.random.Generator], str]] = {
    "begun with a pair held out": lambda rng: _thing(rng, scenes.HELD_OUT),
    "begun with four in a list": lambda rng: _list(rng, 4),
    "begun with six in a list": lambda rng: _list(rng, 6),
}
