r"""Flamingo's gated cross-attention: a picture enters a trained decoder unheard, at
first.

    h = h + tanh(a) * cross_attention(norm(h), picture)
    h = h + tanh(b) * feed_forward(norm(h))               a = b = 0 at the start

At gates of 0 the layer is the identity, to the bit: the decoder says what it said
before, and learns how much to look. Such a layer stands before every fourth or so of a
decoder's own. Names of weights are those of IDEFICS, under `gated_cross_attn_layers.i.`
in its checkpoints.
"""

from __future__ import annotations

import numpy as np

from ... import ops
from ...arguments import check_whole
from ...checkpoint import Weights
from ...shapes import shapes
from .cross_attention import cross_attention


@shapes(hidden="b t d", picture="b m d_v", returns="b t d")
def gated_cross_attention(
    hidden,
    picture,
    weights: Weights,
    num_heads: int,
    picture_mask=None,
    eps: float = 1e-6,
):
    r"""Words look at a picture as far as a gate is open:
    $h \leftarrow h + \tanh(\alpha) \odot \operatorname{MHA}(\operatorname{RMS}(h), v)$,
    $h \leftarrow h + \tanh(\beta) \odot \operatorname{SwiGLU}(\operatorname{RMS}(h))$.

    hidden (b, t, d), picture (b, m, d_v). The gates have one number, or one for each
    feature. picture_mask, over (b, heads, t, m), is True where a word may look; one
    that may look nowhere hears nothing of it (see `preceding_picture_mask`). Weights:
    `alpha_cross_attn`, `alpha_dense`; `cross_attn.` with `q_proj.`, `k_proj.`,
    `v_proj.`, `o_proj.`, no biases; `mlp.` with `gate_proj.`, `up_proj.`,
    `down_proj.`; `input_layernorm.` and `post_attention_layernorm.`. (Flamingo's norms
    are layer norms and its feed-forward has a squared ReLU; IDEFICS took LLaMA's.)

    Source: [Alayrac2022]; [Cortes] names it among its references.
    Oracle: transformers' IdeficsGatedCrossAttentionLayer.
    """

    def norm(x, scope):
        return ops.rms_norm(x, x.shape[-1:], scope["weight"], eps)

    looked = cross_attention(
        norm(hidden, weights.scope("input_layernorm")),
        picture,
        weights.scope("cross_attn"),
        num_heads,
        picture_mask,
        out="o_proj",
        norm=norm,
    )
    hidden = hidden + ops.tanh(weights["alpha_cross_attn"]) * looked
    normed = norm(hidden, weights.scope("post_attention_layernorm"))
    thought = gated_feed_forward(normed, weights.scope("mlp"))
    return hidden + ops.tanh(weights["alpha_dense"]) * thought


def gated_feed_forward(x, weights):
    r"""$W_{down}(\mathrm{SiLU}(W_{gate}x) \odot W_{up}x)$."""
    gate, up = weights["gate_proj.weight"], weights["up_proj.weight"]
    return ops.linear(ops.gated_linear(x, gate, up), weights["down_proj.weight"])


@shapes(marks="b t of booleans")
def preceding_picture_mask(marks, tokens: int) -> np.ndarray:
    """Each word sees the last picture before it, and no other; before the first one,
    none.

    marks (b, t) is True where a picture stands in the text; the pictures of a text lie
    side by side, `tokens` for each, as many as the text with the most pictures has. The
    result is (b, 1, t, pictures tokens). What an earlier picture said reaches a word
    through the words between.

    Source: [Alayrac2022]. Oracle: IDEFICS' image attention mask, one picture of it.

    >>> marks = np.array([[False, True, False, True, False]])
    >>> preceding_picture_mask(marks, 1)[0, 0].astype(int)
    array([[0, 0],
           [1, 0],
           [1, 0],
           [0, 1],
           [0, 1]])
    """
    check_whole("preceding_picture_mask", least=1, tokens=tokens)
    last = np.cumsum(marks, axis=1)  # how many pictures came before, and here
    pictures = int(last.max(initial=0))
    own = last[..., None] == np.arange(1, pictures + 1)
    return np.repeat(own, tokens, axis=-1)[:, None]


def gated_cross_attention_shapes(
    dim: int, picture: int, hidden: int, gate: tuple[int, ...] = (1,)
) -> dict[str, tuple[int, ...]]:
    """Every tensor by name; `gate` is (1,) or, for each feature its own, (1, 1, d)."""
    return {
        "alpha_cross_attn": gate,
        "alpha_dense": gate,
        "cross_attn.q_proj.weight": (dim, dim),
        "cross_attn.k_proj.weight": (dim, picture),
        "cross_attn.v_proj.weight": (dim, picture),
        "cross_attn.o_proj.weight": (dim, dim),
        "mlp.gate_proj.weight": (hidden, dim),
        "mlp.up_proj.weight": (hidden, dim),
        "mlp.down_proj.weight": (dim, hidden),
        "input_layernorm.weight": (dim,),
        "post_attention_layernorm.weight": (dim,),
    }
