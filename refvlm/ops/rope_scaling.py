r"""Rotary positions for longer texts: the same circles, turned more slowly.

A model that was trained on $L$ tokens has never seen pair $i$ turn further than
$L\,\omega_i$. Each rule here gives frequencies under which a text of some $s\,L$
tokens stays among angles that were seen, or nearly so; they differ in which pairs pay
for it. Fast pairs tell neighbours apart, slow ones tell far from near.
"""

from __future__ import annotations

import math

import numpy as np

from ..shapes import shapes
from . import demands
from .position import position_frequencies


@shapes(demands.features_in_pairs, demands.a_positive_base, demands.a_positive_factor)
def linear_frequencies(dim, base=10000.0, factor=1.0):
    r"""Every pair slower by the same: $\omega_i' = \omega_i / s$.

    float64 (dim / 2,): position m turns as m / s did. Neighbours come closer, too.

    Source: Chen et al., Extending context window by positional interpolation.
    Oracle: transformers' rope_type "linear".

    >>> linear_frequencies(4, factor=2.0)
    array([0.5  , 0.005])
    """
    return position_frequencies(dim, base) / factor


@shapes(
    demands.features_in_pairs,
    demands.a_positive_base,
    demands.a_positive_factor,
    demands.lengths_are_counts,
    demands.an_original_length,
    demands.more_than_one_pair,
)
def dynamic_frequencies(length, dim, base=10000.0, factor=1.0, original=2048):
    r"""A larger base, once the text outgrows the training:
    $\omega_i' = \Theta'^{-2i/d}$ with
    $\Theta' = \Theta\,\bigl(s L' / L - (s - 1)\bigr)^{d/(d-2)}$ and
    $L' = \max(\text{length}, L)$.

    The fastest pair keeps its speed, the slowest is slower by the bracket, those
    between by less. `original` is $L$; length is a whole number, or an array of them
    (...), and the result (..., dim / 2) in float64. The keys that a cache holds were
    turned by the frequencies of their own time.

    Source: bloc97 and emozilla, NTK-aware scaled RoPE. Oracle: transformers'
    rope_type "dynamic".

    >>> dynamic_frequencies(2048, 4, factor=2.0)
    array([1.  , 0.01])
    >>> dynamic_frequencies(4096, 4, factor=2.0).round(6)
    array([1.      , 0.003333])
    """
    length = np.maximum(np.asarray(length, np.float64)[..., None], original)
    stretch = factor * length / original - (factor - 1)
    base = base * stretch ** (dim / (dim - 2))
    return base ** (-np.arange(0, dim, 2) / dim)


@shapes(
    demands.features_in_pairs,
    demands.a_positive_base,
    demands.a_positive_factor,
    demands.an_original_length,
    demands.low_turns_are_below_high,
)
def llama3_frequencies(
    dim,
    base=10000.0,
    factor=8.0,
    original=8192,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
):
    r"""Only what turns slowly is slowed:
    $\omega_i' = (1 - k_i)\,\omega_i / s + k_i\,\omega_i$ with
    $k_i = \operatorname{clip}\bigl((r_i - a)/(b - a), 0, 1\bigr)$, where
    $r_i = L\,\omega_i / 2\pi$ is how often pair i turned in training.

    float64 (dim / 2,). `original` is $L$; $a$ and $b$ are `low_freq_factor` and
    `high_freq_factor`: a pair that made more than b turns keeps its speed, and one
    that made less than a is slower by s.

    Source: Meta's code of Llama 3.1, `apply_scaling`. Oracle: transformers'
    rope_type "llama3".

    >>> (position_frequencies(8, 1e6) / llama3_frequencies(8, 1e6)).round(2)
    array([1.  , 1.  , 4.68, 8.  ])
    """
    frequencies = position_frequencies(dim, base)
    turns = original * frequencies / (2 * math.pi)
    kept = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor)
    kept = np.clip(kept, 0.0, 1.0)
    return (1 - kept) * frequencies / factor + kept * frequencies


@shapes(
    demands.features_in_pairs,
    demands.a_base_above_one,
    demands.a_positive_factor,
    demands.an_original_length,
    demands.betas_of_yarn,
)
def yarn_frequencies(
    dim,
    base=10000.0,
    factor=1.0,
    original=2048,
    beta_fast=32.0,
    beta_slow=1.0,
    truncate=True,
):
    r"""YaRN: the same idea, faded over the pairs:
    $\omega_i' = t\,\omega_i / s + (1 - t)\,\omega_i$ with
    $t = \operatorname{clip}\bigl((i - i_{fast})/(i_{slow} - i_{fast}), 0, 1\bigr)$,
    where pair $i_\beta = d\,\ln(L / 2\pi\beta) \,/\, (2 \ln\Theta)$ made $\beta$ turns
    in training.

    float64 (dim / 2,). `original` is $L$; `truncate` rounds the two pairs outwards,
    and they stay between 0 and dim - 1, as in YaRN's own code, though there are only
    dim / 2 pairs. Queries and keys are scaled, too:
    `yarn_attention_factor`.

    Source: Peng et al., YaRN. Oracle: transformers' rope_type "yarn".

    >>> yarn_frequencies(4, factor=4.0)
    array([1.     , 0.00625])
    """

    def pair_of(turns):
        return dim * math.log(original / (2 * math.pi * turns)) / (2 * math.log(base))

    fast, slow = pair_of(beta_fast), pair_of(beta_slow)
    if truncate:
        fast, slow = math.floor(fast), math.ceil(slow)
    fast, slow = max(fast, 0), min(slow, dim - 1)
    width = slow - fast or 0.001  # a step where both are one pair
    slowed = np.clip((np.arange(dim // 2) - fast) / width, 0.0, 1.0)
    frequencies = position_frequencies(dim, base)
    return slowed * frequencies / factor + (1 - slowed) * frequencies


@shapes(demands.a_positive_factor, demands.a_positive_mscale)
def yarn_attention_factor(factor, mscale=1.0):
    r"""By how much YaRN lengthens queries and keys: $0.1\,\mu \ln s + 1$, and 1 for
    $s \le 1$.

    Over more keys a softmax spreads thinner; scores larger by the square of this
    gather it again. $\mu$ is `mscale`.

    Source: Peng et al., YaRN. Oracle: transformers' rope_type "yarn".

    >>> round(yarn_attention_factor(4.0), 4)
    1.1386
    """
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


@shapes(
    demands.positions_are_numbers,
    demands.a_positive_attention_factor,
    frequencies="... pairs",
)
def scaled_rotary_angles(positions, frequencies, attention_factor=1.0):
    r"""(cos, sin) of the angles $m\,\omega_i$ for frequencies of one's own, both times
    the attention factor $f$: $(f \cos m\omega_i,\; f \sin m\omega_i)$.

    positions (..., t), frequencies (pairs,) or (..., 1, pairs); each result is
    (..., t, pairs), for `apply_rotary`. Queries and keys both are longer by $f$, so
    scores are by $f^2$.

    Source: Peng et al., YaRN. Oracle: transformers' LlamaRotaryEmbedding.

    >>> cos, sin = scaled_rotary_angles(np.array([0, 1]), np.array([0.5]), 2.0)
    >>> cos.round(4)
    array([[2.    ],
           [1.7552]])
    """
    angles = np.asarray(positions)[..., None] * frequencies
    cos, sin = attention_factor * np.cos(angles), attention_factor * np.sin(angles)
    return cos.astype(frequencies.dtype), sin.astype(frequencies.dtype)
