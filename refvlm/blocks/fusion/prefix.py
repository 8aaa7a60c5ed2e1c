r"""A prefix: the picture's tokens stand before the whole text, and say so twice more.

    embeddings   [Prefix; Text]      (b, 25 + L, h)
    mask         [1 ... 1; TextMask]  a picture is never padded
    labels       [-100 ...; Labels]   and nobody is asked for what it is

`models/splicing.py` puts a picture where the text marks it; here there is no mark.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ... import ops
from ...objectives.language import pad_labels
from ...shapes import shapes
from .merging import early_fusion


class Fused(NamedTuple):
    """What a decoder reads, which of it counts, and what is asked of it."""

    embeddings: Any
    attention_mask: np.ndarray | None
    labels: np.ndarray | None


@shapes(
    prefix="b m h", text="b t h", text_mask="b t of anything", labels="b t of integers"
)
def prefix_fusion(prefix, text, text_mask=None, labels=None) -> Fused:
    r"""$[\text{Prefix}; \text{Text}]$ with $[1_m; \text{TextMask}]$, and labels that
    ask for nothing of the prefix: $[-100_m; y]$.

    prefix (b, m, h), text (b, t, h), text_mask (b, t) of booleans or ones and zeros,
    labels (b, t) as `language_modeling_loss` wants them: unshifted. What is None stays
    None. A label of the padding has to be -100 already.

    Source: [MicroVLM-V] 4, 7.1, whose labels are 25 short of its logits.
    Oracle: torch.cat.

    >>> fused = prefix_fusion(
    ...     np.ones((1, 2, 1)), np.zeros((1, 1, 1)), labels=np.array([[7]])
    ... )
    >>> fused.embeddings.ravel(), fused.labels
    (array([1., 1., 0.]), array([[-100, -100,    7]]))
    """
    tokens = prefix.shape[1]
    return Fused(
        early_fusion(prefix, text),
        None if text_mask is None else ops.prefix_mask(text_mask, tokens),
        None if labels is None else pad_labels(labels, tokens),
    )


def pooled_context(fused: Fused):
    r"""One vector for all that a decoder reads: the mean of what counts,
    $\sum_i m_i x_i / \sum_i m_i$.

    (b, t, h) to (b, h). The published code averages the padding, too: a question then
    means something else beside a longer one.

    Source: [MicroVLM-V] 1, "Mean Pool". Oracle: torch arithmetic.
    """
    embeddings, mask, _ = fused
    if mask is None:
        mask = np.ones(embeddings.shape[:2], bool)
    return ops.masked_mean(embeddings, mask, dim=1)
