r"""Merging: several modalities become one, before the layers or after them.

    early     [v; t]                   a longer sequence, for layers to mix
    sum       v + t                    each says its part, whatever the other says
    product   v * t                    each scales what the other says
    MLP       W_2 phi(W_1 [v; t])      any function of both, if it is wide enough
    gated     g * v + (1 - g) * t      g = sigmoid(W [v; t] + b)

The first takes sequences, the others vectors (or maps of one shape). All but the last
take two modalities or more: picture, text, sound. A fourth way to end, attention
pooling of the sequence, is `attention_layers.attention_pool`.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable

import numpy as np

from ... import ops
from ...arguments import check_whole
from ...checkpoint import Weights
from ...shapes import ShapeError, shapes
from ..transformer import feed_forward, linear
from . import demands


def early_fusion(*sequences, types=None):
    r"""One sequence behind the other: $[Z_v + e_v;\; Z_t + e_t]$.

    Each is (b, n_i, d), the result (b, n_1 + n_2 + ..., d). types (k, d), if given, has
    a learnt vector for each modality, added to its tokens: without it, and without
    positions, layers cannot know which is which. Where the text is padded,
    `ops.prefix_mask` says so behind a picture that is not.

    Source: [Cortes] 5.1, 11.2; [MicroVLM-V] 4. Oracle: torch.cat.

    >>> early_fusion(np.zeros((1, 2, 1)), np.ones((1, 1, 1))).ravel()
    array([0., 0., 1.])
    """
    name = "early_fusion"
    if len(sequences) < 2:
        raise ValueError(f"{name}: two or more modalities are joined, not 1")
    outer = {(s.ndim, s.shape[0], s.shape[-1]) for s in sequences if s.ndim == 3}
    if len(outer) != 1 or not all(s.ndim == 3 for s in sequences):
        listed = ", ".join(str(s.shape) for s in sequences)
        raise ShapeError(
            f"{name}: the sequences are {listed}, but they are joined token by token: "
            "(batch, tokens, features), with one batch and one number of features"
        )
    if types is not None:
        needed = len(sequences), sequences[0].shape[-1]
        if tuple(types.shape) != needed:
            raise ShapeError(
                f"{name}: types is {types.shape}, but a vector for each modality makes "
                f"{needed}"
            )
        sequences = tuple(s + types[i] for i, s in enumerate(sequences))
    return np.concatenate(sequences, axis=1)


def seen_prefix_mask(prefix: int, tokens: int) -> np.ndarray:
    """A picture in front that all of its tokens see, and words that come one by one.

    Boolean (prefix + tokens, prefix + tokens): a causal mask, whose first `prefix` keys
    everybody may see. FastVLM and LLaVA leave the picture causal, too.

    Source: [Cortes] 5.1, which leaves the mask open; [Beyer2024], which masks so.

    >>> seen_prefix_mask(2, 1).astype(int)
    array([[1, 1, 0],
           [1, 1, 0],
           [1, 1, 1]])
    """
    check_whole("seen_prefix_mask", prefix=prefix, tokens=tokens)
    length = prefix + tokens
    return ops.causal_mask(length, length) | (np.arange(length) < prefix)


def late_sum(*modalities):
    r"""Each says its part: $z = h_v + h_t$.

    What a linear map reads from it is $s(v) + s'(t)$: the answer to one question puts
    pictures in the same order as the answer to any other.

    Source: [Cortes] 5.2, 11.2. Oracle: torch.add.

    >>> late_sum(np.array([1.0, 2.0]), np.array([10.0, 0.0]))
    array([11.,  2.])
    """
    demands.of_one_shape("late_sum", *modalities)
    return functools.reduce(operator.add, modalities)


def late_product(*modalities):
    r"""Each scales what the other says: $z = h_v \odot h_t$.

    What a linear map reads from it is bilinear: a question chooses the direction along
    which pictures are ordered. The sum of z is the inner product, as in CLIP.

    Source: [Cortes] 5.2, 11.2. Oracle: torch.mul.

    >>> late_product(np.array([1.0, 2.0]), np.array([10.0, 0.0]))
    array([10.,  0.])
    """
    demands.of_one_shape("late_product", *modalities)
    return functools.reduce(operator.mul, modalities)


def late_mlp(*modalities, weights: Weights, activation: Callable = ops.gelu):
    r"""Side by side through a small network:
    $z = W_2\,\phi(W_1 [h_v; h_t] + b_1) + b_2$.

    Each is (..., d_i), of its own width. Weights: `fc1.`, `fc2.`.

    Source: [Cortes] 5.2, 11.2. Oracle: torch.nn.Sequential(Linear, GELU, Linear) of
    torch.cat.
    """
    name = "late_mlp"
    if len(modalities) < 2:
        raise ValueError(f"{name}: two or more modalities are joined, not 1")
    if len({m.shape[:-1] for m in modalities}) > 1:
        listed = ", ".join(str(m.shape) for m in modalities)
        raise ShapeError(
            f"{name}: the modalities are {listed}, but only their last axes may differ"
        )
    together = np.concatenate(modalities, axis=-1)
    matrix = weights["fc1.weight"]
    demands.features_fit(name, "what is joined", together, "fc1.weight", matrix)
    return feed_forward(together, weights, activation)


@shapes(first="... d", second="... d", returns="... d")
def gated_fusion(first, second, weights):
    r"""A gate for each feature says whose it is:
    $g = \sigma(W_g [h_v; h_t] + b_g)$, $z = g \odot h_v + (1 - g) \odot h_t$.

    first and second have one shape (..., d): two modalities, or two pathways of one
    picture, its whole and its details. Between the two numbers of a feature, z is
    nowhere else. Weights: `weight` (d, 2 d), or (1, 2 d) for one gate, and `bias`.

    Source: [Cortes] 5.5; [DeepDive] adaptive fusion. Oracle: the same composition in
    torch.

    >>> even = {"weight": np.zeros((1, 2)), "bias": np.zeros(1)}
    >>> gated_fusion(np.array([0.0]), np.array([8.0]), even)
    array([4.])
    """
    demands.of_one_shape("gated_fusion", first, second)
    both = np.concatenate([first, second], axis=-1)
    matrix = weights["weight"]
    demands.features_fit("gated_fusion", "[first; second]", both, "weight", matrix)
    gate = ops.sigmoid(linear(both, weights))
    return gate * first + (1 - gate) * second
