r"""Gates: what a number between 0 and 1 does to a memory.

    hard     the memory is seen where g > threshold (is_open)     no gradient
    soft     log g is added to the scores of its slots      one pass, a gradient
    mixed    g of the words with the memory, 1 - g of those without it      two passes

Each takes the logit of g, as ScopeNet gives it (`scope`).
"""

from __future__ import annotations

import numpy as np

from ... import ops
from ...arguments import is_number
from ...autodiff import value_of
from ...shapes import ShapeError, shapes


@shapes(logits="...", returns="...")
def gate_bias(logits, threshold: float | None = None):
    r"""What a gate adds to the scores of its slots: $\log \sigma(\text{logit})$, or,
    with a threshold, 0 where $\sigma(\text{logit})$ is above it, else $-\infty$.

    What a slot weighs before the softmax is multiplied with the gate, $e^{s + \log g} =
    g\,e^s$. That is no share of the answer: a decoder that wants the slot all the same
    makes its score s larger. A threshold has no gradient.

    Source: [MicroVLM-V] 1, 3: "Inject/Skip".
    Oracle: torch.nn.functional.logsigmoid.

    >>> np.exp(gate_bias(np.array([[0.0]])))
    array([[0.5]])
    >>> gate_bias(np.array([[2.0, -2.0]]), threshold=0.5)
    array([[  0., -inf]])
    """
    if threshold is None:
        return log_shares(logits)[..., 0]
    return ops.additive_mask(is_open(logits, threshold), logits.dtype)


def is_open(logits, threshold: float = 0.5):
    r"""Which gates let the memory be seen: booleans, $\sigma(\text{logit}) >
    \text{threshold}$, or "rather than not" where nothing is said.

    Source: [MicroVLM-V] 1, 3: "Inject/Skip".

    >>> is_open(np.array([2.0, 0.0, -2.0]))
    array([ True, False, False])
    """
    if not is_number(threshold) or not 0 <= threshold <= 1:
        raise ValueError(
            f"is_open: threshold must be a number from 0 to 1, not {threshold!r:.40}"
        )
    return ops.sigmoid(value_of(logits)) > threshold


def gated_mixture(with_memory, without, logits):
    r"""What a decoder that hears both says: $\log(g\,p_M + (1 - g)\,p_0)$ with
    $g = \sigma(\text{logit})$.

    with_memory and without (b, ..., v) are logits of the next token from two passes;
    logits (b, 1) those of the gate. The result is log-probabilities, of which a loss is
    taken as of any logits. Here a closed gate is a closed gate, however large the
    score: what flows to it is whether the memory helped. The price is two passes.

    Source: none of the five; the gate of [MicroVLM-V] 1 that can be learnt without
    being told. Oracle: the same composition in torch.

    >>> sure, even = np.array([[50.0, 0.0]]), np.array([[0.0, 0.0]])
    >>> np.exp(gated_mixture(sure, even, np.array([[0.0]])))
    array([[0.75, 0.25]])
    """
    if with_memory.shape != without.shape:
        raise ShapeError(
            f"gated_mixture: with_memory is {with_memory.shape} and without is "
            f"{without.shape}: the same words, heard twice"
        )
    if tuple(logits.shape) != (len(with_memory), 1):
        raise ShapeError(
            f"gated_mixture: logits is {logits.shape}, but a gate for each row makes "
            f"{(len(with_memory), 1)}"
        )
    shares = log_shares(logits).reshape(-1, 2, *(1,) * (with_memory.ndim - 1))
    said = np.stack([with_memory, without], axis=1)
    return ops.logsumexp(ops.log_softmax(said) + shares, dim=1)


def log_shares(logits):
    r"""$(\log g, \log(1 - g))$ of $g = \sigma(\text{logit})$, on a new last axis.

    They are a softmax of (logit, 0): no sigmoid that is rounded to 0 has to be undone.
    """
    both = np.stack([logits, np.zeros(logits.shape, logits.dtype)], axis=-1)
    return ops.log_softmax(both)
