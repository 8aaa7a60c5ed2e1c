r"""How surprised a language model is by a text that is longer than its context."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import ops

AT_ONCE = 64  # tokens whose log-probabilities are held beside their scores


def surprise(
    logits: Callable[[np.ndarray], np.ndarray],
    ids: np.ndarray,
    context: int,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    r"""Nats by which each token but the first surprises,
    $-\log P(y_t \mid y_{<t})$: ids (t,) -> (t - 1,).

    `logits` makes (1, n, vocabulary) of (1, n) ids, n at most `context`. A longer text
    is read in windows that overlap by half: behind the first window every token is told
    from more than half a context, and each counts once. The mean is the loss,
    and its exponential the perplexity.

    Source: [Cortes] 6.3. Oracle: torch.nn.functional.cross_entropy.
    """
    if len(ids) < 2:
        raise ValueError(
            "the text is one token, or none, and there is nothing to be surprised by: "
            "give more text"
        )
    told = []
    known, start = 1, 0  # the first token of all is not told from anything
    while known < len(ids):
        end = min(start + context, len(ids) - 1)
        scores = logits(ids[None, start:end])[0]
        for at in range(known, end + 1, AT_ONCE):
            asked = ids[at : min(at + AT_ONCE, end + 1)]
            answered = scores[at - 1 - start :][: len(asked)]
            told.append(ops.cross_entropy(answered, asked, reduction="none"))
        known, start = end + 1, end - context // 2
        if progress is not None:
            progress(known, len(ids))
    return np.concatenate(told)


def perplexity(nats: np.ndarray) -> float:
    r"""Among how many equally likely tokens a model might be guessing, of how much each
    surprised it: $\exp(\frac1n \sum_i \text{nats}_i)$, in float64; inf above 709.

    Source: [Cortes] 6.3. Oracle: `objectives.language.perplexity`.

    >>> round(perplexity(np.log([2.0, 8.0])), 9)
    4.0
    """
    with np.errstate(over="ignore"):
        return float(np.exp(nats.mean(dtype=np.float64)))
