r"""ScopeNet: is this question one for the memory?

    logit = W_3 relu(W_2 relu(W_1 c + b_1) + b_2) + b_3,   p = sigmoid(logit)

    hard     the memory is seen where p > threshold         no gradient reaches it
    soft     log p is added to the scores of its slots      one attention, a gradient
    mixed    p of the words it says with the memory, 1 - p of those without

Names of weights are those of MicroVLM-V's code, where nothing reads what comes out.
"""

from __future__ import annotations

import numpy as np

from ... import ops
from ...autodiff import value_of
from ...checkpoint import Weights
from ...shapes import ShapeError, shapes
from ..training_mode import Training
from ..transformer import linear

DROPOUT = 0.1  # between the layers, while it learns


@shapes(context="b c", returns="b 1")
def scope(context, weights: Weights, training: Training | None = None):
    r"""How likely the memory is asked for: $p = \sigma(\text{logit}(c))$, between 0
    and 1.

    context (b, c) is what the question comes to, the answer (b, 1). Weights: `mlp.0.`,
    `mlp.3.`, `mlp.6.`.

    Source: [MicroVLM-V] 1. Oracle: torch.nn.Sequential of Linear, ReLU and Sigmoid.
    """
    return ops.sigmoid(scope_logits(context, weights, training))


@shapes(context="b c", returns="b 1")
def scope_logits(context, weights: Weights, training: Training | None = None):
    r"""`scope` before the sigmoid, as losses and `gate_bias` want it:
    $W_3\,\phi(W_2\,\phi(W_1 c + b_1) + b_2) + b_3$ with $\phi$ the ReLU.

    With `training`, a tenth of each hidden layer is dropped.

    Source: [MicroVLM-V] 1. Oracle: torch.nn.Sequential of Linear and ReLU.
    """
    hidden = context
    for place in (0, 3):
        hidden = ops.relu(linear(hidden, weights.scope(f"mlp.{place}")))
        if training is not None:
            hidden = ops.dropout(hidden, DROPOUT, rng=training.rng)
    return linear(hidden, weights.scope("mlp.6"))


@shapes(logits="b s", returns="b s")
def gate_bias(logits, threshold: float | None = None):
    r"""What a gate adds to the scores of its slots: $\log \sigma(\text{logit})$, or,
    with a threshold, 0 where $\sigma(\text{logit})$ is above it, else $-\infty$.

    The weight of a slot in the softmax is multiplied with the gate: $e^{s + \log p} =
    p\,e^s$. It is one number of a softmax, not a share of the answer: a decoder that
    wants the slot all the same makes its score larger. A threshold has no gradient.

    Source: [MicroVLM-V] 1, 3 ("inject if p > threshold").
    Oracle: torch.nn.functional.logsigmoid.

    >>> np.exp(gate_bias(np.array([[0.0]])))
    array([[0.5]])
    >>> gate_bias(np.array([[2.0, -2.0]]), threshold=0.5)
    array([[  0., -inf]])
    """
    if threshold is None:
        return log_shares(logits)[..., 0]
    if not 0 <= threshold <= 1:
        raise ValueError(f"gate_bias: threshold must be from 0 to 1, not {threshold}")
    is_open = ops.sigmoid(value_of(logits)) > threshold
    return ops.additive_mask(is_open, logits.dtype)


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


def scope_shapes(width: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """name -> shape, for contexts of `width`."""
    sizes = {0: (hidden, width), 3: (hidden, hidden), 6: (1, hidden)}
    return {
        f"mlp.{place}.{name}": shape
        for place, size in sizes.items()
        for name, shape in {"weight": size, "bias": size[:1]}.items()
    }
