r"""Decoding: choose a token, feed it back, until a stop or a limit.

$\hat y_t = \arg\max_y P(y \mid y_{<t}, x_v)$, one token at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np

from .. import ops

Watch = Callable[[np.ndarray, np.ndarray], None]


def greedy(logits):
    r"""The likeliest token, $\arg\max_y s_y$; where two tie, the lower id.

    logits (b, vocabulary) -> ids (b,).
    Source: [Cortes] 4.4. Oracle: transformers' generate(do_sample=False).
    """
    return ops.argmax(logits, dim=-1)


def decode(
    logits,
    step: Callable[[np.ndarray], np.ndarray],
    max_new_tokens: int,
    stop_ids: Collection[int] = (),
    choose: Callable[[np.ndarray], np.ndarray] = greedy,
    watch: Watch | None = None,
) -> Iterator[np.ndarray]:
    """Yield new ids (b,), one step at a time, until every row has stopped.

    `logits` (b, vocabulary) are those after the prompt; `step(ids)` gives the next.
    A row that has met a stop id is fed, and yields, that stop id again.
    `watch(logits, ids)` sees what was chosen from.
    """
    stops = np.array(sorted(stop_ids), dtype=np.int64)
    stopped = np.zeros(len(logits), bool)
    ids = None
    for position in range(max_new_tokens):
        chosen = _checked(choose(logits), logits)
        if watch is not None:
            watch(logits, chosen)
        ids = chosen if ids is None else np.where(stopped, ids, chosen)
        stopped |= np.isin(ids, stops)
        yield ids
        if stopped.all() or position == max_new_tokens - 1:
            return
        logits = step(ids)


def _checked(chosen, logits):
    """What `choose` gave: an id for each row, each one of the vocabulary."""
    ids, (rows, vocabulary) = np.asarray(chosen), logits.shape
    if ids.shape != (rows,) or ids.dtype.kind not in "iu":
        raise ValueError(
            f"choose must give whole numbers ({rows},), an id for each row of logits, "
            f"not {ids.dtype} {ids.shape}"
        )
    if not ((ids >= 0) & (ids < vocabulary)).all():
        raise ValueError(
            f"choose must give ids from 0 to {vocabulary - 1}, not {ids.tolist()}"
        )
    return ids


class Confidence:
    r"""How likely the least likely token of an answer was,
    $\min_t P(y_t \mid y_{<t}, x_v)$, for each row: `least` (b,).

    A `watch` for one answer: it remembers. Probabilities are the model's own, before
    any rule. What a row is fed after it has stopped does not count; the stop itself
    does. Where a text has many right continuations, a low one is no sign of a mistake.
    """

    def __init__(self, stop_ids: Collection[int] = ()):
        self.stops = np.array(sorted(stop_ids), dtype=np.int64)
        self.least, self.stopped = np.ones(1), np.zeros(1, bool)  # as many as rows come
        self.seen = False

    def __call__(self, logits, ids):
        self.seen = True
        likely = ops.softmax(logits, dim=-1)[np.arange(len(ids)), ids]
        least = np.minimum(self.least, likely)
        self.least = np.where(self.stopped, self.least, least)
        self.stopped = self.stopped | np.isin(ids, self.stops)

    def of(self, rows: int) -> np.ndarray:
        """`least` for so many rows; NaN where no choice was seen, as in a search."""
        return self.least if self.seen else np.full(rows, np.nan)
