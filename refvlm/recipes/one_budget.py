r"""One task, one budget: every way to join learns from the same pictures as long.

    recipe = one_budget.recipe("cross", seed=1)
    state = running.run(recipe, "runs/cross-1")            # resumes, as any run
    answers = one_budget.answering(recipe, state.tensors)  # for metrics.scene_scores

The tower is that of `weights/clip-tiny`, frozen. With one seed the decoder begins with
the same numbers in every joint, and sees the same scenes, captions and questions in the
same order. There is no frame of a chat: a question, a mark, and the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from .. import checkpoint, ops, scenes, text
from ..blocks.training_mode import Training
from ..checkpoint import Weights
from ..models import clip, llama
from ..models.causal import Packing
from ..models.clip_config import VisionConfig
from ..pretrained.shipped import shipped
from ..text.chat import END
from ..train.initialization import initial_weights
from ..train.loop import Recipe, Stage
from ..train.optimizers import AdamW, matrices_only
from . import clip_tiny
from .joints import DECODER, EMBEDDING, GATES, JOINT, JOINTS
from .packing import PackedTexts, Text, pack
from .pixels import to_pixels
from .telling import Telling, speaking_loss, words_of_answers

STEPS, PEAK = 700, 3e-3
BATCH, QUESTIONS = 16, 4
WIDTH, LAYERS, INNER, HEADS = 96, 2, 256, 4
LONGEST = 60  # tokens of an answer
AT_ONCE = 100


def recipe(
    joint: str, steps: int = STEPS, peak: float = PEAK, seed: int = 1
) -> OneBudget:
    """The recipe of one way to join, a row of `JOINTS`."""
    if joint not in JOINTS:
        raise ValueError(f"no joint {joint!r:.40}: there are {', '.join(JOINTS)}")
    return OneBudget(joint, steps, peak, seed)


class Told(NamedTuple):
    """A batch: what the tower saw (b, 1 + patches, width), what is said about it, and
    how much all of its words count."""

    features: np.ndarray
    packed: PackedTexts
    answers: float


class OneBudget(Telling, Recipe):
    """Where the weights start, the batch of every step, and the loss."""

    max_norm = 1.0
    momentum = 0.1  # of statistics, of which it has none
    kinds = dict.fromkeys(scenes.KINDS, 1.0)
    questions = QUESTIONS

    def __init__(self, joint: str, steps: int, peak: float, seed: int):
        tokenizer = text.load_tokenizer(shipped("fastvlm-tiny"))
        self.joint, self.seed = JOINTS[joint], seed
        super().__init__(tokenizer, self.joint.tokens(clip_tiny.GRID**2))
        self.name = f"one-budget-{joint}"
        self.end = tokenizer.token_id(END)
        self.config = llama.LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=INNER,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            head_dim=WIDTH // HEADS,
            tie_word_embeddings=True,
        )
        self.stages = (Stage("join", steps, peak, steps // 8, 0.01),)
        self.optimizer = AdamW(betas=(0.9, 0.98), weight_decay=matrices_only(0.05))

    def initial(self) -> dict[str, np.ndarray]:
        """The weights before the first step: the decoder's first, the same for all."""
        decoder, joint = self.shapes()
        rng = np.random.default_rng([self.seed, 0])
        weights = initial_weights(decoder | joint, rng, narrow=(EMBEDDING,))
        shut = {n: np.zeros_like(a) for n, a in weights.items() if n.endswith(GATES)}
        return weights | shut

    def shapes(self):
        """The tensors of the decoder, and those of the joint."""
        decoder = llama.expected_shapes(self.config)
        joint = self.joint.shapes(clip_tiny.VISION["hidden_size"], self.config)
        return (
            {f"{DECODER}.{name}": shape for name, shape in decoder.items()},
            {f"{JOINT}.{name}": shape for name, shape in joint.items()},
        )

    @property
    def prefix(self) -> list[int]:
        """The places of the picture's tokens, where the joint splices it in."""
        return [self.image] * self.image_tokens

    def question_ids(self, question: str) -> list[int]:
        """The question and a mark, behind which the answer begins."""
        if question not in self._known:
            ids = self.tokenizer.encode(f"\n{question}", markers=False)
            self._known[question] = [*ids, self.end]
        return self._known[question]

    def batch(self, step: int) -> list[Told]:
        """Fresh scenes, what the tower sees of them, and what is said about them."""
        rng = np.random.default_rng([self.seed, 1, step])
        drawn = [scenes.sample(rng) for _ in range(BATCH)]
        seen = features([scenes.draw(scene, clip_tiny.SIDE) for scene in drawn])
        said = [self.texts(scene, rng) for scene in drawn]
        packed = self.hide(pack(self.prefix, said), rng)
        return [Told(seen, packed, words_of_answers(said))]

    def loss(self, weights, told: Told, training: Training, stage: Stage):
        """The loss of the batch, and what is worth noting about it."""
        hidden = self.hidden(told.features, told.packed, weights)
        loss = speaking_loss(
            hidden,
            lambda states: ops.linear(states, weights[EMBEDDING]),
            told.packed,
            told.answers,
        )
        return loss, {"tokens": told.packed.ids.size}

    def hidden(self, features, packed: PackedTexts, weights):
        """The final hidden state of every token."""
        layout = self.sight(packed.layout)
        return self.joint.forward(features, packed.ids, layout, weights, self.config)

    def sight(self, layout: Packing) -> Packing:
        """Who sees whom; where the joint wants it, the picture's tokens both ways."""
        if not self.joint.both_ways:
            return layout
        sees, picture = layout.sees.copy(), slice(self.image_tokens)
        sees[:, picture, picture] = True
        return layout._replace(sees=sees)


@cache
def _tower():
    weights = checkpoint.load(shipped("clip-tiny")).scope(clip.VISION)
    config = VisionConfig.from_json(clip_tiny.VISION)
    return Weights({name: np.array(weights[name]) for name in weights}), config


def features(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """What the frozen tower sees: a class token and 8 x 8 patches of each picture,
    (b, 65, 96), behind its last norm."""
    weights, config = _tower()
    return clip.vision_tower(to_pixels(pictures), weights, config)


def answering(recipe: OneBudget, tensors) -> Callable:
    """What `metrics.scene_scores` asks: `answers(pictures, prompts)`, greedily, and
    without a cache, so that no joint needs one."""
    weights = Weights(tensors, "the run")

    def answers(pictures, prompts):
        ids = [recipe.question_ids(prompt) for prompt in prompts]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        said = [""] * len(ids)
        for start in range(0, len(order), AT_ONCE):
            some = order[start : start + AT_ONCE]
            seen = features([pictures[i] for i in some])
            replies = greedy(recipe, weights, seen, [ids[i] for i in some])
            for i, reply in zip(some, replies):
                said[i] = recipe.tokenizer.decode(reply, markers=False).strip()
        return said

    return answers


def greedy(recipe: OneBudget, weights, seen, prompts) -> list[list[int]]:
    """The likeliest next id, again and again, until each row has said its end."""
    said: list[list[int]] = [[] for _ in prompts]
    live = list(range(len(prompts)))
    while live:
        rows = [[*prompts[i], *said[i]] for i in live]
        packed = pack(recipe.prefix, [[Text(row, [])] for row in rows])
        hidden = recipe.hidden(seen[live], packed, weights)
        last = [recipe.image_tokens + len(row) - 1 for row in rows]
        scores = ops.linear(hidden[np.arange(len(live)), last], weights[EMBEDDING])
        for i, chosen in zip(live, ops.argmax(scores, dim=-1).tolist()):
            said[i].append(chosen)
        live = [i for i in live if said[i][-1] != recipe.end and len(said[i]) < LONGEST]
    return [row[:-1] if row[-1] == recipe.end else row for row in said]
