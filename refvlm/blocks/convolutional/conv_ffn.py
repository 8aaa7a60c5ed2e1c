r"""ConvFFN: a feed-forward network that looks at its neighbourhood first.

7 x 7 depthwise -> batch norm -> 1 x 1, C to 4C -> GELU -> 1 x 1, 4C to C
"""

from __future__ import annotations

from ... import ops
from ..training_mode import Training
from .conv_norm import conv_norm, conv_norm_shapes


def conv_ffn(x, weights, training: Training | None = None):
    r"""Look around, widen, activate, narrow:
    $W_2\,\mathrm{GELU}(W_1\,\mathrm{BN}(w_{7\times7} * x) + b_1) + b_2$.

    x (b, c, h, w). Source: [Kamath] stages 1-5. Oracle: timm's `ConvMlp`.
    """
    seen = conv_norm(x, weights.scope("conv"), training=training)
    fc1, fc2 = weights.scope("fc1"), weights.scope("fc2")
    return ops.pointwise_mlp(
        seen, fc1["weight"], fc1["bias"], fc2["weight"], fc2["bias"]
    )


def conv_ffn_shapes(dim: int, hidden: int):
    """The tensors by name. The published weights keep the batch norm unfolded."""
    return {
        **{f"conv.{n}": s for n, s in conv_norm_shapes(dim, dim, 7, dim).items()},
        "fc1.weight": (hidden, dim, 1, 1),
        "fc1.bias": (hidden,),
        "fc2.weight": (dim, hidden, 1, 1),
        "fc2.bias": (dim,),
    }
