r"""A VLM that reads fewer of its picture's tokens, each at the place that it had.

    tower --> n tokens --thin out--> k tokens and their places --> decoder

The decoder was trained on all n, side by side. What is left keeps its position, so that
the text stands as far from it as ever, and a gap is where something was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..arguments import several
from ..blocks import tables
from ..blocks.token_reduction.clustering import kmeans_tokens
from ..blocks.token_reduction.merging import repeated_merge
from ..blocks.token_reduction.pruning import (
    attention_scores,
    check_kept,
    prune_tokens,
    token_norms,
)
from ..generate.decoding import decode
from ..models import fastvlm, qwen2
from ..models.causal import Packing
from ..models.splicing import IMAGE

AT_ONCE = 64


class FewerTokens:
    """A FastVLM with `keep` tokens for each picture, chosen or made in one of `WAYS`.

    `random` and `norm` keep some; `attention` keeps those that the prompt's last token
    looks at most in the second layer, as FastV does, and reads the prompt twice for it;
    `merged` and `clusters` make means, each at the place of the token nearest to it.
    Without `gaps`, positions close up over what is gone.
    """

    def __init__(self, vlm, keep: int, way: str, seed: int = 0, gaps: bool = True):
        if way not in WAYS:
            raise ValueError(
                f"FewerTokens: way is {way!r:.40}, not one of {', '.join(WAYS)}"
            )
        self.vlm, self.keep, self.way, self.gaps = vlm, keep, way, gaps
        self.rng = np.random.default_rng(seed)

    def answers(self, pictures, prompts, max_new_tokens: int = 96) -> list[str]:
        """An answer to each prompt about the picture beside it, greedily."""
        pictures = several("answers", "pictures", pictures)
        ids = [self.vlm.prompt_ids(prompt)[0] for prompt in prompts]
        said = [""] * len(ids)
        for length in sorted({len(row) for row in ids}):
            alike = [i for i, row in enumerate(ids) if len(row) == length]
            for start in range(0, len(alike), AT_ONCE):
                some = alike[start : start + AT_ONCE]
                shown = self._look([pictures[i] for i in some])
                new = self._say(shown, np.stack([ids[i] for i in some]), max_new_tokens)
                for i, row in zip(some, new):
                    said[i] = self._text(row)
        return said

    def thinned(self, shown, ids):
        """The tokens (b, k, h) that are left of (b, n, h), and their places (b, k)."""
        check_kept("FewerTokens", "keep", self.keep, shown.shape[1])
        return WAYS[self.way](Shown(shown, ids, self.vlm, self.rng), self.keep)

    def _look(self, pictures):
        """What the tower makes of pictures, of each once: (b, n, hidden)."""
        apart = {id(picture): picture for picture in pictures}
        pixels = self.vlm.preprocessor.batch(list(apart.values()))
        pixels = pixels.astype(np.float32, copy=False)
        seen = fastvlm.encode_image(pixels, self.vlm.weights, self.vlm.config)
        order = {key: number for number, key in enumerate(apart)}
        return seen[[order[id(picture)] for picture in pictures]]

    def _say(self, shown, ids, new_tokens):
        """The new ids of prompts of one length, (b, new)."""
        tokens, places = self.thinned(shown, ids)
        reader = Reader(self.vlm, new_tokens)
        whole = shown.shape[1] if self.gaps else None
        logits = reader.read(ids, tokens, places, whole)
        steps = decode(logits, reader.step, new_tokens, self.vlm.stop_ids)
        return np.stack(list(steps), axis=1)

    def _text(self, ids):
        ends = np.flatnonzero(np.isin(ids, list(self.vlm.stop_ids)))
        kept = ids[: ends[0]] if ends.size else ids
        return self.vlm.tokenizer.decode(kept.tolist(), markers=False).strip()


class Reader:
    """A decoder that is told the position of every token; it has a cache."""

    def __init__(self, vlm, new_tokens: int = 0):
        self.vlm, self.new_tokens = vlm, new_tokens

    def read(self, ids, tokens, places, whole=None, watch: list | None = None):
        """The scores behind prompts (b, t), each with one `IMAGE` at the same
        place, for which stand tokens (b, k, h): (b, vocabulary).

        places (b, k) are those of the tokens among the `whole` picture's; where it is
        None, the tokens stand side by side.
        """
        mark = place_of_picture(ids)
        before, after = ids[:, :mark], ids[:, mark + 1 :]
        rows, kept = tokens.shape[:2]
        end = mark + (kept if whole is None else whole)
        places = np.arange(kept) if whole is None else places
        stretches = (
            (np.arange(mark), mark),
            (mark + places, kept),
            (end + np.arange(after.shape[1]), after.shape[1]),
        )
        positions = np.concatenate(
            [np.broadcast_to(stretch, (rows, n)) for stretch, n in stretches], axis=1
        )
        self.position = end + after.shape[1]
        room = positions.shape[1] + self.new_tokens
        self.cache = qwen2.new_cache(self.vlm.config.text, rows, room, tokens.dtype)
        parts = [self._words(before), tokens, self._words(after)]
        embeddings = np.concatenate(parts, axis=1)
        return self._go_on(embeddings, positions, watch)

    def step(self, ids):
        """The scores behind one more token of each row."""
        positions = np.full((len(ids), 1), self.position)
        self.position += 1
        return self._go_on(self._words(ids[:, None]), positions)

    def _words(self, ids):
        return tables.look_up(ids, self.vlm.weights, fastvlm.EMBEDDING)

    def _go_on(self, embeddings, positions, watch=None):
        past, new = self.cache.length, embeddings.shape[1]
        sees = ops.causal_mask(new, past + new, offset=past)[None]
        hidden = qwen2.qwen2(
            embeddings,
            self.vlm.weights.scope(fastvlm.DECODER),
            self.vlm.config.text,
            cache=self.cache,
            packing=Packing(positions, sees),
            watch=watch,
            last=1,
        )
        return fastvlm.head(hidden, self.vlm.weights)[:, 0]


def place_of_picture(ids) -> int:
    """Where the prompts (b, t) of one length have their picture, all at one place."""
    places = np.flatnonzero((ids == IMAGE).all(axis=0))
    if len(places) != 1 or (ids == IMAGE).sum() != len(ids):
        raise ValueError(
            f"FewerTokens: each prompt has one picture, {IMAGE}, at the same "
            "place as the others"
        )
    return int(places[0])


def looked_at(vlm, shown, ids, layer: int = 1):
    """How much the last token of each prompt looks at each token of its picture in one
    layer, the second unless told: (b, n)."""
    places = np.broadcast_to(np.arange(shown.shape[1]), shown.shape[:2])
    watch: list[np.ndarray] = []
    Reader(vlm).read(ids, shown, places, watch=watch)
    mark = place_of_picture(ids)
    scores = attention_scores(watch[layer], query=-1)
    return scores[:, mark : mark + shown.shape[1]]


class Shown(NamedTuple):
    """What is thinned out: a picture's tokens (b, n, h), each for a prompt of (b, t)
    that a model reads; and the generator of what is drawn."""

    tokens: Any
    ids: np.ndarray
    vlm: Any
    rng: np.random.Generator


def by_chance(shown: Shown, keep: int):
    """Any tokens."""
    scores = shown.rng.random(shown.tokens.shape[:2])
    return prune_tokens(shown.tokens, scores, keep)


def longest(shown: Shown, keep: int):
    """The longest tokens."""
    return prune_tokens(shown.tokens, token_norms(shown.tokens), keep)


def most_looked_at(shown: Shown, keep: int):
    """The tokens that `looked_at` says are looked at most."""
    scores = looked_at(shown.vlm, shown.tokens, shown.ids)
    return prune_tokens(shown.tokens, scores, keep)


def merged(shown: Shown, keep: int):
    """`repeated_merge`, each mean where the token nearest to it stood."""
    means, _, groups = repeated_merge(shown.tokens, None, keep)
    return means, representatives(shown.tokens, means, groups)


def clustered(shown: Shown, keep: int):
    """The means of `kmeans_tokens`, each where the token nearest to it stood."""
    means, _, groups = kmeans_tokens(shown.tokens, keep, shown.rng)
    return means, representatives(shown.tokens, means, groups)


def representatives(x, means, groups):
    """The place of the token nearest to the mean of its group, for each group: x
    (b, n, d), means (b, k, d), groups (b, n) -> (b, k)."""
    away = np.square(x[:, :, None] - means[:, None]).sum(axis=-1)
    is_member = groups[..., None] == np.arange(means.shape[1])
    return np.where(is_member, away, np.inf).argmin(axis=1)


WAYS: dict[str, Callable] = {  # tokens (b, keep, h), and their places (b, keep)
    "random": by_chance,
    "norm": longest,
    "attention": most_looked_at,
    "merged": merged,
    "clusters": clustered,
}
