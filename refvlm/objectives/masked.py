r"""Masked language modelling: cover some tokens, and ask for them.

    a    cat    on   the   mat        the text
    a  <mask>   on   the   mat        what the model sees
    -   cat     -     -     -         what it is asked for

Here every position may look both ways, so nothing is shifted. A model that only ever
saw <mask> at the places it is asked about would be lost on text without any; so some of
the chosen tokens are replaced at random, and some are left as they are.
"""

from __future__ import annotations

import numpy as np

from .. import ops
from ..arguments import check_whole
from ..shapes import ShapeError, shapes
from .language import IGNORE, check_room

MASKED, RANDOM = 0.8, 0.1  # of the chosen; the others stay


@shapes(ids="...t of integers")
def mask_tokens(ids, rng, mask_id, vocabulary, probability=0.15, special=()):
    r"""(what the model sees, labels): each token is chosen with `probability`;
    of the chosen, 80 % become `mask_id`, 10 % any token, and 10 % stay.

    The labels are the ids of all that were chosen, -100 elsewhere. `vocabulary`
    is the number of tokens. Those whose ids are in `special` (padding, frames,
    pictures) are never chosen.

    Source: [Cortes] 6.4, which names 15 % and not the rule; the rule is BERT's.
    Oracle: transformers' DataCollatorForLanguageModeling, in its statistics.

    >>> ids = np.arange(4)
    >>> seen, labels = mask_tokens(ids, np.random.default_rng(2), 9, 10, 0.5)
    >>> seen, labels
    (array([9, 9, 2, 9]), array([   0,    1, -100,    3]))
    """
    check_whole("mask_tokens", mask_id=mask_id)
    check_whole("mask_tokens", least=1, vocabulary=vocabulary)
    if not 0 <= probability <= 1:
        raise ValueError(f"mask_tokens: {probability!r} is not a probability")
    check_room("mask_tokens", ids, IGNORE, mask_id, vocabulary - 1)
    chosen = rng.random(ids.shape) < probability
    chosen &= ~np.isin(ids, list(special))
    fate = rng.random(ids.shape)
    seen = np.where(chosen & (fate < MASKED), mask_id, ids)
    shuffled = chosen & (fate >= MASKED) & (fate < MASKED + RANDOM)
    seen = np.where(shuffled, rng.integers(vocabulary, size=ids.shape), seen)
    return seen.astype(ids.dtype), np.where(chosen, ids, IGNORE).astype(ids.dtype)


def masked_language_modeling_loss(
    logits, labels, ignore_index=IGNORE, reduction="mean"
):
    r"""The surprise at the covered tokens:
    $-\frac{1}{|\mathcal M|} \sum_{i \in \mathcal M} \log p(x_i \mid \tilde x)$.

    logits (b, t, v) are those of the text $\tilde x$ as the model sees it, labels
    (b, t) those of `mask_tokens`. Nothing is shifted.

    Source: [Cortes] 6.4, whose form is reduction="sum".
    Oracle: torch.nn.functional.cross_entropy.

    >>> masked_language_modeling_loss(np.zeros((1, 2, 4)), np.array([[-100, 3]]))
    array(1.38629436)
    """
    if logits.ndim != 3 or logits.shape[:2] != labels.shape:
        raise ShapeError(
            f"masked_language_modeling_loss: logits are {logits.shape} and labels "
            f"{labels.shape}, but need to be (b, t, v) and (b, t)"
        )
    rows = logits.reshape(-1, logits.shape[-1])
    return ops.cross_entropy(
        rows, labels.reshape(-1), ignore_index=ignore_index, reduction=reduction
    )
