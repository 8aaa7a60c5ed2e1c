r"""ScopeNet: is this question one for the memory?

    logit = W_3 relu(W_2 relu(W_1 c + b_1) + b_2) + b_3,   g = sigmoid(logit)

What is done with g is in `gates`. Names of weights are those of MicroVLM-V's code,
where nothing reads what comes out.
"""

from __future__ import annotations

from ... import ops
from ...checkpoint import Weights
from ...shapes import shapes
from ..training_mode import Training
from ..transformer import linear

DROPOUT = 0.1  # between the layers, while it learns


@shapes(context="b c", returns="b 1")
def scope(context, weights: Weights, training: Training | None = None):
    r"""How likely the memory is asked for: $g = \sigma(\text{logit}(c))$, between 0
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


def scope_shapes(width: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """name -> shape, for contexts of `width`."""
    sizes = {0: (hidden, width), 3: (hidden, hidden), 6: (1, hidden)}
    return {
        f"mlp.{place}.{name}": shape
        for place, size in sizes.items()
        for name, shape in {"weight": size, "bias": size[:1]}.items()
    }
